import type { Buffers } from './buffers.ts'

const firstBytes = 256 * 1024
/** A visitor who takes a chunk faster is sent larger ones, one who takes longer than the second smaller ones. */
const quickMs = 50
const slowMs = 250

/** One download's share of the memory: its chunks grow with the speed of its visitor. */
export interface Lane {
  /** A buffer for the next chunk, of which so many bytes are left. */
  take(left: number): Buffer
  /** Called when a chunk is handed to the visitor, and when he has taken it. */
  written(): void
  taken(): void
  /** At the end, whatever it was. */
  leave(): void
}

export function createLane(buffers: Buffers, bodyBytes: number): Lane {
  // A part that fits into one chunk is read and written once.
  let chunkBytes =
    bodyBytes <= buffers.fairWholeBytes() ? bodyBytes : Math.min(firstBytes, buffers.fairBytes())
  let moving = true
  let startedAt: number | null = null
  let standing: NodeJS.Timeout | null = null
  buffers.moving += 1
  const stand = () => {
    if (moving) buffers.moving -= 1
    moving = false
  }
  const look = () => {
    if (startedAt !== null) stand()
  }
  return {
    take: (left) => buffers.take(Math.min(left, chunkBytes)),
    written() {
      startedAt = performance.now()
      // One timer for all chunks of a download.
      standing = standing?.refresh() ?? setTimeout(look, slowMs)
    },
    taken() {
      const tookMs = performance.now() - (startedAt ?? 0)
      startedAt = null
      if (tookMs < quickMs) chunkBytes = Math.min(chunkBytes * 2, buffers.fairBytes())
      else if (tookMs > slowMs) chunkBytes = 0
      if (!moving) buffers.moving += 1
      moving = true
    },
    leave() {
      clearTimeout(standing ?? undefined)
      stand()
    },
  }
}
