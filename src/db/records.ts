import { AppError } from '../errors.ts'
import type { ItemState } from '../item-states.ts'
import type { Backend } from './backend.ts'
import {
  archivedAssignments,
  auditInsert,
  isSameVersion,
  mediaAssignments,
  mediaColumn,
  notDeleted,
} from './backend-sql.ts'
import type { Database, Fragment, Query, Sql } from './connect.ts'
import type { Held, Rejection, WorkerContext } from './item-rows.ts'

/**
 * Records the archived file: item, media row and audit row in one statement, each part depending on the rows of the part
 * before. Locks are taken in the order items → media.
 *
 * @returns `archived` also when an earlier, unanswered call did it; `withdrawing` when the media row is no longer the
 *   approved row that was claimed, or was approved anew since: what was approved then is another version; `sick` when the
 *   archive disk failed, on whatever node: what a sync says of it may be false; `stale` when the lease is another's
 * @throws ROW_REFUSED when the row is that approved row, and yet the database leaves it as it is
 */
export async function recordArchived(
  { database, backend, releaseGraceMs, leaseMs }: WorkerContext,
  held: Held,
): Promise<'archived' | 'withdrawing' | 'sick' | 'stale'> {
  const { mediaTable, mediaColumns, status, action } = backend.mapping
  const isAsClaimed = (sql: Sql) => sql`
    m.${sql(mediaColumns.id)} = item.media_id and m.${sql(mediaColumns.status)} = ${status.approved}
      and ${notDeleted(sql, backend)} and m.${sql(mediaColumns.object_key)} = item.object_key
      and m.${sql(mediaColumns.approved_at)}::timestamptz = item.approved_at`
  const state = await stateAfter(
    database,
    'publishing',
    (sql) => sql`
      with sick as (select from strongroom.archives where sick_at is not null),
      item as (
        select * from strongroom.items
        where id = ${held.id} and epoch = ${held.epoch} and state = 'publishing'
          and not exists (select from sick) for no key update),
      media as (
        update ${sql(mediaTable)} m set ${archivedAssignments(sql, backend, 'item', sql`clock_timestamp()`)}
        from item where ${isAsClaimed(sql)}
        returning m.${sql(mediaColumns.id)} as media_id),
      -- Changed by somebody else in this very moment, or held fast by a trigger or a policy: the next try tells which.
      left_alone as (
        select from ${sql(mediaTable)} m, item where ${isAsClaimed(sql)} and not exists (select from media)),
      moved as (
        update strongroom.items i set
          state = case when exists (select from media) then 'archived' else 'withdrawing' end,
          archived_at = case when exists (select from media) then clock_timestamp() end,
          release_due = case when exists (select from media)
            then clock_timestamp() + ${releaseGraceMs} * interval '1 ms' end,
          lease_owner = case when exists (select from media) then null else i.lease_owner end,
          lease_until = case when exists (select from media) then null
            else clock_timestamp() + ${leaseMs} * interval '1 ms' end,
          error_code = null, error_message = null, updated_at = clock_timestamp()
        from item where i.id = item.id and not exists (select from left_alone)
        returning i.*),
      recorded as (select * from moved where state = 'archived'),
      audit as (${auditInsert(sql, backend, {
        source: 'recorded',
        action: action.archived,
        details: sql`jsonb_build_object('archive_path', s.archive_path, 'sha256', s.sha256, 'bytes', s.size_bytes,
          'bucket', s.bucket, 'object_key', s.object_key, 'etag', s.etag, 'item', s.id)`,
      })})
      select coalesce(
        (select state from moved),
        (select case when state = 'publishing' and exists (select from sick) then 'sick' else state end
          from strongroom.items where id = ${held.id} and epoch = ${held.epoch})) as state`,
  )
  if (state === 'publishing')
    throw new AppError(
      'ROW_REFUSED',
      `the media row of item ${held.id} is approved, and yet stays as it is when it is set to "${status.archived}"`,
    )
  return state === 'archived' || state === 'withdrawing' || state === 'sick' ? state : 'stale'
}

