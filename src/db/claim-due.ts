import type { DueItem } from '../media.ts'
import type { Fragment, Sql } from './connect.ts'
import { arrayText, type DueWish, type ItemRow, toItem, type WorkerContext } from './item-rows.ts'
import { mayBeReleased } from './release-check.ts'

/** Each lost turn is another worker's claim that went through. */
const TURNS = 10

/** A claim's row, or one row without an id that tells whether it was this claim's turn. */
type Answer = ((ItemRow & { begun: boolean }) | { id: null }) & { my_turn: boolean }

/**
 * Claims items whose source is due to go, after those whose release a dead worker left: both take the same way, which
 * starts with a look at the archived file.
 *
 * Under RELEASE_DAILY_MAX a claim never makes what was released in the last 24 hours plus what is being released exceed
 * the cap, whoever claims at the same time: the statement counts, and raises the archive's number of claims only if it
 * is still the one it saw when it counted.
 */
export async function claimDueForRelease(
  context: WorkerContext,
  wish: DueWish,
): Promise<DueItem[]> {
  for (let turn = 1; turn <= TURNS; turn++) {
    const rows = await context.database.settle((sql) => statement(sql, context, wish))
    if (rows.some((row) => row.my_turn))
      return rows.flatMap((row) => (row.id === null ? [] : [{ ...toItem(row), begun: row.begun }]))
  }
  return []
}

function statement(sql: Sql, context: WorkerContext, { limit, held, dueBy }: DueWish) {
  const { owner, leaseMs } = context
  const free = sql`(i.lease_until is null or i.lease_until < clock_timestamp()
    or (i.lease_owner = ${owner} and not i.id = any(${arrayText(held.map((item) => item.id))}::bigint[])))`
  const by = sql`${dueBy}::timestamptz`
  const may = sql`exists (select from turn) and ${mayBeReleased(sql, context)}`
  // An index can be searched for now(), but not for clock_timestamp(); here both are the same, for the transaction is this
  // statement. The inner limits are known to the planner, which then walks the due items in order instead of sorting them.
  // `chosen` is a table of its own because the update checks a row again that another worker changed in the meantime, and
  // would, for that, read a union again, beyond its limits.
  return sql<Answer[]>`
    with ${roomUnderCap(sql, context, free)},
      left_over as (
        select id from (
          select i.id from strongroom.items i
          where i.state = 'releasing' and i.next_attempt_at <= least(clock_timestamp(), ${by}) and ${free} and ${may}
          order by i.release_due limit ${limit} for no key update of i skip locked) l
        limit (select left_over from room)),
      due as (
        select id from (
          select i.id from strongroom.items i
          where i.state = 'archived' and i.release_due <= least(now(), ${by}) and ${free} and ${may}
          order by i.release_due limit ${limit} for no key update of i skip locked) d
        limit (select least(due, ${limit} - (select count(*) from left_over)) from room)),
      chosen as materialized (select id, true as begun from left_over union all select id, false from due),
      claimed as (
        update strongroom.items i set state = 'releasing', epoch = i.epoch + 1, lease_owner = ${owner},
          lease_until = clock_timestamp() + ${leaseMs} * interval '1 ms', updated_at = clock_timestamp()
        from chosen where i.id = chosen.id returning i.*, chosen.begun)
      select exists (select from turn) as my_turn, claimed.* from (select) one left join claimed on true`
}

/**
 * `turn`: a row if this claim may go through; `room`: how many of each sort it may take. What another worker is releasing
 * takes room from all, what a dead one left takes it from what would be new.
 */
function roomUnderCap(sql: Sql, context: WorkerContext, free: Fragment): Fragment {
  const { releaseDailyMax: cap, archiveId } = context
  if (cap === null)
    return sql`turn as (select), room as (select null::bigint as left_over, null::bigint as due)`
  return sql`
    turn as (
      update strongroom.archives a set release_claims = a.release_claims + 1
      where a.id = ${archiveId}
        and a.release_claims = (select seen.release_claims from strongroom.archives seen where seen.id = ${archiveId})
      returning a.id),
    room as (
      select greatest(0, ${cap}::bigint - released.count - releasing.live) as left_over,
        greatest(0, ${cap}::bigint - released.count - releasing.count) as due
      from (select count(*) from strongroom.items
          where released_at > now() - interval '24 hours') released,
        (select count(*), count(*) filter (where not ${free}) as live from strongroom.items i
          where i.state = 'releasing') releasing)`
}
