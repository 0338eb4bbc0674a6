import type { Backend } from './backend.ts'
import { mediaColumn, notDeleted } from './backend-sql.ts'
import type { Database } from './connect.ts'

/** A media row that says where its file is. */
export interface NamingRow {
  /** As the row has it. */
  path: string
  mediaId: number
  living: boolean
}

/**
 * The rows whose archive path is one of these texts. Without an index of the backend's own it reads the whole table: ask once
 * for all.
 */
export async function rowsNaming(
  database: Database,
  backend: Backend,
  paths: readonly string[],
): Promise<NamingRow[]> {
  if (paths.length === 0) return []
  const rows = await database.run((sql) => {
    const path = mediaColumn(sql, backend, 'archive_path')
    return sql<(Omit<NamingRow, 'mediaId'> & { id: string })[]>`
      select ${path}::text as path, ${mediaColumn(sql, backend, 'id')}::text as id, ${notDeleted(sql, backend)} as living
      from ${sql(backend.mapping.mediaTable)} m
      where ${path}::text in (select jsonb_array_elements_text(${sql.json([...paths])}::jsonb))`
  })
  return rows.map(({ id, ...row }) => ({ ...row, mediaId: Number(id) }))
}
