import type { PutBack, Yield } from '../db/items.ts'
import { AppError, toAppError } from '../errors.ts'
import type { Item } from '../media.ts'
import { ofOneKey } from '../storage/one-key.ts'
import type { Parts } from './parts.ts'
import { type ItemReport, type Outcome, reportOf } from './report.ts'

type FailureParts = Pick<Parts, 'items' | 'volume' | 'log' | 'bucket'>

/** Attempts of its own that an item may burn before it waits for a person. */
export const MAX_ATTEMPTS = 8
const FIRST_RETRY_MS = 30_000
const LONGEST_RETRY_MS = 6 * 60 * 60_000
const UNAVAILABLE_RETRY_MS = 5 * 60_000

export interface Settled {
  report: ItemReport
  /** What stops the run, or null. */
  outage: AppError | null
  /** What may be an outage after all, if others meet it too. */
  doubt: AppError | null
}

/**
 * Decides what becomes of an item whose work threw, and says so in the database. An outage burns no attempt and stops the
 * run; a lost lease changes nothing; what was already being published is left to recovery, which knows the intent.
 */
export async function settleFailure(
  parts: FailureParts,
  item: Item,
  error: unknown,
): Promise<Settled> {
  const reason = await judged(parts, { item, reason: toAppError(error) })
  const told = { item: item.id, media: item.media.mediaId, error: reason }
  if (reason.code === 'LEASE_LOST') {
    parts.log.warn(told, 'left to another worker')
    return { report: reportOf(item, 'left', reason.message), outage: null, doubt: null }
  }
  const stop = reason.code === 'CANCELLED'
  const outage = reason.retry === 'outage' && !stop && !isFirstWriteError(reason) ? reason : null
  const doubt = reason.code === 'OBJECT_UNAVAILABLE' ? toAppError(error) : null
  // What ends the run is said once, by the run.
  if (!stop) parts.log[outage === null ? 'warn' : 'debug'](told, 'not archived')
  // Without a database there is nobody to tell: the lease runs out and the item is claimed again.
  if (reason.code.startsWith('DB_'))
    return { report: reportOf(item, 'left', reason.message), outage, doubt }
  const to = destination(item, reason)
  try {
    const mine =
      (await parts.items.putBack(item, to)) ||
      (await parts.items.yield(item, yielded(item, to, stop ? null : reason)))
    // Another worker took it, and with it what we had of it: that is no failure of the item.
    if (!mine) return { report: reportOf(item, 'left', reason.message), outage, doubt }
    return { report: reportOf(item, outcomeOf(to), stop ? null : reason.message), outage, doubt }
  } catch (failure) {
    const unreachable = toAppError(failure)
    parts.log.warn(
      { item: item.id, error: unreachable },
      'the item could not be put back; its lease runs out',
    )
    const report = reportOf(item, 'left', reason.message)
    return { report, outage: outage ?? unreachable, doubt }
  }
}

/** A write error is told to the volume, which latches the second in a row and then speaks for itself. */
async function judged(
  { volume, bucket }: FailureParts,
  { item, reason }: { item: Item; reason: AppError },
): Promise<AppError> {
  if (reason.code === 'BUCKET_UNAVAILABLE') return ofOneKey(bucket, item.media.objectKey, reason)
  try {
    // Without the archive there is no verdict, not even that an object is missing, or larger than its disk.
    if (isVerdict(reason)) await volume.verify()
    if (isFirstWriteError(reason)) await volume.noteWrite(reason)
    return reason
  } catch (graver) {
    return toAppError(graver)
  }
}

/** True for what is said of the object by what lies here. */
function isVerdict({ code }: AppError): boolean {
  return code === 'OBJECT_MISSING' || code === 'OBJECT_TOO_LARGE'
}

/** A latched failure carries the write error as its cause. */
function isFirstWriteError(reason: AppError): boolean {
  return reason.code === 'DISK_SICK' && !(reason.cause instanceof AppError)
}

/** Recovery finds out whether what was being published is whole; whatever it has to fetch again counts as tried before. */
function yielded({ attempts }: Pick<Item, 'attempts'>, to: PutBack, error: AppError | null): Yield {
  if (to.state === 'held') return { error, delayMs: 0, attempts: MAX_ATTEMPTS }
  return { error, delayMs: to.delayMs, attempts: attempts + (to.burn ? 1 : 0) }
}

/** Pure: where an item goes after `reason`. */
export function destination(
  item: Pick<Item, 'attempts'> & { media: Pick<Item['media'], 'approvedAt'> },
  reason: AppError,
  now = new Date(),
): PutBack {
  if (reason.code === 'CANCELLED') return { state: 'waiting', error: null, delayMs: 0, burn: false }
  if (reason.retry === 'never') return { state: 'held', error: reason }
  const delayMs = jittered(Math.min(FIRST_RETRY_MS * 2 ** item.attempts, LONGEST_RETRY_MS))
  if (reason.code === 'OBJECT_MISSING')
    return {
      state: 'missing',
      error: reason,
      delayMs: missingDelayMs(item.media, now),
      burn: false,
    }
  if (reason.code === 'OBJECT_UNAVAILABLE')
    return { state: 'waiting', error: reason, delayMs: jittered(UNAVAILABLE_RETRY_MS), burn: false }
  if (reason.retry === 'outage' && !isFirstWriteError(reason))
    return { state: 'waiting', error: reason, delayMs: 0, burn: false }
  if (item.attempts + 1 < MAX_ATTEMPTS)
    return { state: 'waiting', error: reason, delayMs, burn: true }
  const error = new AppError(
    'ATTEMPTS_EXHAUSTED',
    `${MAX_ATTEMPTS} attempts failed, the last one: ${reason.message}`,
    { cause: reason },
  )
  return { state: 'held', error }
}

/**
 * An item that ends its worker (no memory, a crash) never comes to {@link settleFailure}; only the claims count it. One that
 * fails while it is published was left to recovery, which sends it here.
 *
 * @throws ATTEMPTS_EXHAUSTED before an attempt too many
 */
export function assertMayTry({ attempts, lastError }: Pick<Item, 'attempts' | 'lastError'>): void {
  if (attempts < MAX_ATTEMPTS) return
  throw new AppError(
    'ATTEMPTS_EXHAUSTED',
    lastError === null
      ? `${attempts} attempts ended without an answer; the process may have died of it each time`
      : `no attempt is left; the last one that gave a reason: ${lastError}`,
  )
}

/** An object that is late by an hour is asked for every six minutes, one that is late by days every six hours. */
function missingDelayMs({ approvedAt }: Pick<Item['media'], 'approvedAt'>, now: Date): number {
  const age = now.getTime() - approvedAt.getTime()
  return jittered(Math.max(FIRST_RETRY_MS, Math.min(age / 10, LONGEST_RETRY_MS)))
}

/** A fifth more or less, so that items do not come back together. */
function jittered(ms: number): number {
  return Math.round(ms * (0.8 + Math.random() * 0.4))
}

function outcomeOf(to: PutBack): Outcome {
  if (to.state !== 'waiting') return to.state
  return to.error === null ? 'left' : 'waiting'
}
