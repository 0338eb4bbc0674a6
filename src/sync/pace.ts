/** How fast the bytes of a download come, and what they wait for. */
export interface Pace {
  /** A chunk came. */
  arrived(sizeBytes: number): void
  /** It was taken, and the next one is wanted. */
  ready(): void
  /** One connection brings little, and neither disk nor processor is why. */
  isSlow(): boolean
}

/** Before, a connection is still finding out what the line carries. */
const JUDGED_AFTER_MS = 400
/** Per second; what a single connection brings over a line of 1 Gbit is more. */
const SLOW_BYTES = 64 << 20

/** @param now monotonic milliseconds */
export function createPace(now: () => number = () => performance.now()): Pace {
  let began: number | null = null
  let readyAt = 0
  let waitedMs = 0
  let bytes = 0
  return {
    arrived(sizeBytes) {
      const at = now()
      // What came with the first chunk came before.
      if (began === null) began = at
      else {
        waitedMs += at - readyAt
        bytes += sizeBytes
      }
      readyAt = at
    },
    ready() {
      readyAt = now()
    },
    isSlow() {
      const elapsedMs = began === null ? 0 : now() - began
      if (elapsedMs < JUDGED_AFTER_MS) return false
      return waitedMs > elapsedMs / 2 && (bytes * 1000) / elapsedMs < SLOW_BYTES
    },
  }
}
