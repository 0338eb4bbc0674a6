import type { ArchivedFile } from '../db/archived.ts'
import type { HealVerdict } from '../db/items.ts'
import { toAppError } from '../errors.ts'
import type { Item } from '../media.ts'
import type { Parts } from './parts.ts'

/** `busy`: a worker has the item in hand, it is no longer in the archive, or healing is paused. */
export type FiledOutcome = HealVerdict['outcome'] | 'busy'

/**
 * Works on one archived file under its item's lease, and notes the verdict. Where the work fails, what `blame` makes of the
 * reason is noted as damage, unless the database itself is what failed.
 *
 * @throws what `work` throws, but for LEASE_LOST; the item is given back, or its lease runs out
 */
export async function underLease(
  { items, leases }: Pick<Parts, 'items' | 'leases'>,
  file: ArchivedFile,
  signal: AbortSignal,
  {
    work,
    blame,
  }: {
    work: (item: Item, signal: AbortSignal) => Promise<HealVerdict>
    blame: (reason: string) => string
  },
): Promise<FiledOutcome> {
  const since = leases.now()
  const item = await items.claimFiled(file.item, leases.held())
  if (item === null) return 'busy'
  const lost = leases.hold(item, since)
  try {
    const verdict = await work(item, AbortSignal.any([signal, lost]))
    const mine = await items.settleHeal(item, verdict)
    return mine ? verdict.outcome : 'busy'
  } catch (error) {
    const reason = toAppError(lost.aborted ? lost.reason : error)
    if (reason.code === 'LEASE_LOST') return 'busy'
    if (!reason.code.startsWith('DB_'))
      await items.settleHeal(item, { outcome: 'damaged', damage: blame(reason.message) })
    throw reason
  } finally {
    leases.drop(item)
  }
}
