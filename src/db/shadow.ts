/** What shadow mode asks of the backend's tables beside the service that works on them; statements that read only. */
import type { AuditColumn, MediaColumn } from '../config.ts'
import type { AdoptedMedia } from '../media.ts'
import type { Backend } from './backend.ts'
import { mediaColumn } from './backend-sql.ts'
import type { Database, Fragment, Sql } from './connect.ts'
import { arrayText, type MediaFactsRow, toMediaRow } from './item-rows.ts'
import { rowsNaming } from './named-paths.ts'

/** A media row as another service has left it. */
export interface RowNow {
  media: AdoptedMedia
  /** `other`: any status that is none of the configured ones. */
  status: 'approved' | 'archived' | 'rejected' | 'other'
  /** The status as the row has it. */
  statusText: string | null
  deletedAt: Date | null
  archivePath: string | null
  archivedAt: Date | null
  /** Hex, lower case. */
  checksum: string | null
}

type Row = Omit<MediaFactsRow, 'object_key' | 'approved_at'> & {
  object_key: string | null
  approved_at: Date | null
  status: string | null
  deleted_at: Date | null
  archive_path: string | null
  archived_at: Date | null
  checksum: string | null
}

/** The database's clock. */
export async function databaseTime(database: Database): Promise<Date> {
  const [row] = await database.run((sql) => sql<{ now: Date }[]>`select clock_timestamp() as now`)
  if (row === undefined) throw new TypeError('a select without a table answers with one row')
  return row.now
}

/** These rows as they are now; one that is gone is not among them. */
export async function rowsNow(
  database: Database,
  backend: Backend,
  mediaIds: readonly number[],
): Promise<Map<number, RowNow>> {
  const rows = await database.run(
    (sql) => sql<Row[]>`${selectRows(sql, backend)}
      where ${mediaColumn(sql, backend, 'id')} = any(${arrayText(mediaIds)}::bigint[])`,
  )
  return new Map(rows.map((row) => [Number(row.media_id), toRowNow(backend, row)]))
}

/**
 * Rows that were archived since `since`, deleted ones too, by their ids; where no `archived_at` is set, `updated_at` tells. A
 * table that keeps neither gives none: then only rows that were seen approved can be compared.
 */
export async function archivedSince(
  database: Database,
  backend: Backend,
  page: { since: Date; afterId: number; limit: number },
): Promise<RowNow[]> {
  const rows = await database.run((sql) => {
    const column = (name: MediaColumn, type?: string) => mediaColumn(sql, backend, name, type)
    const at = sql`coalesce(${column('archived_at', 'timestamptz')}::timestamptz,
      ${column('updated_at', 'timestamptz')}::timestamptz)`
    return sql<Row[]>`${selectRows(sql, backend)}
      where ${column('status')} = ${backend.mapping.status.archived} and ${at} >= ${page.since}
        and ${column('id')} > ${page.afterId}
      order by ${column('id')} limit ${page.limit}`
  })
  return rows.map((row) => toRowNow(backend, row))
}

/** Which of these texts are the archive path of any row. */
export async function namedPaths(
  database: Database,
  backend: Backend,
  paths: readonly string[],
): Promise<Set<string>> {
  const rows = await rowsNaming(database, backend, paths)
  return new Set(rows.map(({ path }) => path))
}

/**
 * How often each action was written for each of these media since `since`, by media id. The array has the type of the
 * column, which may be text, so that its index serves.
 */
export async function auditsSince(
  database: Database,
  backend: Backend,
  { mediaIds, since }: { mediaIds: readonly number[]; since: Date },
): Promise<Map<number, Map<string, number>>> {
  const rows = await database.run((sql) => {
    const column = (name: AuditColumn) => sql`a.${sql(backend.mapping.auditColumns[name])}`
    const recent = backend.auditColumns.has('created_at')
      ? sql`${column('created_at')} >= ${since}`
      : sql`true`
    return sql<{ media_id: string; action: string; count: string }[]>`
      select ${column('media_id')}::text as media_id, ${column('action')}::text as action, count(*)::text as count
      from ${sql(backend.mapping.auditTable)} a
      where ${column('media_id')} = any(${arrayText(mediaIds)}) and ${recent}
      group by 1, 2`
  })
  const found = new Map<number, Map<string, number>>()
  for (const { media_id, action, count } of rows) {
    const actions = found.get(Number(media_id)) ?? new Map<string, number>()
    found.set(Number(media_id), actions.set(action, Number(count)))
  }
  return found
}

function selectRows(sql: Sql, backend: Backend): Fragment {
  const { kinds } = backend.mapping
  const column = (name: MediaColumn, type = 'text') => mediaColumn(sql, backend, name, type)
  return sql`
    select ${column('id')} as media_id, ${column('user_id', 'bigint')} as user_id,
      ${column('title')} as title, ${column('filename')} as filename,
      case ${column('content_type')}::text when ${kinds.video} then 'video'
        when ${kinds.image} then 'image' when ${kinds.audio} then 'audio' end as content_type,
      ${column('mime_type')} as mime_type, ${column('file_size', 'bigint')} as declared_bytes,
      ${column('object_key')} as object_key, ${column('approved_at')}::timestamptz as approved_at,
      ${column('status')}::text as status, ${column('deleted_at', 'timestamptz')}::timestamptz as deleted_at,
      nullif(${column('archive_path')}::text, '') as archive_path,
      ${column('archived_at', 'timestamptz')}::timestamptz as archived_at,
      lower(nullif(${column('checksum_sha256')}::text, '')) as checksum
    from ${sql(backend.mapping.mediaTable)} m`
}

function toRowNow({ mapping }: Backend, row: Row): RowNow {
  const facts = toMediaRow({ ...row, object_key: '', approved_at: new Date(0) })
  return {
    media: { ...facts, objectKey: row.object_key, approvedAt: row.approved_at },
    status: statusOf(mapping, row.status),
    statusText: row.status,
    deletedAt: row.deleted_at,
    archivePath: row.archive_path,
    archivedAt: row.archived_at,
    checksum: row.checksum,
  }
}

function statusOf({ status }: Backend['mapping'], text: string | null): RowNow['status'] {
  if (text === status.approved) return 'approved'
  if (text === status.archived) return 'archived'
  return text !== null && text === status.rejected ? 'rejected' : 'other'
}
