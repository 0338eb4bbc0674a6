import type { Item } from '../media.ts'
import type { Database } from './connect.ts'
import { type Held, type ItemRow, toItem, type WorkerContext } from './item-rows.ts'

/** The copy of an archived file in the second bucket, read back there and equal. */
export interface SecondCopy {
  bucketId: string
  key: string
  etag: string
  versionId: string | null
  sizeBytes: number
  /** Hex. */
  sha256: string
}

/** An item that was taken to be moved or brought back. */
export interface TakenItem {
  item: Item
  /** Null for one that never was in the second bucket. */
  copy: SecondCopy | null
  removed: boolean
}

type LeaseContext = Pick<WorkerContext, 'database' | 'owner' | 'leaseMs' | 'archiveId'>

/** The writes that move an item to the second bucket and back, one statement each; as all of the protocol they may be repeated. */
export interface SecondItems {
  /**
   * Takes one item in that state that nobody works on. To be moved, none of its medium's versions may be in need; from the
   * moment that it is taken to be brought back, a file of it may lie in the archive.
   *
   * @returns null when it is not so (any more), the disk is sick, or healing is paused
   */
  take(item: number, as: 'released' | 'moved' | 'recalled'): Promise<TakenItem | null>
  /** The copy is verified: from now on it is the one that counts. The lease stays. @returns false when it is lost */
  moved(item: Held, copy: SecondCopy): Promise<boolean>
  /** No file of it lies in the archive any more; the item is given back. */
  removed(item: Held): Promise<boolean>
  /** Its file is in the archive again, whole and durable; the item is given back. */
  recalled(item: Held): Promise<boolean>
  /** The item is given back as it is; `damage` is what is wrong with its file in the archive. */
  giveBack(item: Held, damage?: string | null): Promise<boolean>
}

export function openSecondItems(context: LeaseContext): SecondItems {
  const { database } = context
  return {
    take: (item, as) => take(context, item, as),
    moved: (item, copy) => recordMoved(database, item, copy),
    removed: (item) => settleMoved(database, item, 'removed'),
    recalled: (item) => settleMoved(database, item, 'recalled'),
    async giveBack({ id, epoch }, damage = null) {
      const rows = await database.settle(
        (sql) => sql`
          update strongroom.items set lease_owner = null, lease_until = null, updated_at = clock_timestamp(),
            damage = coalesce(damage, ${damage}),
            damaged_at = case when damage is null and ${damage}::text is not null then clock_timestamp() else damaged_at end
          where id = ${id} and epoch = ${epoch} and state in ('released', 'moved') returning id`,
      )
      return rows.length === 1
    },
  }
}

async function take(
  { database, owner, leaseMs, archiveId }: LeaseContext,
  ...[id, as]: [number, 'released' | 'moved' | 'recalled']
): Promise<TakenItem | null> {
  const [row] = await database.settle((sql) => {
    const isFit =
      as === 'released'
        ? sql`i.state = 'released' and i.damage is null and not exists (
            select from strongroom.items o where o.media_id = i.media_id and o.id <> i.id
              and (o.damage is not null or o.state in
                ('claimed', 'publishing', 'waiting', 'missing', 'withdrawing', 'held', 'lost')))`
        : sql`i.state = 'moved'`
    const reopened =
      as === 'recalled'
        ? sql`update strongroom.second_copies c set local_removed_at = null from taken
            where c.item_id = taken.id returning c.item_id`
        : sql`select`
    return sql<TakenRow[]>`
      with taken as (
        update strongroom.items i set epoch = i.epoch + 1, lease_owner = ${owner},
          lease_until = clock_timestamp() + ${leaseMs} * interval '1 ms', updated_at = clock_timestamp()
        where i.id = ${id} and ${isFit} and i.archive_path is not null and i.sha256 is not null
          and (i.lease_until is null or i.lease_until < clock_timestamp())
          and exists (
            select from strongroom.archives
            where id = ${archiveId} and sick_at is null and heal_paused_at is null)
        returning i.*),
      reopened as (${reopened})
      select taken.*, c.bucket_id, c.key as copy_key, c.etag as copy_etag, c.version_id as copy_version,
        c.size_bytes as copy_bytes, c.sha256 as copy_sha256, c.local_removed_at is not null as removed
      from taken left join strongroom.second_copies c on c.item_id = taken.id`
  })
  if (row === undefined) return null
  const { bucket_id: bucketId, copy_key: key, copy_etag: etag, copy_sha256: sha256 } = row
  const isCopied = bucketId !== null && key !== null && etag !== null && sha256 !== null
  const facts = { versionId: row.copy_version, sizeBytes: Number(row.copy_bytes) }
  return {
    item: toItem(row),
    copy: isCopied ? { bucketId, key, etag, sha256, ...facts } : null,
    removed: row.removed,
  }
}

interface TakenRow extends ItemRow {
  bucket_id: string | null
  copy_key: string | null
  copy_etag: string | null
  copy_version: string | null
  copy_bytes: string | null
  copy_sha256: string | null
  removed: boolean
}

async function recordMoved(database: Database, held: Held, copy: SecondCopy): Promise<boolean> {
  const { bucketId, key, etag, versionId, sizeBytes, sha256 } = copy
  const rows = await database.settle(
    (sql) => sql`
      with item as (
        update strongroom.items set state = 'moved', error_code = null, error_message = null,
          updated_at = clock_timestamp()
        where id = ${held.id} and epoch = ${held.epoch} and lease_owner is not null
          and ((state = 'released' and damage is null) or state = 'moved')
          and sha256 = ${sha256} and size_bytes = ${sizeBytes}
        returning id)
      insert into strongroom.second_copies
        (item_id, bucket_id, key, etag, version_id, size_bytes, sha256, verified_at)
      select id, ${bucketId}, ${key}, ${etag}, ${versionId}, ${sizeBytes}, ${sha256}, clock_timestamp() from item
      on conflict (item_id) do update set bucket_id = excluded.bucket_id, key = excluded.key, etag = excluded.etag,
        version_id = excluded.version_id, size_bytes = excluded.size_bytes, sha256 = excluded.sha256,
        verified_at = excluded.verified_at, moved_at = excluded.moved_at, local_removed_at = null, recalled_at = null,
        trouble = null, looked_at = null
      returning item_id`,
  )
  return rows.length === 1
}

/** The end of work on a moved item, which gives it back. */
async function settleMoved(
  database: Database,
  { id, epoch }: Held,
  outcome: 'removed' | 'recalled',
): Promise<boolean> {
  const rows = await database.settle((sql) => {
    const [becomes, noted] =
      outcome === 'removed'
        ? [sql``, sql`local_removed_at = clock_timestamp()`]
        : [
            sql`state = 'released', damage = null, verified_at = clock_timestamp(), scrub_until = null,`,
            sql`recalled_at = clock_timestamp()`,
          ]
    const states = outcome === 'removed' ? sql`('moved')` : sql`('moved', 'released')`
    return sql`
      with item as (
        update strongroom.items set ${becomes} lease_owner = null, lease_until = null, updated_at = clock_timestamp()
        where id = ${id} and epoch = ${epoch} and state in ${states} returning id)
      update strongroom.second_copies c set ${noted} from item where c.item_id = item.id returning c.item_id`
  })
  return rows.length === 1
}
