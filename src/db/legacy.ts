import type { MediaColumn } from '../config.ts'
import { AppError, isAppError } from '../errors.ts'
import type { AdoptedFile, AdoptedMedia } from '../media.ts'
import type { Backend } from './backend.ts'
import { mediaColumn, notDeleted } from './backend-sql.ts'
import type { Database, Fragment, Sql } from './connect.ts'
import { type MediaFactsRow, toMediaRow } from './item-rows.ts'

/** A media row whose status says that it is archived, as the service before us may have left it. */
export interface LegacyRow {
  media: AdoptedMedia
  /** As the row has it, for {@link keepLegacy} to find it unchanged; '' where it has none. */
  pathText: string
  /** Hex, lower case; null where the row has none. */
  sha256: string | null
  /** True when an item of ours is archived for it: nothing is left to do. */
  known: boolean
}

type Row = Omit<MediaFactsRow, 'object_key' | 'approved_at'> & {
  object_key: string | null
  approved_at: Date | null
  archive_path: string
  sha256: string | null
  known: boolean
}

/** @throws DB_SCHEMA when no column says where the files are */
export function requireArchivePath({ mediaColumns, mapping }: Backend): void {
  if (mediaColumns.has('archive_path')) return
  const column = `${mapping.mediaTable}.${mapping.mediaColumns.archive_path}`
  throw new AppError('DB_SCHEMA', `there is no ${column}: nothing says where the files lie`, {
    hint: 'name the column that holds their paths with MEDIA_COLUMN_ARCHIVE_PATH, or adopt them one by one',
  })
}

/**
 * Archived rows by their ids, without deleted ones.
 *
 * @param page.ours false where our schema is not there: a dry run needs nothing of it
 */
export async function legacyRows(
  database: Database,
  backend: Backend,
  page: { afterId: number; limit: number; ours: boolean },
): Promise<LegacyRow[]> {
  const rows = await database.run((sql) => {
    const { kinds } = backend.mapping
    const column = (name: MediaColumn, type = 'text') => mediaColumn(sql, backend, name, type)
    const known = page.ours
      ? sql`exists (select from strongroom.items i where i.media_id = ${column('id')}
          and i.state in ('archived', 'releasing', 'released', 'moved', 'source_differs', 'lost', 'kept'))`
      : sql`false`
    return sql<Row[]>`
      select ${column('id')} as media_id, ${column('user_id', 'bigint')} as user_id,
        ${column('title')} as title, ${column('filename')} as filename,
        case ${column('content_type')}::text when ${kinds.video} then 'video'
          when ${kinds.image} then 'image' when ${kinds.audio} then 'audio' end as content_type,
        ${column('mime_type')} as mime_type, ${column('file_size', 'bigint')} as declared_bytes,
        ${column('object_key')} as object_key, ${column('approved_at')} as approved_at,
        coalesce(${column('archive_path')}, '') as archive_path,
        lower(nullif(${column('checksum_sha256')}, '')) as sha256, ${known} as known
      from ${sql(backend.mapping.mediaTable)} m
      where ${isLegacy(sql, backend)} and ${column('id')} > ${page.afterId}
      order by ${column('id')} limit ${page.limit}`
  })
  return rows.map((row) => ({
    media: { ...toMediaRow({ ...row, object_key: '', approved_at: new Date(0) }), ...sources(row) },
    pathText: row.archive_path,
    sha256: row.sha256,
    known: row.known,
  }))
}

function sources(row: Row): Pick<AdoptedMedia, 'objectKey' | 'approvedAt'> {
  return { objectKey: row.object_key, approvedAt: row.approved_at }
}

/** How many rows {@link legacyRows} gives in all; null where the table takes too long to count. */
export async function countLegacy(database: Database, backend: Backend): Promise<number | null> {
  try {
    const [row] = await database.run(
      (sql) => sql<{ count: string }[]>`
        select count(*) from ${sql(backend.mapping.mediaTable)} m where ${isLegacy(sql, backend)}`,
    )
    return Number(row?.count)
  } catch (error) {
    // Whoever needs the rows themselves will hear of a database that does not answer at all.
    if (isAppError(error, 'DB_UNAVAILABLE', 'DB_UNKNOWN')) return null
    throw error
  }
}

