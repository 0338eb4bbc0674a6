import { createSlots } from '../slots.ts'

const KIB = 1 << 10
const MIB = 1 << 20

/** How many files of so many bytes and more may be downloaded or read at once, the largest first. */
const classes = [
  // From so many bytes on a file is read or written for longer than a disk takes to find its place: more of them make a disk
  // with one head go to and fro between them, and bring a line nothing.
  { fromBytes: 8 * MIB, slots: createSlots(4) },
  // What is in hand of one is held in memory; more of them keep no processor busier.
  { fromBytes: MIB, slots: createSlots(16) },
  { fromBytes: 256 * KIB, slots: createSlots(48) },
]

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
  const slots = classes.find(({ fromBytes }) => sizeBytes >= fromBytes)?.slots
  if (slots === undefined) return work()
  const giveBack = await slots.take(signal)
  try {
    return await work()
  } finally {
    giveBack()
  }
}
