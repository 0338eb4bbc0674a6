import { AppError } from '../errors.ts'
import type { ItemState } from '../item-states.ts'
import {
  archivedAssignments,
  auditInsert,
  mediaAssignments,
  mediaColumn,
  notDeleted,
} from './backend-sql.ts'
import type { Query, Sql } from './connect.ts'
import type { Ask } from './group.ts'
import {
  arrayText,
  askedRows,
  byHeld,
  type Held,
  type Rejection,
  type WorkerContext,
} from './item-rows.ts'

/**
 * Records archived files: item, media row and audit row of each in one statement for all, each part depending on the rows of
 * the part before. Locks are taken in the order items → media; of several media rows none is waited for: a transaction of the
 * backend that changes the same ones in another order must never meet a deadlock with us.
 *
 * @returns of each, or undefined for one of several whose row somebody else is changing: `archived` also when an earlier,
 *   unanswered call did it; `withdrawing` when the media row is no longer the approved row that was claimed, or was approved
 *   anew since: what was approved then is another version; `sick` when the archive disk failed, on whatever node: what a sync
 *   says of it may be false; `refused` when the row is that approved row, and yet the database leaves it as it is; `stale`
 *   when the lease is another's
 */
export async function recordArchived(
  { backend, releaseGraceMs, leaseMs }: WorkerContext,
  held: readonly Held[],
  ask: Ask,
): Promise<(Recorded | undefined)[]> {
  const isAlone = held.length === 1
  const { mediaTable, mediaColumns, status, action } = backend.mapping
  const isAsClaimed = (sql: Sql) => sql`
    m.${sql(mediaColumns.id)} = item.media_id and m.${sql(mediaColumns.status)} = ${status.approved}
      and ${notDeleted(sql, backend)} and m.${sql(mediaColumns.object_key)} = item.object_key
      and m.${sql(mediaColumns.approved_at)}::timestamptz = item.approved_at`
  const unlocked = (sql: Sql) => sql`
    select m.${sql(mediaColumns.id)} as media_id from ${sql(mediaTable)} m, item
    where ${isAsClaimed(sql)} for no key update of m skip locked`
  const states = await statesAfter(ask, { from: 'publishing', held }, (sql) => {
    return sql`
      with ${askedRows(sql, held)},
      sick as (select from strongroom.archives where sick_at is not null),
      item as (
        select i.* from strongroom.items i join asked on i.id = asked.id and i.epoch = asked.epoch
        where i.state = 'publishing' and not exists (select from sick)
        order by i.id for no key update of i),
      ${isAlone ? sql`` : sql`ours as materialized (${unlocked(sql)}),`}
      media as (
        update ${sql(mediaTable)} m set ${archivedAssignments(sql, backend, 'item', sql`clock_timestamp()`)}
        from item where ${isAsClaimed(sql)} and ${isAlone ? sql`true` : sql`item.media_id in (select media_id from ours)`}
        returning m.${sql(mediaColumns.id)} as media_id),
      -- Changed by somebody else in this very moment, or held fast by a trigger or a policy: the next try tells which.
      left_alone as (
        select item.id from ${sql(mediaTable)} m, item
        where ${isAsClaimed(sql)} and item.media_id not in (select media_id from media)),
      moved as (
        update strongroom.items i set
          state = case when found.recorded then 'archived' else 'withdrawing' end,
          archived_at = case when found.recorded then clock_timestamp() end,
          release_due = case when found.recorded then clock_timestamp() + ${releaseGraceMs} * interval '1 ms' end,
          lease_owner = case when found.recorded then null else i.lease_owner end,
          lease_until = case when found.recorded then null
            else clock_timestamp() + ${leaseMs} * interval '1 ms' end,
          error_code = null, error_message = null, updated_at = clock_timestamp()
        from (select id, media_id in (select media_id from media) as recorded from item) found
        where i.id = found.id and i.id not in (select id from left_alone)
        returning i.*),
      recorded as (select * from moved where state = 'archived'),
      audit as (${auditInsert(sql, backend, {
        source: 'recorded',
        action: action.archived,
        details: sql`jsonb_build_object('archive_path', s.archive_path, 'sha256', s.sha256, 'bytes', s.size_bytes,
          'bucket', s.bucket, 'object_key', s.object_key, 'etag', s.etag, 'item', s.id)`,
      })})
      select asked.id, asked.epoch, coalesce(moved.state,
        (select case when i.state = 'publishing' and exists (select from sick) then 'sick' else i.state end
          from strongroom.items i where i.id = asked.id and i.epoch = asked.epoch)) as state
      from asked left join moved using (id, epoch)`
  })
  return states.map((state) => {
    if (state === 'publishing') return isAlone ? 'refused' : undefined
    return state === 'archived' || state === 'withdrawing' || state === 'sick' ? state : 'stale'
  })
}

