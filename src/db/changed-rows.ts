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
  const { mediaTable, mediaColumns } = backend.mapping
  return sql`
    select i.* from ${sql(mediaTable)} m
    join lateral (
      select * from strongroom.items where media_id = m.${sql(mediaColumns.id)}
      order by generation desc limit 1) i on true
    where ${isApprovedAs(sql, backend, 'i')}
      and i.state in ('archived', 'releasing', 'released', 'moved', 'kept')
    order by i.id limit 100`
}

/**
 * A media row that was approved anew, with its key and size unchanged, after we ourselves had released the source: what it
 * misses is what is archived, so its status is set back, too. Unless another of its items was the last to have something
 * under that key in hand: then that, and not what was released, is what it misses. @returns the media ids
 */
export function markReleasedBefore(context: WorkerContext): Promise<number[]> {
  const { backend } = context
  const { mediaTable, mediaColumns } = backend.mapping
  return markArchivedAgain(
    context,
    (sql) => sql`
      found as (
        select i.id as missing_id, i.media_id, i.object_key, i.declared_bytes, i.approved_at,
          last_seen.id, last_seen.archive_path, last_seen.archived_at, last_seen.sha256
        from strongroom.items i
        join ${sql(mediaTable)} m on m.${sql(mediaColumns.id)} = i.media_id
        join lateral (
          select * from strongroom.items s
          where s.media_id = i.media_id and s.object_key = i.object_key
            and (s.sha256 is not null or s.state = 'held')
          order by s.generation desc limit 1) last_seen
          on last_seen.state in ('released', 'moved') and last_seen.declared_bytes is not distinct from i.declared_bytes
        where i.state = 'missing' and (i.lease_until is null or i.lease_until < clock_timestamp())
          and ${isApprovedAs(sql, backend, 'i')}
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

/**
 * The row is asked once more as it is at the moment of the change: the backend may have taken another upload since it was
 * found, which would never be archived.
 *
 * @param findAgain makes a CTE `again` of the version that a row names, and of where that is archived
 */
async function markArchivedAgain(
  { database, backend }: WorkerContext,
  findAgain: (sql: Sql) => Fragment,
): Promise<number[]> {
  const { mediaTable, mediaColumns } = backend.mapping
  const rows = await database.settle(
    (sql) => sql<{ media_id: string }[]>`
      with ${findAgain(sql)}
      update ${sql(mediaTable)} m set ${archivedAssignments(sql, backend, 'again')}
      from again where m.${sql(mediaColumns.id)} = again.media_id and ${isApprovedAs(sql, backend, 'again')}
      returning m.${sql(mediaColumns.id)} as media_id`,
  )
  return rows.map((row) => Number(row.media_id))
}

/** Row `m` is approved, and as the very version that `item` is of. */
function isApprovedAs(sql: Sql, backend: Backend, item: string): Fragment {
  const { mediaColumns, status } = backend.mapping
  return sql`m.${sql(mediaColumns.status)} = ${status.approved} and ${notDeleted(sql, backend)}
    and ${isSameVersion(sql, backend, item)}`
}
