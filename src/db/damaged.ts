import { isFiled } from './archived.ts'
import type { Database, Fragment, Sql } from './connect.ts'

/** A file that was not what was archived when it was last looked at. */
export interface DamagedFile {
  mediaId: number
  archivePath: string
  damage: string
}

/** Those that were damaged when they were last looked at, in the archive and in the second bucket. */
export async function damagedFiles(database: Database, most: number): Promise<DamagedFile[]> {
  const rows = await database.run(
    (sql) => sql<{ media_id: string; archive_path: string; damage: string }[]>`
      select media_id, archive_path, damage from (${damaged(sql, most)}) d limit ${most}`,
  )
  return rows.map((row) => ({
    mediaId: Number(row.media_id),
    archivePath: row.archive_path,
    damage: row.damage,
  }))
}

/** `media_id, archive_path, damage` of so many of either at most, the archive's first. */
export function damaged(sql: Sql, most: number): Fragment {
  return sql`
    (select media_id, archive_path, damage from strongroom.items
      where damage is not null and ${isFiled(sql)} order by verified_at limit ${most})
    union all
    (select i.media_id, i.archive_path, ${secondTrouble(sql)}
      from strongroom.second_copies c join strongroom.items i on i.id = c.item_id and i.state = 'moved'
      where c.trouble is not null and c.recalled_at is null order by c.looked_at limit ${most})`
}

/** What is said of copy `c`. */
export function secondTrouble(sql: Sql): Fragment {
  return sql`'in the second bucket: ' || c.trouble`
}
