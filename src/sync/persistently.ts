import { type AppError, isAppError } from '../errors.ts'
import { pause } from '../waiting.ts'
import type { Parts } from './parts.ts'

const TRIES = 3
/** Tries that together brought so much do not count: a large object over a bad line may break off any number of times. */
const PROGRESS_BYTES = 1 << 20

/** Calls again, after a pause, what failed for a reason that may pass; gives up at the third failure without progress. */
export async function persistently<T>(
  { log }: Pick<Parts, 'log'>,
  {
    item,
    signal,
    progress = () => 0,
  }: { item: number; signal: AbortSignal; progress?: () => number },
  call: () => Promise<T>,
): Promise<T> {
  let before = progress()
  for (let tries = 1; ; tries++) {
    try {
      return await call()
    } catch (error) {
      const received = progress()
      if (received - before >= PROGRESS_BYTES) {
        before = received
        tries = 1
      }
      if (!mayPass(error) || tries >= TRIES) throw error
      // What fails from the first byte on is told by whoever gives up; here its code is enough.
      const why = received > 0 ? { error } : { code: error.code }
      log.warn({ item, received, ...why }, 'the transfer broke off and goes on from there')
      await pause(100 * 4 ** tries, signal)
    }
  }
}

/** True for what another try may bring about. */
export function mayPass(error: unknown): error is AppError {
  return isAppError(
    error,
    'TRANSFER_BROKEN',
    'TRANSFER_STALLED',
    'BUCKET_UNAVAILABLE',
    'BUCKET_THROTTLED',
  )
}
