import { type Buffers, smallestChunk } from './buffers.ts'

const firstBytes = 256 * 1024
/** A visitor who takes a chunk faster is sent larger ones, one who takes longer than the second smaller ones. */
const quickMs = 50
const slowMs = 250
/** So much kernels take for anyone before it shows that he reads slowly: who has taken more is known. */
const heldByKernels = 16 * 1024 * 1024

/** One download's share of the memory: its chunks grow with the speed of its visitor. */
export interface Lane {
  /** A buffer for the next chunk, of which so many bytes are left. */
  take(left: number): Buffer
  mayReadAhead(): boolean
  /** Called when a chunk is handed to the visitor, and when he has taken it. */
  written(): void
  taken(): void
  /** At the end, whatever it was. */
  leave(): void
}

/** @param writtenBytes what was written to the visitor's connection, by this download and those before it */
export function createLane(buffers: Buffers, bodyBytes: number, writtenBytes: () => number): Lane {
  let knownFrom = heldByKernels
  const isKnown = () => writtenBytes() >= knownFrom
  // A part that fits into one chunk is read and written once.
  let chunkBytes =
    bodyBytes <= buffers.fairWholeBytes(isKnown())
      ? bodyBytes
      : Math.min(firstBytes, buffers.fairBytes(isKnown()))
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
    mayReadAhead: () => buffers.mayReadAhead(isKnown()),
    written() {
      startedAt = performance.now()
      // One timer for all chunks of a download.
      standing = standing?.refresh() ?? setTimeout(look, slowMs)
    },
    taken() {
      const tookMs = performance.now() - (startedAt ?? 0)
      startedAt = null
      if (tookMs < quickMs) chunkBytes = Math.min(chunkBytes * 2, buffers.fairBytes(isKnown()))
      else if (tookMs > slowMs) {
        chunkBytes = smallestChunk
        knownFrom = writtenBytes() + heldByKernels
      }
      if (!moving) buffers.moving += 1
      moving = true
    },
    leave() {
      clearTimeout(standing ?? undefined)
      stand()
    },
  }
}
