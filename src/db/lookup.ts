import type { ItemState } from '../item-states.ts'
import type { Database } from './connect.ts'

/** The newest copy of a media row that can be served. @returns null when nothing of it is archived */
export async function findArchived(
  database: Database,
  mediaId: number,
): Promise<{ archivePath: string; userId: number | null } | null> {
  const [row] = await database.run(
    (sql) => sql<{ archive_path: string; user_id: string | null }[]>`
      select archive_path, user_id from strongroom.items
      where media_id = ${mediaId} and archive_path is not null
        and state in ('archived', 'releasing', 'released', 'source_differs', 'kept')
      order by generation desc limit 1`,
  )
  if (row === undefined) return null
  return {
    archivePath: row.archive_path,
    userId: row.user_id === null ? null : Number(row.user_id),
  }
}

/** How many items are in each state. */
export async function countByState(
  database: Database,
): Promise<Partial<Record<ItemState, number>>> {
  const rows = await database.run(
    (sql) => sql<{ state: ItemState; count: string }[]>`
      select state, count(*) from strongroom.items group by state`,
  )
  return Object.fromEntries(rows.map((row) => [row.state, Number(row.count)]))
}