/** Records that the object is not valid media; the media row changes only if a rejected status is configured. */
export async function recordRejected(
  { database, backend }: WorkerContext,
  held: Held,
  verdict: Rejection,
): Promise<'rejected' | 'stale'> {
  const { mediaTable, mediaColumns, status, action } = backend.mapping
  const state = await stateAfter(
    database,
    'claimed',
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
      select coalesce(
        (select state from moved),
        (select state from strongroom.items where id = ${held.id} and epoch = ${held.epoch})) as state`,
  )
  return state === 'rejected' ? 'rejected' : 'stale'
}

/** Records that the source is gone, with its audit row. @returns false when the lease is another's */
export async function recordReleased(
  { database, backend }: WorkerContext,
  held: Held,
  outcome: 'deleted' | 'already_gone',
): Promise<boolean> {
  const state = await stateAfter(
    database,
    'releasing',
    (sql) => sql`
      with moved as (
        update strongroom.items set state = 'released', released_at = clock_timestamp(), lease_owner = null,
          lease_until = null, error_code = null, error_message = null, updated_at = clock_timestamp()
        where id = ${held.id} and epoch = ${held.epoch} and state = 'releasing' returning *),
      audit as (${auditInsert(sql, backend, {
        source: 'moved',
        action: backend.mapping.action.sourceDeleted,
        details: sql`jsonb_build_object('outcome', ${outcome}::text, 'bucket', s.bucket, 'object_key', s.object_key,
          'etag', s.etag, 'item', s.id)`,
      })})
      select coalesce(
        (select state from moved),
        (select state from strongroom.items where id = ${held.id} and epoch = ${held.epoch})) as state`,
  )
  return state === 'released'
}

/**
 * Runs a statement that moves an item on from state `from` and tells the state it found afterwards.
 *
 * Sent again while the first call, whose answer was lost, was still at work, it waits for that one, finds nothing left to
 * move, and still sees the state before: its snapshot is older. So it is asked once more.
 */
async function stateAfter(
  database: Database,
  from: ItemState,
  statement: (sql: Sql) => Query<{ state: string | null }[]>,
): Promise<string | null> {
  for (let tries = 1; ; tries++) {
    const [row] = await database.settle(statement)
    const state = row?.state ?? null
    if (state !== from || tries === 5) return state
  }
}

/**
 * A row that lost its approval before anything of it was published is never claimed again: its item would stay open for
 * ever. The epoch fences a worker that sleeps over the end of its lease. @returns the media ids
 */
export async function closeUnapproved({ database, backend }: WorkerContext): Promise<number[]> {
  const { mediaTable, mediaColumns, status } = backend.mapping
  const rows = await database.settle(
    (sql) => sql<{ media_id: string }[]>`
      update strongroom.items i set state = 'withdrawn', epoch = i.epoch + 1, archive_path = null,
        lease_owner = null, lease_until = null, error_code = null,
        error_message = 'the media row is no longer approved', updated_at = clock_timestamp()
      where i.state in ('claimed', 'waiting', 'missing')
        and (i.lease_until is null or i.lease_until < clock_timestamp())
        and not exists (
          select from ${sql(mediaTable)} m
          where m.${sql(mediaColumns.id)} = i.media_id and m.${sql(mediaColumns.status)} = ${status.approved}
            and ${notDeleted(sql, backend)})
      returning i.media_id`,
  )
  return rows.map((row) => Number(row.media_id))
}

/**
 * A media row that was approved again while exactly this version (key, size, approval time) is archived needs no
 * download: its status is set back to archived. @returns the media ids
 */
export function markReapproved(context: WorkerContext): Promise<number[]> {
  return markArchivedAgain(context, (sql) => sql`again as (${reapproved(sql, context.backend)})`)
}

/** What {@link markReapproved} would set back, a hundred at most. */
export async function findReapproved(
  database: Database,
  backend: Backend,
): Promise<{ mediaId: number; archivePath: string }[]> {
  const rows = await database.run(
    (sql) => sql<{ media_id: string; archive_path: string }[]>`
      select media_id, archive_path from (${reapproved(sql, backend)}) again`,
  )
  return rows.map((row) => ({ mediaId: Number(row.media_id), archivePath: row.archive_path }))
}

function reapproved(sql: Sql, backend: Backend): Fragment {
  const { mediaTable, mediaColumns, status } = backend.mapping
  return sql`
    select i.* from ${sql(mediaTable)} m
    join lateral (
      select * from strongroom.items where media_id = m.${sql(mediaColumns.id)}
      order by generation desc limit 1) i on true
    where m.${sql(mediaColumns.status)} = ${status.approved} and ${notDeleted(sql, backend)} and ${isSameVersion(sql, backend)}
      and i.state in ('archived', 'releasing', 'released', 'kept')
    order by i.id limit 100`
}

/**
 * A media row that was approved anew, with its key and size unchanged, after we ourselves had released the source: what it
 * misses is what is archived, so its status is set back, too. @returns the media ids
 */
export function markReleasedBefore(context: WorkerContext): Promise<number[]> {
  const { backend } = context
  const { mediaTable, mediaColumns, status } = backend.mapping
  return markArchivedAgain(
    context,
    (sql) => sql`
      found as (
        select i.id as missing_id, earlier.* from strongroom.items i
        join ${sql(mediaTable)} m on m.${sql(mediaColumns.id)} = i.media_id
        join lateral (
          select * from strongroom.items e
          where e.media_id = i.media_id and e.generation < i.generation and e.state = 'released'
            and (e.object_key, e.declared_bytes) is not distinct from (i.object_key, i.declared_bytes)
          order by e.generation desc limit 1) earlier on true
        where i.state = 'missing' and (i.lease_until is null or i.lease_until < clock_timestamp())
          and m.${sql(mediaColumns.status)} = ${status.approved}
          and ${notDeleted(sql, backend)} and ${isSameVersion(sql, backend)}
        order by i.id limit 100),
      again as (
        update strongroom.items i set state = 'withdrawn', epoch = i.epoch + 1, error_code = null,
          error_message = 'the same object is archived as item ' || found.id, updated_at = clock_timestamp()
        from found
        where i.id = found.missing_id and i.state = 'missing'
          and (i.lease_until is null or i.lease_until < clock_timestamp())
        returning found.*)`,
  )
}

/** @param findAgain makes a CTE `again` of items */
async function markArchivedAgain(
  { database, backend }: WorkerContext,
  findAgain: (sql: Sql) => Fragment,
): Promise<number[]> {
  const { mediaTable, mediaColumns, status } = backend.mapping
  const rows = await database.settle(
    (sql) => sql<{ media_id: string }[]>`
      with ${findAgain(sql)}
      update ${sql(mediaTable)} m set ${archivedAssignments(sql, backend, 'again')}
      from again where m.${sql(mediaColumns.id)} = again.media_id and m.${sql(mediaColumns.status)} = ${status.approved}
      returning m.${sql(mediaColumns.id)} as media_id`,
  )
  return rows.map((row) => Number(row.media_id))
}
