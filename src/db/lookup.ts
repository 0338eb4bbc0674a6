import type { ItemState } from '../item-states.ts'
import type { Database } from './connect.ts'
import { positive } from './item-rows.ts'

export interface ArchivedCopy {
  archivePath: string
  /** Null where it is not known. */
  userId: number | null
  /** It is in the second bucket. */
  moved: boolean
  /** What was wrong when it was last read; null where nothing was. */
  damage: string | null
}

/**
 * The newest copy of a media row that can be served, or brought back where it is `moved`.
 *
 * @returns null when nothing of it is archived
 */
export async function findArchived(
  database: Database,
  mediaId: number,
): Promise<ArchivedCopy | null> {
  const [row] = await database.run(
    (sql) => sql<
      { archive_path: string; user_id: string | null; moved: boolean; damage: string | null }[]
    >`
      select archive_path, user_id, state = 'moved' as moved, damage from strongroom.items
      where media_id = ${mediaId} and archive_path is not null
        and state in ('archived', 'releasing', 'released', 'moved', 'source_differs', 'kept')
      order by generation desc limit 1`,
  )
  if (row === undefined) return null
  return {
    archivePath: row.archive_path,
    userId: positive(row.user_id),
    moved: row.moved,
    damage: row.damage,
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

/** Open items that a run leaves behind. */
export interface Unfinished {
  /** Under a lease; at the end of a run, when its own are given back, these are another run's, dead or alive. */
  leased: { items: number; longestMs: number }
  /** To be tried again, or finished, at a later time. */
  later: { items: number; soonestMs: number }
}

export async function unfinishedItems(database: Database): Promise<Unfinished> {
  const [row] = await database.run(
    (sql) => sql<Record<'leased' | 'longest_ms' | 'later' | 'soonest_ms', string>[]>`
      with unfinished as (
        select next_attempt_at, coalesce(lease_until > clock_timestamp(), false) as leased,
          extract(epoch from lease_until - clock_timestamp()) * 1000 as lease_ms,
          extract(epoch from next_attempt_at - clock_timestamp()) * 1000 as wait_ms
        from strongroom.items
        where state in ('claimed', 'waiting', 'missing', 'publishing', 'withdrawing', 'releasing'))
      select count(*) filter (where leased) as leased,
        coalesce(ceil(max(lease_ms) filter (where leased)), 0) as longest_ms,
        count(*) filter (where not leased and wait_ms > 0) as later,
        coalesce(ceil(min(wait_ms) filter (where not leased and wait_ms > 0)), 0) as soonest_ms
      from unfinished`,
  )
  return {
    leased: { items: Number(row?.leased), longestMs: Math.max(0, Number(row?.longest_ms)) },
    later: { items: Number(row?.later), soonestMs: Math.max(0, Number(row?.soonest_ms)) },
  }
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
