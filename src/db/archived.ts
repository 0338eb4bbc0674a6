import type { Database, Sql } from './connect.ts'

/** What the archive must hold for one item. */
export interface ArchivedFile {
  item: number
  mediaId: number
  archivePath: string
  /** Hex. */
  sha256: string
  sizeBytes: number
  /** True while a worker holds the item, and may be putting another file in its place. */
  leased: boolean
}

/** Which of the archived files; by default all. */
export interface Selection {
  mediaId: number | null
  /** The part to choose at random, from 0 to 1. */
  share: number
}

interface Row {
  id: string
  media_id: string
  archive_path: string
  sha256: string
  size_bytes: string
  leased: boolean
}

/** The files that lie in the archive by the database's word, in the order of their items, after item `after`. */
export async function archivedFiles(
  database: Database,
  { after, limit, mediaId, share }: Selection & { after: number; limit: number },
): Promise<ArchivedFile[]> {
  const rows = await database.run(
    (sql) => sql<Row[]>`
      select ${columns(sql)} from strongroom.items
      where id > ${after} and ${isFiled(sql)} and ${isOf(sql, mediaId)} and random() < ${share}
      order by id limit ${limit}`,
  )
  return rows.map(toArchivedFile)
}

/** One of them as it is now. @returns null when it belongs there no more */
export async function archivedFile(database: Database, item: number): Promise<ArchivedFile | null> {
  const [row] = await database.run(
    (sql) => sql<Row[]>`
      select ${columns(sql)} from strongroom.items where id = ${item} and ${isFiled(sql)}`,
  )
  return row === undefined ? null : toArchivedFile(row)
}

/** How much all of them are. Reads every item. */
export async function archivedTotal(
  database: Database,
  mediaId: number | null,
): Promise<{ files: number; bytes: number }> {
  const [row] = await database.run(
    (sql) => sql<{ files: string; bytes: string }[]>`
      select count(*) as files, coalesce(sum(size_bytes), 0) as bytes from strongroom.items
      where ${isFiled(sql)} and ${isOf(sql, mediaId)}`,
  )
  return { files: Number(row?.files), bytes: Number(row?.bytes) }
}

function columns(sql: Sql) {
  return sql`id, media_id, archive_path, sha256, size_bytes,
    coalesce(lease_until > clock_timestamp(), false) as leased`
}

function isFiled(sql: Sql) {
  return sql`state in ('archived', 'releasing', 'released', 'source_differs', 'lost', 'kept')
    and archive_path is not null and sha256 is not null and size_bytes is not null`
}

function isOf(sql: Sql, mediaId: number | null) {
  return mediaId === null ? sql`true` : sql`media_id = ${mediaId}`
}

function toArchivedFile(row: Row): ArchivedFile {
  return {
    item: Number(row.id),
    mediaId: Number(row.media_id),
    archivePath: row.archive_path,
    sha256: row.sha256,
    sizeBytes: Number(row.size_bytes),
    leased: row.leased,
  }
}
