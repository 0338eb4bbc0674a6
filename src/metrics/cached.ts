import { settledWithin } from '../waiting.ts'

/** A value, and how long ago it was asked for. */
export interface Aged<T> {
  value: T
  ageMs: number
}

/** Of one processor of whoever is asked, reading takes at most this part. */
const SHARE = 0.02
const FORGOTTEN_AFTER_MS = 600_000

/**
 * Makes a reading of something that costs whoever is asked: however often somebody looks, it is asked again after
 * `freshMs` at the earliest, the later the longer its answer took, and never twice at a time. What fails has mostly waited, and
 * is asked again after `freshMs`.
 *
 * @param options.patienceMs how long a look waits for a new value before it takes the last one
 * @param options.clock milliseconds, never going back
 * @returns a look that never throws; null when there is no value, or only one that is older than ten minutes and should
 *   have been replaced
 */
export function createCached<T>(
  read: () => Promise<T>,
  options: { freshMs: number; patienceMs: number; clock?: () => number },
): () => Promise<Aged<T> | null> {
  const { freshMs, patienceMs, clock = () => performance.now() } = options
  let latest: { value: T; at: number } | null = null
  let flight: Promise<void> | null = null
  let waitUntil = Number.NEGATIVE_INFINITY
  let forgetAfterMs = FORGOTTEN_AFTER_MS

  const fly = async () => {
    const at = clock()
    let pauseMs = freshMs
    try {
      latest = { value: await read(), at }
      pauseMs = Math.max(freshMs, (clock() - at) / SHARE)
      forgetAfterMs = Math.max(FORGOTTEN_AFTER_MS, 2 * pauseMs)
    } catch {
      // It is counted and told where it happened; here the last value stands for a while.
    } finally {
      waitUntil = at + pauseMs
      flight = null
    }
  }

  return async () => {
    if (flight === null && clock() >= waitUntil) flight = fly()
    if (flight !== null) await settledWithin(flight, patienceMs)
    if (latest === null) return null
    const ageMs = clock() - latest.at
    return ageMs > forgetAfterMs ? null : { value: latest.value, ageMs }
  }
}
