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

/** What counts towards RELEASE_DAILY_MAX now. */
export async function releasesToday(
  database: Database,
): Promise<{ released: number; releasing: number }> {
  const [row] = await database.run(
    (sql) => sql<{ released: string; releasing: string }[]>`
      select
        (select count(*) from strongroom.items
          where released_at > now() - interval '24 hours') as released,
        (select count(*) from strongroom.items where state = 'releasing') as releasing`,
  )
  return { released: Number(row?.released), releasing: Number(row?.releasing) }
}

/**
 * The items that are under a lease: asked at the end of a run, when its own are given back, these are another run's, dead
 * or alive.
 */
export async function leasedItems(
  database: Database,
): Promise<{ items: number; longestMs: number }> {
  const [row] = await database.run(
    (sql) => sql<{ items: string; longest_ms: string }[]>`
      select count(*) as items,
        coalesce(ceil(extract(epoch from max(lease_until) - clock_timestamp()) * 1000), 0) as longest_ms
      from strongroom.items
      where state in ('claimed', 'publishing', 'withdrawing', 'releasing')
        and lease_until > clock_timestamp()`,
  )
  return { items: Number(row?.items), longestMs: Math.max(0, Number(row?.longest_ms)) }
}

export interface ListedMedia {
  mediaId: number
  objectKey: string
  state: ItemState
  archivePath: string | null
  sizeBytes: number | null
  sha256: string | null
  reason: string | null
}

/** The newest item of every media row, for small tables such as the demo's. */
export async function listMedia(database: Database): Promise<ListedMedia[]> {
  const rows = await database.run(
    (sql) => sql<
      {
        media_id: string
        object_key: string
        state: ItemState
        archive_path: string | null
        size_bytes: string | null
        sha256: string | null
        error_message: string | null
      }[]
    >`
      select distinct on (media_id) media_id, object_key, state, archive_path, size_bytes, sha256, error_message
      from strongroom.items order by media_id, generation desc`,
  )
  return rows.map((row) => ({
    mediaId: Number(row.media_id),
    objectKey: row.object_key,
    state: row.state,
    archivePath: row.archive_path,
    sizeBytes: row.size_bytes === null ? null : Number(row.size_bytes),
    sha256: row.sha256,
    reason: row.error_message,
  }))
}
