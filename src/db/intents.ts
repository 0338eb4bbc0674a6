import { isAppError } from '../errors.ts'
import type { Intent } from '../media.ts'
import type { Ask } from './group.ts'
import { askedRows, byHeld, type Held, type WorkerContext } from './item-rows.ts'

export type Committed = 'committed' | 'taken' | 'stale'

/** What an item is about to be filed as. */
export interface Wish {
  held: Held
  intent: Intent
}

/** Commits intents, each before its final name appears. @returns of each: `taken` when another item owns its path */
export async function commitIntents(
  { leaseMs }: WorkerContext,
  wishes: readonly Wish[],
  ask: Ask,
): Promise<Committed[]> {
  const held = wishes.map((wish) => wish.held)
  const told = Object.fromEntries(wishes.map(asEntry))
  const rows = await ask(
    (sql) => sql<{ id: string; epoch: number; outcome: Committed }[]>`
      with ${askedRows(sql, held)},
      wishes as (
        select asked.id, asked.epoch, wish.*
        from asked, jsonb_to_record(${sql.json(told as never)}::jsonb -> (asked.id || ' ' || asked.epoch)) as wish (
          archive_path text, sha256 text, size_bytes bigint, bucket text, etag text, version_id text,
          last_modified timestamptz, probe jsonb, proof jsonb, filed_at timestamptz)),
      taken as (
        select wishes.id from wishes
        join strongroom.items other on other.archive_path = wishes.archive_path and other.id <> wishes.id),
      moved as (
        update strongroom.items i set state = 'publishing', archive_path = wish.archive_path,
          sha256 = wish.sha256, size_bytes = wish.size_bytes, bucket = wish.bucket, etag = wish.etag,
          version_id = wish.version_id, last_modified = wish.last_modified,
          probe = wish.probe, proof = wish.proof, filed_at = wish.filed_at,
          lease_until = clock_timestamp() + ${leaseMs} * interval '1 ms', updated_at = clock_timestamp()
        from wishes wish
        where i.id = wish.id and i.epoch = wish.epoch and i.state in ('claimed', 'publishing')
          and i.id not in (select id from taken)
        returning i.id, i.epoch)
      select id, epoch, case when (id, epoch) in (select id, epoch from moved) then 'committed'
        when id in (select id from taken) then 'taken' else 'stale' end as outcome
      from asked`,
  ).catch((error: unknown) => {
    // Two items raced for one path; the unique index decided. Of several, each is asked for alone.
    const [only, ...more] = wishes
    if (only === undefined || more.length > 0 || !isAppError(error, 'DB_DUPLICATE')) throw error
    return [{ id: `${only.held.id}`, epoch: only.held.epoch, outcome: 'taken' as const }]
  })
  const found = byHeld(rows)
  return held.map((item) => found(item)?.outcome ?? 'stale')
}

function asEntry({ held, intent }: Wish): [string, object] {
  const { source } = intent
  const wish = {
    archive_path: intent.archivePath,
    sha256: intent.sha256,
    size_bytes: source.sizeBytes,
    bucket: source.bucket,
    etag: source.etag,
    version_id: source.versionId,
    last_modified: source.lastModified,
    probe: intent.probe,
    proof: intent.proof,
    filed_at: intent.filedAt,
  }
  return [`${held.id} ${held.epoch}`, wish]
}
