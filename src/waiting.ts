/** Waiting, and not waiting any longer. */

/** Node's timers hold 2^31 - 1 ms, some 24.8 days; what is further away is waited for in parts. */
const LONGEST_MS = 2_000_000_000

/** Resolves after so long; rejects with the signal's reason when that fires first. */
export function pause(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    signal.throwIfAborted()
    const stop = () => {
      clearTimeout(timer)
      reject(signal.reason)
    }
    const timer = setTimeout(() => {
      signal.removeEventListener('abort', stop)
      resolve()
    }, ms)
    signal.addEventListener('abort', stop, { once: true })
  })
}

/** Resolves after so long, or as soon as the signal fires; at the latest after 23 days, for the caller to look again. */
export async function pauseUnlessStopped(ms: number, signal: AbortSignal): Promise<void> {
  // It rejects when the signal fires, which is what was waited for.
  await pause(Math.min(ms, LONGEST_MS), signal).catch(() => {})
}

/** Calls `then` after so long, however long that is. @returns calls it off */
export function callAfter(ms: number, then: () => void): () => void {
  let timer: NodeJS.Timeout
  const wait = (leftMs: number) => {
    const partMs = Math.min(leftMs, LONGEST_MS)
    timer = setTimeout(() => (leftMs > partMs ? wait(leftMs - partMs) : then()), partMs)
  }
  wait(ms)
  return () => clearTimeout(timer)
}

/** Resolves as soon as `work` has, or after so long without it; rejects as `work` does. */
export async function settledWithin(work: Promise<void>, ms: number): Promise<void> {
  const patience = new AbortController()
  try {
    await Promise.race([work, pauseUnlessStopped(ms, patience.signal)])
  } finally {
    patience.abort()
  }
}

/**
 * Does `look` now, and again and again until the signal fires, which the caller's first answer depends on a little.
 *
 * @param look never throws; one that hangs is waited for
 * @param times.firstMs how long the first one is waited for
 */
export async function lookAgain(
  look: () => Promise<void>,
  { everyMs, firstMs }: { everyMs: number; firstMs: number },
  signal: AbortSignal,
): Promise<void> {
  const first = look()
  const repeat = async () => {
    await first
    while (!signal.aborted) {
      await pauseUnlessStopped(everyMs, signal)
      if (!signal.aborted) await look()
    }
  }
  void repeat()
  await settledWithin(first, firstMs)
}

/** Opens at the first call and keeps what came of it; after a failure the next call tries again. */
export function onceOpened<T>(open: () => Promise<T>): () => Promise<T> {
  let opened: Promise<T> | null = null
  return () => {
    opened ??= open().catch((error: unknown) => {
      opened = null
      throw error
    })
    return opened
  }
}
