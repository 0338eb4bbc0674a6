/**
 * Makes a clock for deadlines that must not be missed, in milliseconds from an arbitrary start. Linux's monotonic clock
 * stands still while the machine is suspended, but leases run out meanwhile; so this one goes on by the wall clock's step
 * where that is the larger. It never goes back; a wall clock that is set forward only makes deadlines come early.
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
    elapsed += Math.max(monotonic - before.monotonic, wall - before.wall)
    return elapsed
  }
}
