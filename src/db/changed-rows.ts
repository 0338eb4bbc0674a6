import type { Backend } from './backend.ts'
import { archivedAssignments, isSameVersion, notDeleted } from './backend-sql.ts'
import type { Database, Fragment, Sql } from './connect.ts'
import type { WorkerContext } from './item-rows.ts'

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
      and i.state in ('archived', 'releasing', 'released', 'moved', 'kept')
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
          where e.media_id = i.media_id and e.generation < i.generation and e.state in ('released', 'moved')
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
