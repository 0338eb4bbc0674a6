import { newPages } from '../pages.js'

const KIB = 1024
export const smallestChunk = 64 * KIB
/** Each chunk is a way to another thread and back: one visitor costs a sixth less than with half of it (bench/serve.ts, a). */
const largest = 2048 * KIB
/** Of many who start at once some stand still soon, each with what he was given last. */
const largestOfMany = 512 * KIB
/** With more downloads than this on the move, the processor always has another one to turn to. */
const readingAhead = 8
/** Strangers hold large buffers only up to this part of the budget, so that those who take what they are sent find room. */
const partOfStrangers = 1 / 4
/** Kept for the next download even beyond the budget: to make and to collect each chunk anew took most of the processor. */
const alwaysSpare = 4 * 1024 * KIB

const tidyMs = 5_000
const worthCollecting = 16 * 1024 * KIB

/** The memory that all downloads share. */
export interface Buffers {
  /** A buffer of some `wanted` bytes where the budget allows it, never of fewer than `smallestChunk`. */
  take(wanted: number): Buffer
  /** Only for a buffer that nobody will read or write any more. */
  give(buffer: Buffer): void
  /** For one that the system may still be reading: it is left to the garbage collector. */
  forget(buffer: Buffer): void
  /**
   * How much one download may hold in one buffer now, where it goes on after it.
   *
   * @param isKnown whether its visitor has shown that he takes what he is sent
   */
  fairBytes(isKnown: boolean): number
  /** The same for one that ends with it. */
  fairWholeBytes(isKnown: boolean): number
  mayReadAhead(isKnown: boolean): boolean
  /** Downloads whose visitors take what they are sent; those that stand still need no room. */
  moving: number
  /** Bytes that are in use now. */
  readonly inUse: number
}

/**
 * Shares `budgetBytes` among the downloads that move: large buffers for a few, small ones for many. Beyond it, when very
 * many stand still with what they were given, each further download still gets the smallest buffer.
 */
export function createBuffers(budgetBytes: number): Buffers {
  const spare = new Map<number, Buffer[]>()
  let spareBytes = 0
  let inUse = 0
  let forgotten = 0
  let tidying = false

  function dropSpare(): void {
    forgotten += spareBytes
    spareBytes = 0
    spare.clear()
  }

  /** The fair share swings by a factor of two while downloads come and go: each swing made all memory anew. */
  function takeSpare(size: number): Buffer | null {
    for (const one of [size, size / 2, size * 2]) {
      const known = spare.get(one)?.pop()
      if (known === undefined) continue
      spareBytes -= one
      return known
    }
    return null
  }

  /** Bytes outside the heap do not make V8 collect: they would stay until the next busy time. */
  function tidy(): void {
    tidying = false
    if (inUse === 0) dropSpare()
    if (forgotten >= worthCollecting) {
      forgotten = 0
      globalThis.gc?.()
    }
    if (spareBytes > 0) tidySoon()
  }

  function tidySoon(): void {
    if (tidying) return
    tidying = true
    setTimeout(tidy, tidyMs).unref()
  }

  function roomForSpare(): number {
    return Math.max(alwaysSpare, budgetBytes - inUse)
  }

  function room(isKnown: boolean): number {
    return budgetBytes * (isKnown ? 1 : partOfStrangers) - inUse
  }

  function fairWholeBytes(isKnown: boolean): number {
    const share = Math.min(budgetBytes / 2 / Math.max(1, buffers.moving), room(isKnown))
    return Math.min(largest, Math.max(smallestChunk, powerBelow(share)))
  }

  function fairBytes(isKnown: boolean): number {
    const most = buffers.moving > readingAhead ? largestOfMany : largest
    return Math.min(most, fairWholeBytes(isKnown))
  }

  const buffers: Buffers = {
    moving: 0,
    get inUse() {
      return inUse
    },
    take(wanted) {
      const size = Math.min(fairWholeBytes(true), Math.max(smallestChunk, powerAbove(wanted)))
      const known = takeSpare(size)
      inUse += known?.length ?? size
      if (known !== null) return known
      // Those of other sizes make room.
      if (spareBytes > roomForSpare()) dropSpare()
      // Other memory comes from malloc, which puts it among what lives longer and then keeps its room: after each crowd that
      // stood still 15 MiB more (bench/stalled.ts).
      return newPages(size)
    },
    give(buffer) {
      inUse -= buffer.length
      tidySoon()
      if (spareBytes + buffer.length > roomForSpare()) return
      const list = spare.get(buffer.length) ?? []
      spare.set(buffer.length, list)
      list.push(buffer)
      spareBytes += buffer.length
    },
    forget(buffer) {
      inUse -= buffer.length
      forgotten += buffer.length
      tidySoon()
    },
    fairBytes,
    fairWholeBytes,
    mayReadAhead: (isKnown) => buffers.moving <= readingAhead && room(isKnown) > 0,
  }
  return buffers
}

function powerBelow(bytes: number): number {
  return bytes < 1 ? 1 : 2 ** Math.floor(Math.log2(bytes))
}

function powerAbove(bytes: number): number {
  return bytes < 1 ? 1 : 2 ** Math.ceil(Math.log2(bytes))
}
