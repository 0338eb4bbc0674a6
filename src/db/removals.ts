import type { ItemState } from '../item-states.ts'
import type { Cleanable } from '../set-aside.ts'
import type { Backend } from './backend.ts'
import { mediaColumn, notDeleted } from './backend-sql.ts'
import type { Database, Fragment, Sql } from './connect.ts'
import { arrayText } from './item-rows.ts'

/** What decides whether a file that was set aside for an item may go. */
export interface OwnerFacts {
  item: number
  mediaId: number
  /** Of the last version that was to be archived; null where there was none. */
  sha256: string | null
  state: ItemState
  damaged: boolean
  /** A worker has it in hand. */
  leased: boolean
  changedAt: Date
  /** How long ago that was, by the clock of the database. */
  restedMs: number
  /** Its media row is approved now. */
  approved: boolean
  /** Another version of the medium is under way, missing, held, lost or damaged, here or in the second bucket. */
  siblingInNeed: boolean
}

/** One file that goes; `path` is relative to ERROR_DIR for errors, to ARCHIVE_DIR otherwise. */
export interface Removal {
  node: string
  area: Cleanable
  path: string
  sizeBytes: number
  item: number
  mediaId: number
  reason: string
}
export type RemovalOutcome = 'removed' | 'gone' | 'changed'

/** @returns the facts of those that are there */
export async function ownerFacts(
  database: Database,
  backend: Backend,
  items: readonly number[],
): Promise<OwnerFacts[]> {
  const { mediaTable, mediaColumns, status } = backend.mapping
  const rows = await database.run(
    (sql) => sql<
      {
        id: string
        media_id: string
        sha256: string | null
        state: ItemState
        damaged: boolean
        leased: boolean
        updated_at: Date
        rested_ms: number
        approved: boolean
        in_need: boolean
      }[]
    >`
      select i.id, i.media_id, i.sha256, i.state, i.damage is not null as damaged, i.updated_at,
        (extract(epoch from clock_timestamp() - i.updated_at) * 1000)::float8 as rested_ms,
        coalesce(i.lease_until > clock_timestamp(), false) as leased,
        exists (select from ${sql(mediaTable)} m where m.${sql(mediaColumns.id)} = i.media_id
          and ${mediaColumn(sql, backend, 'status')} = ${status.approved} and ${notDeleted(sql, backend)}) as approved,
        exists (select from strongroom.items o where o.media_id = i.media_id and o.id <> i.id
          and (o.damage is not null or o.state in
            ('claimed', 'publishing', 'waiting', 'missing', 'withdrawing', 'held', 'lost')
            or exists (select from strongroom.second_copies c
              where c.item_id = o.id and ${isCopyInNeed(sql)}))) as in_need
      from strongroom.items i where i.id = any(${arrayText(items)}::bigint[])`,
  )
  return rows.map((row) => ({
    item: Number(row.id),
    mediaId: Number(row.media_id),
    sha256: row.sha256,
    state: row.state,
    damaged: row.damaged,
    leased: row.leased,
    changedAt: row.updated_at,
    restedMs: row.rested_ms,
    approved: row.approved,
    siblingInNeed: row.in_need,
  }))
}

/** Of a copy in a former bucket nothing was seen to be wrong. */
function isCopyInNeed(sql: Sql): Fragment {
  return sql`c.trouble is not null and c.trouble not like 'elsewhere:%' and c.recalled_at is null`
}

/** Sizes of archived files that are lost or damaged, here or in the second bucket: what has one of them may be another copy. */
export async function sizesInNeed(database: Database): Promise<Set<number>> {
  const rows = await database.run(
    (sql) => sql<{ size_bytes: string }[]>`
      select size_bytes from strongroom.items where state = 'lost' and size_bytes is not null
      union select size_bytes from strongroom.items where damage is not null and size_bytes is not null
      union select c.size_bytes from strongroom.second_copies c where ${isCopyInNeed(sql)}`,
  )
  return new Set(rows.map((row) => Number(row.size_bytes)))
}

/** Enters a removal before it happens. @returns its number */
export async function beginRemoval(database: Database, removal: Removal): Promise<number> {
  const { node, area, path, sizeBytes, item, mediaId, reason } = removal
  const [row] = await database.run(
    (sql) => sql<{ id: string }[]>`
      insert into strongroom.removals (node, area, path, size_bytes, item_id, media_id, reason)
      values (${node}, ${area}, ${path}, ${sizeBytes}, ${item}, ${mediaId}, ${reason}) returning id`,
  )
  return Number(row?.id)
}

export async function endRemoval(
  database: Database,
  id: number,
  outcome: RemovalOutcome,
): Promise<void> {
  await database.settle(
    (sql) => sql`
      update strongroom.removals set outcome = ${outcome}, ended_at = clock_timestamp() where id = ${id}`,
  )
}
