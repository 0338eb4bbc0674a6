import type { ArchivedFile } from './archived.ts'
import type { Database, Sql } from './connect.ts'
import { arrayText } from './item-rows.ts'
import type { SecondCopy } from './second.ts'

/** An item that is in the second bucket. */
export interface MovedFile {
  item: number
  mediaId: number
  archivePath: string
  copy: SecondCopy
  verifiedAt: Date
  /** False while its file may lie in the archive, too. */
  removed: boolean
}

/** An archived file that may be moved, as far as the database tells. */
export interface MovableFile
  extends Pick<ArchivedFile, 'item' | 'mediaId' | 'archivePath' | 'sha256' | 'sizeBytes'> {
  archivedAt: Date
  /** The same, as exact as the database has it. */
  cursor: string
}

/** Files that were archived, and not brought back since, so long ago, longest ago first, after the one given. */
export async function movableFiles(
  database: Database,
  page: { after: MovableFile | null; limit: number; ageMs: number },
): Promise<MovableFile[]> {
  const rows = await database.run((sql) => {
    const { after, limit, ageMs } = page
    const beyond =
      after === null
        ? sql`true`
        : sql`(i.archived_at, i.id) > (${after.cursor}::text::timestamptz, ${after.item}::bigint)`
    return sql<
      {
        id: string
        media_id: string
        archive_path: string
        sha256: string
        size_bytes: string
        archived_at: Date
        cursor: string
      }[]
    >`
      select i.id, i.media_id, i.archive_path, i.sha256, i.size_bytes, i.archived_at,
        i.archived_at::text as cursor
      from strongroom.items i
      where i.state = 'released' and i.damage is null and i.archived_at < now() - ${ageMs} * interval '1 ms' and ${beyond}
        and i.archive_path is not null and i.sha256 is not null and i.size_bytes is not null
        and not exists (
          select from strongroom.second_copies c
          where c.item_id = i.id and c.recalled_at > now() - ${ageMs} * interval '1 ms')
      order by i.archived_at, i.id limit ${limit}`
  })
  return rows.map((row) => ({
    item: Number(row.id),
    mediaId: Number(row.media_id),
    archivePath: row.archive_path,
    sha256: row.sha256,
    sizeBytes: Number(row.size_bytes),
    archivedAt: row.archived_at,
    cursor: row.cursor,
  }))
}

/** Moved items of which a file may lie in the archive, too, in the order of their ids. */
export function filesInBoth(
  database: Database,
  page: { after: number; limit: number },
): Promise<MovedFile[]> {
  return movedFiles(
    database,
    (sql) => sql`
      where c.item_id > ${page.after} and c.local_removed_at is null and c.recalled_at is null
      order by c.item_id limit ${page.limit}`,
  )
}

/** Moved items in the order of their ids; of one medium only, or all. */
export function movedAfter(
  database: Database,
  page: { after: number; limit: number; mediaId: number | null },
): Promise<MovedFile[]> {
  const { after, limit, mediaId } = page
  return movedFiles(
    database,
    (sql) => sql`
      where i.state = 'moved' and i.id > ${after} and ${mediaId === null ? sql`true` : sql`i.media_id = ${mediaId}`}
      order by i.id limit ${limit}`,
  )
}

/** Which of these items are moved. */
export function movedItems(database: Database, items: readonly number[]): Promise<MovedFile[]> {
  return movedFiles(
    database,
    (sql) => sql`where i.id = any(${arrayText(items)}::bigint[]) order by i.id`,
  )
}

/** Notes that the copy was read whole, and was right. */
export async function noteSecondVerified(
  database: Database,
  { item, etag }: { item: number; etag: string },
): Promise<void> {
  await database.settle(
    (sql) => sql`
      update strongroom.second_copies set verified_at = clock_timestamp(), etag = ${etag} where item_id = ${item}`,
  )
}

async function movedFiles(
  database: Database,
  which: (sql: Sql) => ReturnType<Sql>,
): Promise<MovedFile[]> {
  const rows = await database.run(
    (sql) => sql<
      {
        id: string
        media_id: string
        archive_path: string
        bucket_id: string
        key: string
        etag: string
        version_id: string | null
        size_bytes: string
        sha256: string
        verified_at: Date
        removed: boolean
      }[]
    >`
      select i.id, i.media_id, i.archive_path, c.bucket_id, c.key, c.etag, c.version_id, c.size_bytes, c.sha256,
        c.verified_at, c.local_removed_at is not null as removed
      from strongroom.second_copies c join strongroom.items i on i.id = c.item_id and i.state = 'moved' ${which(sql)}`,
  )
  return rows.map((row) => ({
    item: Number(row.id),
    mediaId: Number(row.media_id),
    archivePath: row.archive_path,
    copy: {
      bucketId: row.bucket_id,
      key: row.key,
      etag: row.etag,
      versionId: row.version_id,
      sizeBytes: Number(row.size_bytes),
      sha256: row.sha256,
    },
    verifiedAt: row.verified_at,
    removed: row.removed,
  }))
}
