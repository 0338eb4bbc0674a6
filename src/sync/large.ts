import { createSlots } from '../slots.ts'

/** From so many bytes on a file is read or written for longer than a disk takes to find its place. */
const LARGE_BYTES = 8 << 20
/** More of them at once than this make a disk with one head go to and fro between them, and bring a line nothing. */
const AT_ONCE = 4

const slots = createSlots(AT_ONCE)

/**
 * Does the work, after others if it is on a large file: many small items may be in hand at once, but not many large ones.
 *
 * @throws CANCELLED while it waits
 */
export async function inTurn<T>(
  sizeBytes: number,
  signal: AbortSignal,
  work: () => Promise<T>,
): Promise<T> {
  if (sizeBytes < LARGE_BYTES) return work()
  const giveBack = await slots.take(signal)
  try {
    return await work()
  } finally {
    giveBack()
  }
}
