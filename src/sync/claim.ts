import type { Item } from '../media.ts'
import type { Parts } from './parts.ts'

/** An item in hand: its lease is kept alive, and `lost` aborts when that fails. */
export interface Claimed {
  item: Item
  lost: AbortSignal
}

/**
 * Claims up to `limit` approved rows, oldest approval first; none while the archive is not there.
 *
 * @throws VOLUME_MISSING, VOLUME_FOREIGN, DB_*
 */
export async function claim(
  { items, volume, leases, reached }: Pick<Parts, 'items' | 'volume' | 'leases' | 'reached'>,
  limit: number,
): Promise<Claimed[]> {
  await volume.verify()
  const sentAt = leases.now()
  const claimed = await items.claim(limit, leases.held())
  const inHand = claimed.map((item) => ({ item, lost: leases.hold(item, sentAt) }))
  for (const { item } of inHand) await reached('claimed', item)
  return inHand
}
