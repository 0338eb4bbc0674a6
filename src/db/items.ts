import type { AppError } from '../errors.ts'
import type { ItemState } from '../item-states.ts'
import type { DueItem, Intent, Item } from '../media.ts'
import { damagedAt } from './archived.ts'
import { closeUnapproved, markReapproved, markReleasedBefore } from './changed-rows.ts'
import { claimDueForRelease } from './claim-due.ts'
import { claimAbandoned, claimApproved, nothingPassed } from './claims.ts'
import { type Ask, createGroup } from './group.ts'
import { claimFiled, type HealVerdict, settleHeal } from './heals.ts'
import { commitIntents, type Wish } from './intents.ts'
import {
  arrayText,
  askedRows,
  byHeld,
  type Held,
  type Rejection,
  type WorkerContext,
} from './item-rows.ts'

import {
  type Gone,
  recordArchived,
  recordRejected,
  recordReleased,
  refusedThrown,
} from './records.ts'
import { type Begun, confirmRelease, dueElsewhere, newestSource } from './release-check.ts'

export type { HealVerdict } from './heals.ts'
export type { Held, Rejection, WorkerContext } from './item-rows.ts'

/**
 * The protocol's writes, one statement each, or one for several that are asked for at once. All of them may be repeated: they
 * name the item's epoch and tell what they found, so a lost answer is asked for again until the database has spoken.
 */
export interface Items {
  /**
   * Approved rows that nobody works on, oldest approval first; what becomes claimable behind those that were claimed is found
   * half a minute later. `held` is what this worker has in hand already.
   */
  claim(limit: number, held: readonly Held[]): Promise<Item[]>
  /**
   * Items that a dead worker left in `publishing` or `withdrawing`.
   *
   * @param dueBy database time; a pass that names its beginning never meets again what it put back
   */
  claimAbandoned(limit: number, held: readonly Held[], dueBy?: Date | null): Promise<Item[]>
  /**
   * Archived items whose grace is over, as `releasing`; nothing while releases are paused or the disk is sick, and no more
   * than RELEASE_DAILY_MAX leaves room for. `dueBy` as with {@link claimAbandoned}.
   */
  claimDue(limit: number, held: readonly Held[], dueBy?: Date | null): Promise<DueItem[]>
  /** What is due but lies in other buckets than the configured one, where {@link claimDue} leaves it. */
  dueElsewhere(): Promise<{ bucket: string; items: number }[]>
  /** The key of the source that is the last to become due; null when no item is `archived`. */
  newestSource(): Promise<string | null>
  /** Extends the leases. @returns the ids still held, and the database's clock, rounded up */
  heartbeat(held: readonly Held[]): Promise<{ alive: Set<number>; databaseTimeMs: number }>
  /** `taken`: another item owns the archive path. */
  commitIntent(item: Held, intent: Intent): Promise<'committed' | 'taken' | 'stale'>
  /** `withdrawing`: the media row is no longer the approved row that was claimed; `sick`: the disk failed. */
  record(item: Held): Promise<'archived' | 'withdrawing' | 'sick' | 'stale'>
  reject(item: Held, verdict: Rejection): Promise<'rejected' | 'stale'>
  /** The item leaves the worker's hands; false when it was no longer the worker's. */
  putBack(item: Held, to: PutBack): Promise<boolean>
  /** From `publishing` back to the start: nothing usable lies at the intent's path. */
  restart(item: Held): Promise<boolean>
  /** Keeps the state and gives up the lease: recovery takes over. */
  yield(item: Held, to: Yield): Promise<boolean>
  finishWithdrawal(item: Held, movedTo: string): Promise<boolean>
  /** May the source go at this moment? `refused`: the item was given back, due as before, a begun one as `releasing`. */
  confirmRelease(item: Begun): Promise<'confirmed' | 'refused' | 'stale'>
  released(item: Held, outcome: 'deleted' | 'already_gone'): Promise<boolean>
  /** Ends a release without deletion: `archived` is due again after `delayMs`. */
  keepSource(item: Held, to: KeepSource): Promise<boolean>
  /** One archived item that nobody works on, in the state it is in; nothing while healing is paused or the disk is sick. */
  claimFiled(item: number, held: readonly Held[]): Promise<Item | null>
  settleHeal(item: Held, verdict: HealVerdict): Promise<boolean>
  /** Where items are now, and whether somebody's lease is running, for the sweep of temporary files. */
  current(ids: readonly number[]): Promise<Map<number, CurrentItem>>
  /** Open items that nobody works on and whose media row is no longer approved become `withdrawn`. */
  closeUnapproved(): Promise<number[]>
  /** Sets media rows that were approved again although exactly this version is archived back to archived. */
  markReapproved(): Promise<number[]>
  /** The same for rows that were approved anew, unchanged, after we had released their source: they count as missing. */
  markReleasedBefore(): Promise<number[]>
}

