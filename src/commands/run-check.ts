import type { DatabaseHealth } from '../db/health.ts'
import { AppError } from '../errors.ts'

/** Beyond STALE_AFTER, for one large file that comes slowly. */
const STANDSTILL_MS = 24 * 3_600_000

/**
 * Makes the check that syncs come to their end. One that is under way has all the time that it needs as long as items are settled
 * or sources go; one that goes on with nothing coming of it, for a day longer than STALE_AFTER, is no better than none.
 *
 * @param now monotonic milliseconds
 * @returns what throws RUN_OVERDUE
 */
export function createRunCheck(
  staleAfterMs: number,
  now: () => number = () => performance.now(),
): (health: Pick<DatabaseHealth, 'lastWellSeconds' | 'underWay'>) => void {
  const startedAt = now()
  let seen: { underWay: string | null; at: number } = { underWay: null, at: startedAt }
  return ({ lastWellSeconds, underWay }) => {
    if (seen.underWay !== underWay) seen = { underWay, at: now() }
    const sinceMs = lastWellSeconds === null ? now() - startedAt : lastWellSeconds * 1e3
    if (sinceMs <= staleAfterMs) return
    const overdue = `no sync has come to its end for ${sinceMs} ms`
    if (underWay === null) throw new AppError('RUN_OVERDUE', overdue)
    const stillMs = now() - seen.at
    if (stillMs > staleAfterMs + STANDSTILL_MS)
      throw new AppError(
        'RUN_OVERDUE',
        `${overdue}, and nothing came of the one under way for ${stillMs} ms`,
      )
  }
}
