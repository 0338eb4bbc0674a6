import type { ItemState } from '../item-states.ts'
import type { Backend } from './backend.ts'
import { mediaColumn, notDeleted } from './backend-sql.ts'
import type { Database } from './connect.ts'

/** The item that a path in the archive belongs to. */
export interface PathOwner {
  item: number
  mediaId: number
  state: ItemState
}

/** Whose these paths are; those that belong to no item are left out. */
export async function ownersOf(
  database: Database,
  paths: readonly string[],
): Promise<Map<string, PathOwner>> {
  if (paths.length === 0) return new Map()
  const rows = await database.run(
    (sql) => sql<{ archive_path: string; id: string; media_id: string; state: ItemState }[]>`
      select archive_path, id, media_id, state from strongroom.items
      where archive_path in (select json_array_elements_text(${JSON.stringify(paths)}::text::json))`,
  )
  return new Map(
    rows.map(({ archive_path: path, id, media_id: mediaId, state }) => [
      path,
      { item: Number(id), mediaId: Number(mediaId), state },
    ]),
  )
}

/** An item that a worker left in the middle of its work. */
export interface AbandonedItem extends PathOwner {
  archivePath: string | null
}

/** Items whose lease is over although their state says that somebody works on them, by rising id. */
export async function abandonedItems(
  database: Database,
  page: { after: number; limit: number },
): Promise<AbandonedItem[]> {
  const rows = await database.run(
    (sql) => sql<{ archive_path: string | null; id: string; media_id: string; state: ItemState }[]>`
      select archive_path, id, media_id, state from strongroom.items
      where state in ('claimed', 'publishing', 'withdrawing', 'releasing') and id > ${page.after}
        and (lease_until is null or lease_until < clock_timestamp())
      order by id limit ${page.limit}`,
  )
  return rows.map(({ archive_path: archivePath, id, media_id: mediaId, state }) => ({
    archivePath,
    item: Number(id),
    mediaId: Number(mediaId),
    state,
  }))
}

/**
 * Which of these paths living media rows name as their file's, and of which media. Without an index of the backend's own it
 * reads the whole table: ask once for all.
 *
 * @param of.roots absolute spellings of ARCHIVE_DIR
 */
export async function namedPaths(
  database: Database,
  backend: Backend,
  { paths, roots }: { paths: readonly string[]; roots: readonly string[] },
): Promise<Map<string, Set<number>>> {
  const spellings = ['', '/', './', ...roots.map((root) => `${root}/`)]
  const asked = paths.flatMap((path) => spellings.map((start) => ({ path, spelt: start + path })))
  const rows = await database.run(
    (sql) => sql<{ path: string; mediaId: string }[]>`
      select asked.path, ${mediaColumn(sql, backend, 'id')}::text as "mediaId"
      from json_to_recordset(${JSON.stringify(asked)}::text::json) as asked (path text, spelt text)
        join ${sql(backend.mapping.mediaTable)} m on ${mediaColumn(sql, backend, 'archive_path')} = asked.spelt
      where ${notDeleted(sql, backend)}`,
  )
  const named = new Map<string, Set<number>>()
  for (const { path, mediaId } of rows)
    named.set(path, (named.get(path) ?? new Set()).add(Number(mediaId)))
  return named
}
