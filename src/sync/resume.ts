import { isAppError, toAppError } from '../errors.ts'
import type { Item } from '../media.ts'
import type { Landing } from './landing.ts'
import type { Parts } from './parts.ts'
import { listTemporaries, type Temporary } from './temporaries.ts'

type ResumeParts = Pick<Parts, 'disk' | 'log'>

interface Leftover {
  path: string
  /** When it was looked at; its owner may wake and go on writing. */
  sizeBytes: number
}

/**
 * Gives `landing` what an earlier epoch of the item has fetched of this very version, then removes what earlier epochs left.
 *
 * Their files are only read: an owner may wake and write to its own. After a power cut they may hold anything, so what is
 * copied proves nothing by itself; the proof over the whole object judges it.
 *
 * @returns bytes copied
 */
export async function copyLeftover(
  parts: ResumeParts,
  item: Pick<Item, 'id' | 'epoch'>,
  { version, sizeBytes, signal }: { version: string; sizeBytes: number; signal: AbortSignal },
  landing: Pick<Landing, 'take' | 'flush'>,
): Promise<number> {
  // A first epoch has no earlier one.
  if (item.epoch === 1) return 0
  const { disk, log } = parts
  const earlier = (await listTemporaries(disk)).filter(
    (one) => one.item === item.id && one.epoch < item.epoch,
  )
  const leftover = await longest(parts, earlier, { version, sizeBytes })
  let copied = 0
  if (leftover !== null) {
    for await (const chunk of readable(parts, leftover, signal)) {
      await landing.take(chunk)
      copied += chunk.byteLength
    }
    // Before the only other copy of it goes.
    await landing.flush()
    log.info({ item: item.id, copied, of: sizeBytes }, 'goes on from what an earlier run fetched')
  }
  for (const { path } of earlier) await disk.unlink(path)
  return copied
}

async function longest(
  { disk }: ResumeParts,
  earlier: readonly Temporary[],
  wanted: { version: string; sizeBytes: number },
): Promise<Leftover | null> {
  let best: Leftover | null = null
  for (const { path, version } of earlier) {
    if (version !== wanted.version) continue
    const facts = await disk.stat(path)
    // With a second name it was published, and what was published and came to nothing is not to be trusted.
    if (facts?.kind !== 'file' || facts.links > 1) continue
    const { sizeBytes } = facts
    if (sizeBytes <= wanted.sizeBytes && sizeBytes > (best?.sizeBytes ?? 0))
      best = { path, sizeBytes }
  }
  return best
}

/** Ends early where the disk cannot read on: the rest comes from the bucket. */
async function* readable(
  { disk, log }: ResumeParts,
  { path, sizeBytes }: Leftover,
  signal: AbortSignal,
): AsyncGenerator<Uint8Array> {
  let left = sizeBytes
  try {
    for await (const chunk of disk.chunks(path, signal)) {
      yield chunk.subarray(0, left)
      left -= Math.min(left, chunk.byteLength)
      if (left === 0) return
    }
  } catch (error) {
    if (isAppError(error, 'CANCELLED')) throw error
    log.warn({ path, error: toAppError(error) }, 'what an earlier run fetched cannot be read')
  }
}
