import { setTimeout } from 'node:timers/promises'
import type { MediaColumn } from '../config.ts'
import { isAppError } from '../errors.ts'
import type { Item } from '../media.ts'
import { isSameVersion, mediaColumn, notDeleted } from './backend-sql.ts'
import type { Sql } from './connect.ts'
import {
  arrayText,
  type DueWish,
  type Held,
  type ItemRow,
  toItem,
  type WorkerContext,
} from './item-rows.ts'

/** A claim is repeated so often when others took what it saw. */
const TURNS = 20

/**
 * How far this process has come in the rows that are approved. Those that are held or rejected stay approved for ever, and
 * each look at one costs microseconds: what was looked at is passed over for a while, or until nothing else is left.
 */
export interface Passed {
  approvedAt: Date | null
  /** When all of them were looked at. */
  lookedAt: number
  /** Monotonic milliseconds. */
  clock: () => number
}

/** What became claimable behind us, a dead worker's items among it, waits no longer. */
const LOOK_AGAIN_MS = 30_000

export function nothingPassed(clock: () => number): Passed {
  return { approvedAt: null, lookedAt: Number.NEGATIVE_INFINITY, clock }
}

/** A claim's row, or one row without an id; `seen` when there was something to claim. */
type Answer = (ItemRow | { id: null }) & { seen: boolean }

/**
 * Claims approved rows. The upsert's own WHERE decides between claimers: SKIP LOCKED on the media row would not, because
 * that row does not change while an item is worked on.
 *
 * A row that has no open item opens its next generation if key, size or approval time differ from the latest one's, or
 * if that one was withdrawn: the approval is back.
 * An open item is taken over when it is due and its lease is over — or is our own from a claim whose answer was lost.
 */
export async function claimApproved(
  context: WorkerContext,
  wish: { limit: number; held: readonly Held[]; passed: Passed },
): Promise<Item[]> {
  const { passed, ...asked } = wish
  const now = passed.clock()
  const isFresh = now - passed.lookedAt < LOOK_AGAIN_MS
  let items = await claimFrom(context, { ...asked, from: isFresh ? passed.approvedAt : null })
  if (!isFresh || passed.approvedAt === null) passed.lookedAt = now
  else if (items.length === 0) {
    passed.lookedAt = now
    items = await claimFrom(context, { ...asked, from: null })
  }
  passed.approvedAt = items.length < asked.limit ? null : (items.at(-1)?.media.approvedAt ?? null)
  return items
}

/** What is claimed: approved rows from `from` on; null for all. */
interface Wish {
  limit: number
  held: readonly Held[]
  from: Date | null
}

async function claimFrom(context: WorkerContext, wish: Wish): Promise<Item[]> {
  for (let turn = 1; turn <= TURNS; turn++) {
    try {
      const rows = await claimOnce(context, wish)
      if (rows !== 'all taken') return rows.map(toItem)
    } catch (error) {
      // Two claimers made the same generation at once: one of them sees the other's row when it looks again.
      if (!isAppError(error, 'DB_DUPLICATE') || turn === TURNS) throw error
    }
    // Those who lost to the same claim wake up together and would look for the same rows again.
    await setTimeout(Math.random() * 10 * turn)
  }
  return []
}

/** `all taken`: every row that this statement saw was claimed by others meanwhile; there may be more behind them. */
async function claimOnce(context: WorkerContext, wish: Wish): Promise<ItemRow[] | 'all taken'> {
  const rows = await context.database.settle((sql) => statement(sql, context, wish))
  const claimed = rows.flatMap((row) => (row.id === null ? [] : [row]))
  return claimed.length === 0 && rows.some((row) => row.seen) ? 'all taken' : claimed
}

