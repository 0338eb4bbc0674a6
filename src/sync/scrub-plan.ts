const HOUR_MS = 3_600_000
/** Downloads slow the reading down. */
const RESERVE = 1.25

/** How a scrub goes about reading everything within a period. */
export interface ScrubPlan {
  /** How long after its last reading a file is due again: so that all are read by the time that the last one is. */
  dueAfterMs: number
  /** How long reading everything takes at the rate. */
  passMs: number
  /** False when that is longer than the period, whenever it begins. */
  keepsPeriod: boolean
}

/**
 * Archives are often filled, or adopted, in a short time: all that was archived in one week would be due in one week, too.
 * So reading begins before the period is over, by as much as it takes. What was read is never read again within an hour.
 */
export function planScrub({
  bytes,
  periodMs,
  bytesPerSecond,
}: {
  bytes: number
  periodMs: number
  bytesPerSecond: number
}): ScrubPlan {
  const passMs = (bytes / bytesPerSecond) * 1_000
  const latest = Math.min(periodMs, HOUR_MS)
  return {
    dueAfterMs: Math.max(latest, periodMs - passMs * RESERVE),
    passMs,
    keepsPeriod: passMs <= periodMs,
  }
}

/** What a person is told when the rate is too low. */
export function slowScrubText({ passMs }: ScrubPlan, periodMs: number): string {
  return `reading the archive again takes ${days(passMs)} days at SCRUB_RATE, and SCRUB_PERIOD is ${days(periodMs)}`
}

/** The lowest SCRUB_RATE (megabytes a second) that reads so many bytes within the period. */
export function neededRate(bytes: number, periodMs: number): number {
  return Math.ceil((bytes * RESERVE) / 1_000_000 / (periodMs / 1_000))
}

function days(ms: number): string {
  const number = ms / (24 * HOUR_MS)
  return number < 10 ? number.toFixed(1) : String(Math.round(number))
}
