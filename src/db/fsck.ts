import type { ItemState } from '../item-states.ts'
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
