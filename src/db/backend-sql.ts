/** Pieces of statements about the backend's tables, by the columns that it has. */
import type { AuditColumn, MediaColumn } from '../config.ts'
import type { Backend } from './backend.ts'
import type { Fragment, Sql } from './connect.ts'

/** A column of the media table under alias `m`, or a typed null where the backend has none. */
export function mediaColumn(
  sql: Sql,
  backend: Backend,
  column: MediaColumn,
  type = 'text',
): Fragment {
  if (!backend.mediaColumns.has(column)) return sql`null::${sql.unsafe(type)}`
  return sql`m.${sql(backend.mapping.mediaColumns[column])}`
}

/** `m` is not soft-deleted; true where the backend knows no deletion. */
export function notDeleted(sql: Sql, backend: Backend, alias = 'm'): Fragment {
  if (!backend.mediaColumns.has('deleted_at')) return sql`true`
  return sql`${sql(alias)}.${sql(backend.mapping.mediaColumns.deleted_at)} is null`
}

/** Item `item` is of the version that row `m` names now, by its key, its declared size and its approval. */
export function isSameVersion(sql: Sql, backend: Backend, item = 'i'): Fragment {
  const column = (name: MediaColumn, type?: string) => mediaColumn(sql, backend, name, type)
  const own = sql(item)
  return sql`(${own}.object_key, ${own}.declared_bytes, ${own}.approved_at) is not distinct from
    (${column('object_key')}::text, nullif(${column('file_size', 'bigint')}, 0)::bigint,
      ${column('approved_at')}::timestamptz)`
}

/** The assignments by which a media row says archived, of the item that `from` names. */
export function archivedAssignments(
  sql: Sql,
  backend: Backend,
  from: string,
  archivedAt = sql`${sql(from)}.archived_at`,
): Fragment {
  return mediaAssignments(sql, backend, {
    status: sql`${backend.mapping.status.archived}`,
    archive_path: sql`${sql(from)}.archive_path`,
    archived_at: archivedAt,
    checksum_sha256: sql`${sql(from)}.sha256`,
    updated_at: sql`clock_timestamp()`,
  })
}

/** The assignments `column = value` for those of `values` whose column exists. */
export function mediaAssignments(
  sql: Sql,
  backend: Backend,
  values: Partial<Record<MediaColumn, Fragment>>,
): Fragment {
  const assignments = (Object.entries(values) as [MediaColumn, Fragment][])
    .filter(([column]) => backend.mediaColumns.has(column))
    .map(([column, value]) => sql`${sql(backend.mapping.mediaColumns[column])} = ${value}`)
  return joined(sql, assignments)
}

/**
 * `insert into audit … select … from <source>`, where `source` names a CTE with column `media_id`;
 * returns the media id.
 */
export function auditInsert(
  sql: Sql,
  backend: Backend,
  entry: { source: string; action: string; details: Fragment },
): Fragment {
  const { auditColumns: names, auditTable } = backend.mapping
  const values: [AuditColumn, Fragment][] = [
    ['media_id', sql`s.media_id`],
    ['action', sql`${entry.action}`],
    ['details', entry.details],
    ['created_at', sql`clock_timestamp()`],
  ]
  const there = values.filter(([column]) => backend.auditColumns.has(column))
  const columns = joined(
    sql,
    there.map(([column]) => sql`${sql(names[column])}`),
  )
  return sql`insert into ${sql(auditTable)} (${columns})
    select ${joined(
      sql,
      there.map(([, value]) => value),
    )} from ${sql(entry.source)} s`
}

function joined(sql: Sql, parts: Fragment[]): Fragment {
  const [first, ...rest] = parts
  if (first === undefined) return sql``
  return rest.reduce((all, part) => sql`${all}, ${part}`, first)
}
