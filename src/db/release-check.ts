import { notDeleted } from './backend-sql.ts'
import type { Fragment, Sql } from './connect.ts'
import type { Held, WorkerContext } from './item-rows.ts'

/**
 * Asks once more, directly before a DELETE, what was asked at the claim: files may have been read for hours since. What may
 * no longer go is given back by the same statement, due as before.
 *
 * @returns `confirmed` only if this very statement found the item in our hands and nothing against its release
 */
export async function confirmRelease(
  context: WorkerContext,
  held: Held,
): Promise<'confirmed' | 'refused' | 'stale'> {
  const [answer] = await context.database.settle(
    (sql) => sql<{ confirmed: boolean; refused: boolean }[]>`
      with i as materialized (
        select * from strongroom.items
        where id = ${held.id} and epoch = ${held.epoch} and state = 'releasing' for no key update),
      confirmed as materialized (select i.id from i where ${mayBeReleased(sql, context)}),
      given_back as (
        update strongroom.items item set state = 'archived', lease_owner = null, lease_until = null,
          updated_at = clock_timestamp()
        from i where item.id = i.id and not exists (select from confirmed) returning item.id)
      select exists (select from confirmed) as confirmed,
        exists (select from given_back) or exists (
          select from strongroom.items
          where id = ${held.id} and epoch = ${held.epoch} and state = 'archived') as refused`,
  )
  if (answer?.confirmed) return 'confirmed'
  return answer?.refused ? 'refused' : 'stale'
}

/** Told once per run: R2_BUCKET was changed or mistyped, or another bucket's items are left from before. */
export async function dueElsewhere({
  database,
  bucket,
}: WorkerContext): Promise<{ bucket: string; items: number }[]> {
  // An index can be searched for what is less or greater, but not for what is different.
  const rows = await database.run(
    (sql) => sql<{ bucket: string; items: string }[]>`
      select bucket, count(*) as items from (
        select bucket from strongroom.items
        where state = 'archived' and bucket < ${bucket} and release_due <= now()
        union all
        select bucket from strongroom.items
        where state = 'archived' and bucket > ${bucket} and release_due <= now()
        union all
        select bucket from strongroom.items where state = 'releasing' and bucket <> ${bucket}) due
      group by bucket order by bucket`,
  )
  return rows.map((row) => ({ bucket: row.bucket, items: Number(row.items) }))
}

export async function newestSource({ database, bucket }: WorkerContext): Promise<string | null> {
  const [row] = await database.run(
    (sql) => sql<{ object_key: string }[]>`
      select object_key from strongroom.items where state = 'archived' and bucket = ${bucket}
      order by release_due desc limit 1`,
  )
  return row?.object_key ?? null
}

/**
 * Nothing goes while releases are paused or the disk is sick, nothing from another bucket than the configured
 * one, and a source stays while a live media row with the same key
 * is not archived: another one, whose only copy it may be, or its own, whose next approval would find nothing to download.
 * R2 treats keys that are equal in NFC as one object, hence the three spellings. The item goes by the alias `i`.
 */
export function mayBeReleased(sql: Sql, { archiveId, bucket, backend }: WorkerContext): Fragment {
  const { mediaTable, mediaColumns, status } = backend.mapping
  return sql`i.bucket = ${bucket}
    and exists (
      select from strongroom.archives
      where id = ${archiveId} and sick_at is null and release_paused_at is null)
    and not exists (
      select from ${sql(mediaTable)} m
      where m.${sql(mediaColumns.object_key)} in
          (i.object_key, normalize(i.object_key, nfc), normalize(i.object_key, nfd))
        and ${notDeleted(sql, backend)} and m.${sql(mediaColumns.status)} is distinct from ${status.archived}
        and (m.${sql(mediaColumns.id)} = i.media_id or not exists (
          select from strongroom.items other
          where other.media_id = m.${sql(mediaColumns.id)}
            and other.state in ('archived', 'releasing', 'released', 'source_differs', 'kept')
            and normalize(other.object_key, nfc) = normalize(i.object_key, nfc))))`
}
