import { Cron } from 'croner'

export interface DigestTimes {
  cron: string
  timeZone: string
  /** Resolves after `ms`, or as soon as the signal fires. */
  wait: (ms: number, signal: AbortSignal) => Promise<void>
  now: () => Date
  signal: AbortSignal
}

/** The clock may be set meanwhile. */
const LONGEST_WAIT_MS = 3_600_000

/** Calls `send` at each time that the cron expression names, with the time of the one before it. */
export async function sendDigests(
  { cron, timeZone, wait, now, signal }: DigestTimes,
  send: (since: Date) => void,
): Promise<void> {
  const times = new Cron(cron, { timezone: timeZone, paused: true })
  let next = times.nextRun(now())
  let since: Date | null = null
  while (next !== null && !signal.aborted) {
    const leftMs = next.getTime() - now().getTime()
    if (leftMs > 0) {
      await wait(Math.min(leftMs, LONGEST_WAIT_MS), signal)
      const soonest = times.nextRun(now())
      if (soonest !== null && soonest < next) next = soonest
      continue
    }
    const following = times.nextRun(next)
    // Of the first one nobody knows when the one before was: as long ago as the next one is ahead.
    const periodMs = (following ?? next).getTime() - next.getTime()
    send(since ?? new Date(next.getTime() - periodMs))
    since = next
    next = times.nextRun(now())
  }
}