export interface KeepSource {
  state: 'archived' | 'source_differs' | 'lost'
  error: AppError
  delayMs: number
  /** What is wrong with the archived file now, null for nothing; by default nothing is said of it. */
  damage?: string | null
}

export interface CurrentItem {
  epoch: number
  state: ItemState
  leased: boolean
}

export interface Yield {
  error: AppError | null
  delayMs: number
  /** That it has used up by now; by default as before. */
  attempts?: number
}

export type PutBack =
  | { state: 'waiting' | 'missing'; error: AppError; delayMs: number; burn: boolean }
  | { state: 'held'; error: AppError }
  /** Given back untouched, for any worker to claim at once. */
  | { state: 'waiting'; error: null; delayMs: 0; burn: false }

/** @param clock monotonic milliseconds */
export function openItems(context: WorkerContext, clock = () => performance.now()): Items {
  const { database } = context
  const passed = nothingPassed(clock)
  const lasting = { together: database.run, alone: database.settle }
  const commit = createGroup(lasting, (wishes: readonly Wish[], ask) =>
    commitIntents(context, wishes, ask),
  )
  const record = createGroup(lasting, (held: readonly Held[], ask) =>
    recordArchived(context, held, ask),
  )
  const confirm = createGroup(lasting, (held: readonly Begun[], ask) =>
    confirmRelease(context, held, ask),
  )
  const release = createGroup(lasting, (held: readonly Gone[], ask) =>
    recordReleased(context, held, ask),
  )
  const beatOne = createGroup(
    { together: database.run, alone: database.run },
    async (held: readonly Held[], ask) => (await heartbeat(context, held, ask)).beats,
  )
  return {
    claim: (limit, held) => claimApproved(context, { limit, held, passed }),
    claimAbandoned: (limit, held, dueBy = null) => claimAbandoned(context, { limit, held, dueBy }),
    claimDue: (limit, held, dueBy = null) => claimDueForRelease(context, { limit, held, dueBy }),
    dueElsewhere: () => dueElsewhere(context),
    newestSource: () => newestSource(context),
    async heartbeat(held) {
      const [only, ...more] = held
      if (only !== undefined && more.length === 0) {
        const { alive, databaseTimeMs } = await beatOne(only)
        return { alive: new Set(alive ? [only.id] : []), databaseTimeMs }
      }
      const { beats, databaseTimeMs } = await heartbeat(context, held, database.run)
      const alive = held.filter((_, at) => beats[at]?.alive).map(({ id }) => id)
      return { alive: new Set(alive), databaseTimeMs }
    },
    commitIntent: (item, intent) => commit({ held: item, intent }),
    record: async (item) => refusedThrown(context, item, await record(item)),
    reject: (item, verdict) => recordRejected(context, item, verdict),
    putBack: (item, to) => putBack(context, item, to),
    async restart(item) {
      const rows = await database.settle(
        (sql) => sql`
          update strongroom.items set state = 'waiting', archive_path = null, lease_owner = null, lease_until = null,
            next_attempt_at = clock_timestamp(), updated_at = clock_timestamp()
          where id = ${item.id} and epoch = ${item.epoch} and state in ('publishing', 'waiting') returning id`,
      )
      return rows.length === 1
    },
    yield: (item, to) => yieldLease(context, item, to),
    async finishWithdrawal(item, movedTo) {
      const rows = await database.settle(
        (sql) => sql`
          update strongroom.items set state = 'withdrawn', archive_path = null, lease_owner = null, lease_until = null,
            error_message = ${`the copy lies in ${movedTo}`}, updated_at = clock_timestamp()
          where id = ${item.id} and epoch = ${item.epoch} and state in ('withdrawing', 'withdrawn') returning id`,
      )
      return rows.length === 1
    },
    confirmRelease: ({ id, epoch, begun }) => confirm({ id, epoch, begun }),
    released: ({ id, epoch }, outcome) => release({ id, epoch, outcome }),
    keepSource: (item, to) => keepSource(context, item, to),
    claimFiled: (item, held) => claimFiled(context, item, held),
    settleHeal: (item, verdict) => settleHeal(context, item, verdict),
    current: (ids) => currentItems(context, ids),
    closeUnapproved: () => closeUnapproved(context),
    markReapproved: () => markReapproved(context),
    markReleasedBefore: () => markReleasedBefore(context),
  }
}