function statement(sql: Sql, context: WorkerContext, { limit, held, from }: Wish) {
  const { backend, archiveId, owner, leaseMs } = context
  const { mapping } = backend
  const column = (name: MediaColumn, type = 'text') => mediaColumn(sql, backend, name, type)
  const inHand = arrayText(held.map((item) => item.id))
  const free = sql`(i.lease_until is null or i.lease_until < clock_timestamp()
    or (i.lease_owner = ${owner} and not i.id = any(${inHand}::bigint[])))`
  return sql<Answer[]>`
    with candidates as materialized (
      select m.${sql(mapping.mediaColumns.id)} as media_id, ${column('user_id', 'bigint')} as user_id,
        ${column('title')} as title, ${column('filename')} as filename,
        case ${column('content_type')}::text when ${mapping.kinds.video} then 'video'
          when ${mapping.kinds.image} then 'image' when ${mapping.kinds.audio} then 'audio' end as content_type,
        ${column('mime_type')} as mime_type, nullif(${column('file_size', 'bigint')}, 0) as declared_bytes,
        ${column('object_key')} as object_key, ${column('approved_at')} as approved_at,
        coalesce(i.generation, 0) as latest,
        coalesce(i.state in ('claimed', 'waiting', 'missing'), false) as again
      from ${sql(mapping.mediaTable)} m
      left join lateral (
        select * from strongroom.items where media_id = m.${sql(mapping.mediaColumns.id)}
        order by generation desc limit 1) i on true
      where ${column('status')} = ${mapping.status.approved} and ${notDeleted(sql, backend)}
        and ${column('approved_at')} is not null and ${column('object_key')} is not null
        and ${from === null ? sql`true` : sql`${column('approved_at')}::timestamptz >= ${from}::timestamptz`}
        and exists (select from strongroom.archives where id = ${archiveId} and sick_at is null)
        and case
          when i.id is null then true
          when i.state in ('claimed', 'waiting', 'missing') then ${free} and i.next_attempt_at <= clock_timestamp()
          when i.state in ('publishing', 'withdrawing') then false
          when i.state = 'withdrawn' then true
          else not (${isSameVersion(sql, backend)})
        end
      order by ${column('approved_at')}, m.${sql(mapping.mediaColumns.id)}
      limit ${limit}),
    claimed as (
      insert into strongroom.items as i (media_id, generation, state, user_id, title, filename, content_type,
        mime_type, declared_bytes, object_key, approved_at, lease_owner, lease_until)
      select media_id, case when again then latest else latest + 1 end, 'claimed', user_id, title, filename,
        content_type, mime_type, declared_bytes, object_key, approved_at,
        ${owner}, clock_timestamp() + ${leaseMs} * interval '1 ms'
      from candidates order by approved_at, media_id
      on conflict (media_id) where state in ('claimed', 'publishing', 'waiting', 'missing', 'withdrawing')
      do update set state = 'claimed', epoch = i.epoch + 1,
        user_id = excluded.user_id, title = excluded.title, filename = excluded.filename,
        content_type = excluded.content_type, mime_type = excluded.mime_type, declared_bytes = excluded.declared_bytes,
        object_key = excluded.object_key, approved_at = excluded.approved_at, archive_path = null,
        -- a lease that ran out in the middle of the work is an attempt too: it may have killed its worker
        attempts = i.attempts + case when i.state = 'claimed' and i.lease_owner <> ${owner} then 1 else 0 end,
        lease_owner = excluded.lease_owner, lease_until = excluded.lease_until, updated_at = clock_timestamp()
      where i.state in ('claimed', 'waiting', 'missing') and ${free} and i.next_attempt_at <= clock_timestamp()
      returning i.*)
    select exists (select from candidates) as seen, claimed.*
    from (select) one left join claimed on true order by claimed.approved_at, claimed.media_id`
}

/** Takes over what dead workers left half published or half withdrawn. */
export async function claimAbandoned(
  { database, owner, leaseMs, archiveId }: WorkerContext,
  { limit, held, dueBy }: DueWish,
): Promise<Item[]> {
  const inHand = arrayText(held.map((item) => item.id))
  const rows = await database.settle(
    (sql) => sql<ItemRow[]>`
      with abandoned as (
        select id from strongroom.items
        where state in ('publishing', 'withdrawing') and next_attempt_at <= least(clock_timestamp(), ${dueBy}::timestamptz)
          and (lease_until is null or lease_until < clock_timestamp()
            or (lease_owner = ${owner} and not id = any(${inHand}::bigint[])))
          and exists (select from strongroom.archives where id = ${archiveId} and sick_at is null)
        order by id limit ${limit} for no key update skip locked)
      update strongroom.items i set epoch = i.epoch + 1, lease_owner = ${owner},
        lease_until = clock_timestamp() + ${leaseMs} * interval '1 ms', updated_at = clock_timestamp()
      from abandoned where i.id = abandoned.id returning i.*`,
  )
  return rows.map(toItem)
}
