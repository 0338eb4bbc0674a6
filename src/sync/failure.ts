import type { PutBack } from '../db/items.ts'
import { AppError, toAppError } from '../errors.ts'
import type { Item } from '../media.ts'
import type { Parts } from './parts.ts'
import { type ItemReport, type Outcome, reportOf } from './report.ts'

type FailureParts = Pick<Parts, 'items' | 'volume' | 'log'>

/** Attempts of its own that an item may burn before it waits for a person. */
export const MAX_ATTEMPTS = 8
const FIRST_RETRY_MS = 30_000
const LONGEST_RETRY_MS = 6 * 60 * 60_000

/**
 * Decides what becomes of an item whose work threw, and says so in the database. An outage burns no attempt and stops the
 * run; a lost lease changes nothing; what was already being published is left to recovery, which knows the intent.
 */
export async function settleFailure(
  parts: FailureParts,
  item: Item,
  error: unknown,
): Promise<{ report: ItemReport; outage: AppError | null }> {
  const reason = await judged(parts, toAppError(error))
  if (reason.code === 'LEASE_LOST')
    return { report: reportOf(item, 'left', reason.message), outage: null }
  const stop = reason.code === 'CANCELLED'
  const outage = reason.retry === 'outage' && !stop && !isFirstWriteError(reason) ? reason : null
  if (!stop)
    parts.log.warn({ item: item.id, media: item.media.mediaId, error: reason }, 'not archived')
  // Without a database there is nobody to tell: the lease runs out and the item is claimed again.
  if (reason.code.startsWith('DB_'))
    return { report: reportOf(item, 'left', reason.message), outage }
  const to = destination(item, reason)
  try {
    const delayMs = 'delayMs' in to ? to.delayMs : 0
    const mine =
      (await parts.items.putBack(item, to)) ||
      (await parts.items.yield(item, stop ? null : reason, delayMs))
    // Another worker took it, and with it what we had of it: that is no failure of the item.
    if (!mine) return { report: reportOf(item, 'left', reason.message), outage }
    return { report: reportOf(item, outcomeOf(to), stop ? null : reason.message), outage }
  } catch (failure) {
    const unreachable = toAppError(failure)
    parts.log.warn(
      { item: item.id, error: unreachable },
      'the item could not be put back; its lease runs out',
    )
    return { report: reportOf(item, 'left', reason.message), outage: outage ?? unreachable }
  }
}

/** A write error is told to the volume, which latches the second in a row and then speaks for itself. */
async function judged({ volume }: FailureParts, reason: AppError): Promise<AppError> {
  if (!isFirstWriteError(reason)) return reason
  try {
    await volume.noteWrite(reason)
    return reason
  } catch (latched) {
    return toAppError(latched)
  }
}

/** A latched failure carries the write error as its cause. */
function isFirstWriteError(reason: AppError): boolean {
  return reason.code === 'DISK_SICK' && !(reason.cause instanceof AppError)
}

/** Pure: where an item goes after `reason`. */
export function destination(item: Pick<Item, 'attempts'>, reason: AppError): PutBack {
  if (reason.code === 'CANCELLED') return { state: 'waiting', error: null, delayMs: 0, burn: false }
  if (reason.retry === 'never') return { state: 'held', error: reason }
  const delayMs = retryDelayMs(item.attempts)
  if (reason.code === 'OBJECT_MISSING')
    return { state: 'missing', error: reason, delayMs, burn: true }
  if (reason.retry === 'outage' && !isFirstWriteError(reason))
    return { state: 'waiting', error: reason, delayMs: 0, burn: false }
  if (item.attempts + 1 < MAX_ATTEMPTS)
    return { state: 'waiting', error: reason, delayMs, burn: true }
  const error = new AppError(
    'ATTEMPTS_EXHAUSTED',
    `${MAX_ATTEMPTS} attempts failed, the last one: ${reason.message}`,
    {
      cause: reason,
      hint: 'look at the reason, mend it, and approve the row again',
    },
  )
  return { state: 'held', error }
}

/** Doubles from half a minute to six hours, a fifth more or less so that items do not come back together. */
function retryDelayMs(attempts: number): number {
  const base = Math.min(FIRST_RETRY_MS * 2 ** attempts, LONGEST_RETRY_MS)
  return Math.round(base * (0.8 + Math.random() * 0.4))
}

function outcomeOf(to: PutBack): Outcome {
  if (to.state !== 'waiting') return to.state
  return to.error === null ? 'left' : 'waiting'
}
