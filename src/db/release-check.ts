import type { DueItem } from '../media.ts'
import { notDeleted } from './backend-sql.ts'
import type { Fragment, Sql } from './connect.ts'
import type { Ask } from './group.ts'
import { arrayText, askedRows, byHeld, type Held, type WorkerContext } from './item-rows.ts'

/** What is known of it besides: as in {@link DueItem}. */
export type Begun = Held & Pick<DueItem, 'begun'>

export type ReleaseCheck = 'confirmed' | 'refused' | 'stale'

/**
 * Asks once more, directly before a DELETE, what was asked at the claim: files may have been read for hours since. What may
 * no longer go is given back by the same statement, due as before, and still `releasing` where its DELETE may have been sent.
 *
 * @returns of each item: `confirmed` only if this very statement found it in our hands and nothing against its release
 */
export async function confirmRelease(
  context: WorkerContext,
  held: readonly Begun[],
  ask: Ask,
): Promise<ReleaseCheck[]> {
  const begun = arrayText(held.filter((item) => item.begun).map(({ id }) => id))
  const rows = await ask(
    (sql) => sql<{ id: string; epoch: number; confirmed: boolean; refused: boolean }[]>`
      with ${askedRows(sql, held)},
      i as materialized (
        select items.* from strongroom.items join asked using (id, epoch)
        where state = 'releasing' and lease_owner is not null order by id for no key update of items),
      confirmed as materialized (select i.id, i.epoch from i where ${mayBeReleased(sql, context)}),
      given_back as (
        update strongroom.items item set
          state = case when item.id = any(${begun}::bigint[]) then 'releasing' else 'archived' end,
          lease_owner = null, lease_until = null, updated_at = clock_timestamp()
        from i where item.id = i.id and i.id not in (select id from confirmed) returning item.id, item.epoch)
      select id, epoch, (id, epoch) in (select id, epoch from confirmed) as confirmed,
        (id, epoch) in (select id, epoch from given_back) or exists (
          select from strongroom.items item
          where item.id = asked.id and item.epoch = asked.epoch and item.lease_owner is null
            and item.state in ('archived', 'releasing')) as refused
      from asked`,
  )
  const found = byHeld(rows)
  return held.map((item) => {
    const { confirmed = false, refused = false } = found(item) ?? {}
    if (confirmed) return 'confirmed'
    return refused ? 'refused' : 'stale'
  })
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
            and other.state in ('archived', 'releasing', 'released', 'moved', 'source_differs', 'kept')
            and normalize(other.object_key, nfc) = normalize(i.object_key, nfc))))`
}