/** @throws ROW_REFUSED for `refused` */
export function refusedThrown(
  { backend }: Pick<WorkerContext, 'backend'>,
  { id }: Held,
  found: Recorded,
): Exclude<Recorded, 'refused'> {
  if (found !== 'refused') return found
  throw new AppError(
    'ROW_REFUSED',
    `the media row of item ${id} is approved, and yet stays as it is when it is set to "${backend.mapping.status.archived}"`,
  )
}

export type Recorded = 'archived' | 'withdrawing' | 'sick' | 'refused' | 'stale'

/** Records that the object is not valid media; the media row changes only if a rejected status is configured. */
export async function recordRejected(
  { database, backend }: WorkerContext,
  held: Held,
  verdict: Rejection,
): Promise<'rejected' | 'stale'> {
  const { mediaTable, mediaColumns, status, action } = backend.mapping
  const [state] = await statesAfter(
    database.settle,
    { from: 'claimed', held: [held] },
    (sql) => sql`
      with item as (
        select * from strongroom.items
        where id = ${held.id} and epoch = ${held.epoch} and state = 'claimed' for no key update),
      moved as (
        update strongroom.items i set state = 'rejected', lease_owner = null, lease_until = null,
          error_code = 'MEDIA_INVALID', error_message = ${verdict.reason},
          sha256 = ${verdict.sha256}, size_bytes = ${verdict.sizeBytes}, updated_at = clock_timestamp()
        from item where i.id = item.id returning i.*),
      media as (
        update ${sql(mediaTable)} m set ${mediaAssignments(sql, backend, {
          status: sql`${status.rejected ?? status.approved}`,
          updated_at: sql`clock_timestamp()`,
        })}
        from moved
        where ${status.rejected !== null} and m.${sql(mediaColumns.id)} = moved.media_id
          and m.${sql(mediaColumns.status)} = ${status.approved}
          and ${mediaColumn(sql, backend, 'object_key')} = moved.object_key
          and m.${sql(mediaColumns.approved_at)}::timestamptz = moved.approved_at
        returning 1),
      audit as (${auditInsert(sql, backend, {
        source: 'moved',
        action: action.rejected,
        details: sql`jsonb_build_object('reason', ${verdict.reason}::text, 'report', ${verdict.report}::text,
          'object_key', s.object_key, 'item', s.id)`,
      })})
      select ${held.id}::bigint as id, ${held.epoch}::int as epoch, coalesce(
        (select state from moved),
        (select state from strongroom.items where id = ${held.id} and epoch = ${held.epoch})) as state`,
  )
  return state === 'rejected' ? 'rejected' : 'stale'
}

/** A source that is gone, and how. */
export type Gone = Held & { outcome: 'deleted' | 'already_gone' }

/**
 * Records that sources are gone, each with its audit row.
 *
 * @returns of each: false when the lease is another's; undefined for one of several that must be asked for alone
 */
export async function recordReleased(
  { backend }: WorkerContext,
  held: readonly Gone[],
  ask: Ask,
): Promise<(boolean | undefined)[]> {
  const states = await statesAfter(ask, { from: 'releasing', held }, (sql) => {
    const gone = arrayText(
      held.filter(({ outcome }) => outcome === 'already_gone').map(({ id }) => id),
    )
    return sql`
      with ${askedRows(sql, held)},
      moved as (
        update strongroom.items i set state = 'released', released_at = clock_timestamp(), lease_owner = null,
          lease_until = null, error_code = null, error_message = null, updated_at = clock_timestamp()
        from asked where i.id = asked.id and i.epoch = asked.epoch and i.state = 'releasing' returning i.*),
      audit as (${auditInsert(sql, backend, {
        source: 'moved',
        action: backend.mapping.action.sourceDeleted,
        details: sql`jsonb_build_object(
          'outcome', case when s.id = any(${gone}::bigint[]) then 'already_gone' else 'deleted' end,
          'bucket', s.bucket, 'object_key', s.object_key, 'etag', s.etag, 'item', s.id)`,
      })})
      select asked.id, asked.epoch, coalesce(moved.state,
        (select state from strongroom.items i where i.id = asked.id and i.epoch = asked.epoch)) as state
      from asked left join moved using (id, epoch)`
  })
  return states.map((state) =>
    state === 'releasing' && held.length > 1 ? undefined : state === 'released',
  )
}

type StateRow = { id: string; epoch: number; state: string | null }

const STATE_TRIES = 5

/**
 * Runs a statement that moves items on from state `from` and tells the state that it found each in afterwards, in order.
 *
 * Sent again while the first call, whose answer was lost, was still at work, it waits for that one, finds nothing left to
 * move, and still sees the state before: its snapshot is older. So it is asked once more.
 */
async function statesAfter(
  ask: Ask,
  { from, held }: { from: ItemState; held: readonly Held[] },
  statement: (sql: Sql) => Query<StateRow[]>,
): Promise<(string | null)[]> {
  for (let tries = 1; ; tries++) {
    const stateOf = byHeld(await ask(statement))
    const states = held.map((item) => stateOf(item)?.state ?? null)
    // Of several, those that did not move are asked for alone.
    if (held.length > 1 || states[0] !== from || tries === STATE_TRIES) return states
  }
}