function isLegacy(sql: Sql, backend: Backend): Fragment {
  return sql`${mediaColumn(sql, backend, 'status')} = ${backend.mapping.status.archived}
    and ${notDeleted(sql, backend)}`
}

const TRIES = 5

/**
 * Makes the item of a file that another service archived, in a state in which its source is never released. The media row
 * is not touched. May be repeated: an item that says so already counts as made.
 *
 * @returns `changed` when the row is no longer archived there, `taken` when another item has the path
 */
export async function keepLegacy(
  database: Database,
  backend: Backend,
  { row, file }: { row: LegacyRow; file: AdoptedFile },
): Promise<'kept' | 'changed' | 'taken'> {
  for (let tries = 1; tries <= TRIES; tries++) {
    const outcome = await keepOnce(database, backend, { row, file })
    // Somebody may have made this very item at that moment; the next look sees it.
    if (outcome === 'raced' || (outcome === 'taken' && tries === 1)) continue
    return outcome
  }
  throw new AppError('DB_CONFLICT', `media ${row.media.mediaId} has a new item at every look`)
}

async function keepOnce(
  database: Database,
  backend: Backend,
  { row, file }: { row: LegacyRow; file: AdoptedFile },
): Promise<'kept' | 'changed' | 'taken' | 'raced'> {
  const statement = (sql: Sql) => {
    const { kinds } = backend.mapping
    const column = (name: MediaColumn, type = 'text') => mediaColumn(sql, backend, name, type)
    // A time of PostgreSQL may be `infinity`; one of an item may not.
    const finite = (time: Fragment) => sql`case when isfinite(${time}) then ${time} end`
    const archived = finite(column('archived_at', 'timestamptz'))
    const created = finite(column('created_at', 'timestamptz'))
    const archivedAt = sql`coalesce(${archived}, clock_timestamp())`
    const approvedAt = sql`coalesce(${column('approved_at')}, ${archived}, ${created}, clock_timestamp())`
    return sql<{ outcome: 'kept' | 'changed' | 'raced' }[]>`
      with m as (
        select * from ${sql(backend.mapping.mediaTable)} m
        where ${column('id')} = ${row.media.mediaId} and ${column('archive_path')} = ${row.pathText}
          and ${isLegacy(sql, backend)}),
      there as (
        select 1 from strongroom.items
        where media_id = ${row.media.mediaId} and state = 'kept' and archive_path = ${file.archivePath}),
      made as (
        insert into strongroom.items (media_id, generation, state, user_id, title, filename, content_type,
          mime_type, declared_bytes, object_key, approved_at, archive_path, sha256, size_bytes, probe, filed_at,
          archived_at)
        select ${column('id')}, 1 + coalesce((
            select max(generation) from strongroom.items where media_id = ${row.media.mediaId}), 0), 'kept',
          ${column('user_id', 'bigint')}, ${column('title')}, ${column('filename')},
          case ${column('content_type')}::text when ${kinds.video} then 'video'
            when ${kinds.image} then 'image' when ${kinds.audio} then 'audio' end,
          ${column('mime_type')}, nullif(${column('file_size', 'bigint')}, 0), coalesce(${column('object_key')}, ''),
          ${approvedAt}, ${file.archivePath}, ${file.sha256}, ${file.sizeBytes},
          ${file.probe === null ? null : sql.json(file.probe as never)}, ${file.adoptedAt}, ${archivedAt}
        from m where not exists (select from there)
        on conflict (media_id, generation) do nothing
        returning id)
      select case when exists (select from made) or exists (select from there) then 'kept'
        when exists (select from m) then 'raced' else 'changed' end as outcome`
  }
  try {
    const [answer] = await database.settle(statement)
    return answer?.outcome ?? 'raced'
  } catch (error) {
    // `archive_path` is unique among all items.
    if (isAppError(error, 'DB_DUPLICATE')) return 'taken'
    throw error
  }
}
