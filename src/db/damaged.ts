import { isFiled } from './archived.ts'
import type { Database, Fragment, Sql } from './connect.ts'
import { isAcknowledged } from './wishes.ts'

/** A file that was not what was archived when it was last looked at. */
export interface DamagedFile {
  mediaId: number
  archivePath: string
  damage: string
  /** When that was noticed; null in the second bucket, where nothing says so. */
  since: Date | null
}

interface Wish {
  /** Only what nobody has acknowledged in the state that it is in. */
  unseen: boolean
}

/** Those that were damaged when they were last looked at, in the archive and in the second bucket. */
export async function damagedFiles(
  database: Database,
  most: number,
  wish: Wish = { unseen: false },
): Promise<DamagedFile[]> {
  const rows = await database.run(
    (sql) => sql<(Omit<DamagedFile, 'mediaId'> & { mediaId: string })[]>`
      select media_id as "mediaId", archive_path as "archivePath", damage, since
      from (${damaged(sql, most, wish)}) d limit ${most}`,
  )
  return rows.map((row) => ({ ...row, mediaId: Number(row.mediaId) }))
}

/** `media_id, archive_path, damage, since` of so many of either at most, the archive's first. */
export function damaged(sql: Sql, most: number, { unseen }: Wish): Fragment {
  const isWanted = unseen ? sql`not ${isAcknowledged(sql)}` : sql`true`
  return sql`
    (select media_id, archive_path, damage, damaged_at as since from strongroom.items i
      where damage is not null and ${isFiled(sql)} and ${isWanted} order by verified_at limit ${most})
    union all
    (select i.media_id, i.archive_path, ${secondTrouble(sql)}, null
      from strongroom.second_copies c join strongroom.items i on i.id = c.item_id and i.state = 'moved'
      where c.trouble is not null and c.recalled_at is null order by c.looked_at limit ${most})`
}

/** What is said of copy `c`. */
export function secondTrouble(sql: Sql): Fragment {
  return sql`'in the second bucket: ' || c.trouble`
}
