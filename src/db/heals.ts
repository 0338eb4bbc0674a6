import type { AppError } from '../errors.ts'
import type { Item } from '../media.ts'
import { damagedAt, foundAgain, isFiled } from './archived.ts'
import type { Sql } from './connect.ts'
import { arrayText, type Held, type ItemRow, toItem, type WorkerContext } from './item-rows.ts'

/** What a look at an archived file under its item's lease came to. */
export type HealVerdict =
  /** The file is what was archived, now or again; one that was lost is lost no more. */
  | { outcome: 'whole' }
  /** It is not, and nothing could be done about it now; what was noted of it before stays noted. */
  | { outcome: 'damaged'; damage: string }
  /** It is not, and there is no other copy. */
  | { outcome: 'lost'; damage: string; error: AppError }

/**
 * Takes one archived item that nobody works on, and leaves it in its state: whoever else would release or heal it waits for
 * the lease.
 *
 * @returns null when a worker has it, it belongs in the archive no more, the disk is sick, or healing is paused
 */
export async function claimFiled(
  { database, owner, leaseMs, archiveId }: WorkerContext,
  ...[item, held]: [number, readonly Held[]]
): Promise<Item | null> {
  const inHand = arrayText(held.map(({ id }) => id))
  const [row] = await database.settle(
    (sql) => sql<ItemRow[]>`
      update strongroom.items i set epoch = i.epoch + 1, lease_owner = ${owner},
        lease_until = clock_timestamp() + ${leaseMs} * interval '1 ms', updated_at = clock_timestamp()
      where i.id = ${item} and ${isFiled(sql)}
        and (i.lease_until is null or i.lease_until < clock_timestamp()
          or (i.lease_owner = ${owner} and not i.id = any(${inHand}::bigint[])))
        and exists (
          select from strongroom.archives
          where id = ${archiveId} and sick_at is null and heal_paused_at is null)
      returning i.*`,
  )
  return row === undefined ? null : toItem(row)
}

/** Notes the verdict and gives the item back. @returns false when it was no longer the worker's */
export async function settleHeal(
  { database }: WorkerContext,
  held: Held,
  verdict: HealVerdict,
): Promise<boolean> {
  const damage = verdict.outcome === 'whole' ? null : verdict.damage
  const error = verdict.outcome === 'lost' ? verdict.error : null
  const isWhole = verdict.outcome === 'whole'
  const rows = await database.settle((sql) => {
    const becomes = error === null ? sql`` : lost(sql, error)
    const noted =
      verdict.outcome === 'damaged' ? sql`coalesce(damage, ${damage})` : sql`${damage}::text`
    return sql`
      update strongroom.items set ${isWhole ? foundAgain(sql) : becomes} lease_owner = null, lease_until = null,
        damage = ${noted}, damaged_at = ${damagedAt(sql, damage)}, verified_at = clock_timestamp(),
        scrub_until = null, updated_at = clock_timestamp()
      where id = ${held.id} and epoch = ${held.epoch} and ${isFiled(sql)} returning id`
  })
  return rows.length === 1
}

function lost(sql: Sql, { code, message }: AppError) {
  return sql`state = 'lost', error_code = ${code}, error_message = ${message},`
}