interface Beat {
  alive: boolean
  databaseTimeMs: number
}

async function heartbeat(
  { leaseMs }: WorkerContext,
  held: readonly Held[],
  ask: Ask,
): Promise<{ beats: Beat[]; databaseTimeMs: number }> {
  const rows = await ask(
    (sql) => sql<{ id: string; epoch: number; now_ms: string }[]>`
      with ${askedRows(sql, held)},
      extended as (
        update strongroom.items i set lease_until = clock_timestamp() + ${leaseMs} * interval '1 ms'
        from asked where i.id = asked.id and i.epoch = asked.epoch and i.lease_owner is not null returning i.id, i.epoch)
      select e.id, e.epoch, ceil(extract(epoch from clock_timestamp()) * 1000)::bigint as now_ms
      from (select 1) one left join extended e on true`,
  )
  const found = byHeld(rows)
  const databaseTimeMs = Number(rows[0]?.now_ms)
  return {
    beats: held.map((item) => ({ alive: found(item) !== undefined, databaseTimeMs })),
    databaseTimeMs,
  }
}

async function putBack({ database }: WorkerContext, item: Held, to: PutBack): Promise<boolean> {
  const { state, error } = to
  const delayMs = to.state === 'held' ? 0 : to.delayMs
  const burn = to.state !== 'held' && to.burn ? 1 : 0
  const rows = await database.settle(
    (sql) => sql`
      update strongroom.items set state = ${state}, lease_owner = null, lease_until = null,
        attempts = attempts + case when state = ${state} then 0 else ${burn}::int end,
        next_attempt_at = clock_timestamp() + ${delayMs} * interval '1 ms',
        error_code = ${error?.code ?? null}, error_message = ${error?.message ?? null}, updated_at = clock_timestamp()
      where id = ${item.id} and epoch = ${item.epoch} and state in ('claimed', ${state}) returning id`,
  )
  return rows.length === 1
}

async function yieldLease(
  { database }: WorkerContext,
  item: Held,
  { error, delayMs, attempts }: Yield,
): Promise<boolean> {
  const rows = await database.settle(
    (sql) => sql`
      update strongroom.items set lease_owner = null, lease_until = null,
        attempts = coalesce(${attempts ?? null}::int, attempts),
        next_attempt_at = clock_timestamp() + ${delayMs} * interval '1 ms',
        error_code = ${error?.code ?? null}, error_message = ${error?.message ?? null}, updated_at = clock_timestamp()
      where id = ${item.id} and epoch = ${item.epoch} and state in ('publishing', 'withdrawing', 'releasing') returning id`,
  )
  return rows.length === 1
}

async function keepSource(
  { database }: WorkerContext,
  item: Held,
  { state, error, delayMs, damage }: KeepSource,
): Promise<boolean> {
  const rows = await database.settle((sql) => {
    const noted =
      damage === undefined
        ? sql``
        : sql`damage = ${damage}, damaged_at = ${damagedAt(sql, damage)}, verified_at = clock_timestamp(),`
    return sql`
      update strongroom.items set state = ${state}, lease_owner = null, lease_until = null, ${noted}
        release_due = clock_timestamp() + ${delayMs} * interval '1 ms',
        error_code = ${error.code}, error_message = ${error.message}, updated_at = clock_timestamp()
      where id = ${item.id} and epoch = ${item.epoch} and state in ('releasing', ${state}) returning id`
  })
  return rows.length === 1
}

export async function currentItems(
  { database }: Pick<WorkerContext, 'database'>,
  ids: readonly number[],
): Promise<Map<number, CurrentItem>> {
  const rows = await database.run(
    (sql) => sql<({ id: string } & CurrentItem)[]>`
      select id, epoch, state, coalesce(lease_until >= clock_timestamp(), false) as leased
      from strongroom.items where id = any(${arrayText(ids)}::bigint[])`,
  )
  return new Map(rows.map(({ id, ...now }) => [Number(id), now]))
}
