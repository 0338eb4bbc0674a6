/** Between two looks two running clocks come apart by far less, if only because one of them shows whole milliseconds. */
const SLEPT_MS = 1_000

/**
 * Makes a clock for deadlines that must not be missed, in milliseconds from an arbitrary start. Linux's monotonic clock
 * stands still while the machine is suspended, but leases run out meanwhile; so this one goes on by the wall clock's step
 * where that is larger by a second or more. It never goes back; a wall clock that is set forward only makes deadlines come
 * early.
 */
export function createWakefulClock(
  monotonicMs: () => number = () => performance.now(),
  wallMs: () => number = () => Date.now(),
): () => number {
  let elapsed = 0
  let monotonic = monotonicMs()
  let wall = wallMs()
  return () => {
    const before = { monotonic, wall }
    monotonic = monotonicMs()
    wall = wallMs()
    const step = monotonic - before.monotonic
    const wallStep = wall - before.wall
    elapsed += wallStep - step >= SLEPT_MS ? wallStep : step
    return elapsed
  }
}

/** Tells whether another clock runs as fast as ours; what the two show is never compared. */
export interface ClockWatch {
  /** @param theirsMs what the other clock shows now */
  told(theirsMs: number): void
  /** How long ago it was seen to have jumped, in milliseconds; null while it runs steadily. */
  jumpedMs(): number | null
}

const TOLERANCE_MS = 60_000
/** Far more than two clocks drift apart: 100 ms in 20 s. */
const DRIFT = 1 / 200
/** A clock that jumped and then ran steadily for so long was put right. */
const TRUSTED_AFTER_MS = 3_600_000

/** @param now milliseconds from an arbitrary start, never going back */
export function createClockWatch(now: () => number): ClockWatch {
  let usual: { offset: number; at: number } | null = null
  let jumpedAt: number | null = null
  return {
    /** Two clocks drift apart by seconds a day, which is followed; a jump is remembered. */
    told(theirsMs) {
      const at = now()
      const offset = theirsMs - at
      usual ??= { offset, at }
      const away = offset - usual.offset
      if (Math.abs(away) < TOLERANCE_MS) {
        const drift = Math.sign(away) * Math.min(Math.abs(away), DRIFT * (at - usual.at))
        usual = { offset: usual.offset + drift, at }
        jumpedAt = null
        return
      }
      jumpedAt ??= at
      if (at - jumpedAt < TRUSTED_AFTER_MS) return
      usual = { offset, at }
      jumpedAt = null
    },
    jumpedMs: () => (jumpedAt === null ? null : now() - jumpedAt),
  }
}
