import { AppError } from '../errors.ts'
import { createSlots } from '../slots.ts'
import type { Sink } from '../storage/bucket.ts'
import { assertLength, type Wanted } from './in-one.ts'
import { isAtBeginning } from './landing.ts'
import type { Parts } from './parts.ts'
import { persistently } from './persistently.ts'

const PART_BYTES = 2 << 20
/** Connections of one download. */
const LANES = 12
/** Parts of all downloads together: each lies in memory until all before it are on the disk. */
const PARTS_IN_MEMORY = 12

const slots = createSlots(PARTS_IN_MEMORY)
let inUse = 0
/** Made once, and used again until no download wants any. */
let idle: Buffer[] = []

/**
 * Brings one object version from byte `from` to its end over several connections, each of which fetches one part after the
 * other, by Range and with If-Match. The sink is given them in order, so what it holds is a prefix at every moment.
 *
 * @throws what the first part failed with; TRANSFER_BROKEN also when the store sends no parts
 */
export async function receiveInParts(
  parts: Pick<Parts, 'bucket' | 'log'>,
  wanted: Wanted,
  { take }: Pick<Sink, 'take'>,
): Promise<void> {
  const { sizeBytes } = wanted.facts
  const oneFailed = new AbortController()
  const signal = AbortSignal.any([wanted.signal, oneFailed.signal])
  let next = wanted.from
  let landed: Promise<void> = Promise.resolve()
  let failure: { error: unknown } | null = null

  const land = async (range: Range, memory: Buffer, before: Promise<void>) => {
    const part = await fetchPart(parts, { ...wanted, ...range, signal }, memory)
    await before
    await take(part)
  }
  const lane = async () => {
    await withMemory(signal, async (memory) => {
      while (next < sizeBytes) {
        const range = { from: next, to: Math.min(next + PART_BYTES, sizeBytes) }
        next = range.to
        const mine = land(range, memory, landed)
        landed = mine
        await mine
      }
    })
  }
  const guarded = async () => {
    try {
      await lane()
    } catch (error) {
      failure ??= { error }
      oneFailed.abort()
    }
  }
  const count = Math.min(LANES, Math.ceil((sizeBytes - wanted.from) / PART_BYTES))
  await Promise.all(Array.from({ length: count }, guarded))
  if (failure !== null) throw (failure as { error: unknown }).error
}

interface Range {
  from: number
  to: number
}

/** @returns the part, in the memory */
async function fetchPart(
  parts: Pick<Parts, 'bucket' | 'log'>,
  wanted: Wanted & Range,
  memory: Buffer,
): Promise<Buffer> {
  const { key, facts, from, to, signal, stillWanted } = wanted
  const part = memory.subarray(0, to - from)
  let received = 0
  let pieces = 0
  const take = (chunk: Uint8Array): undefined => {
    const room = part.subarray(received)
    if (!isAtBeginning(chunk, room)) room.set(chunk)
    received += chunk.byteLength
  }
  const room = () => part.subarray(received)
  const isSent = await persistently(parts, { ...wanted, progress: () => received }, async () => {
    if (pieces > 0) await stillWanted?.()
    pieces += 1
    const range = { from: from + received, to }
    const download = await parts.bucket.getPart(key, { ifMatch: facts.etag, ...range, signal })
    if (download === null) return false
    try {
      assertLength(download.sizeBytes, facts)
      await download.body.drain({ take, room })
    } finally {
      download.body.destroy()
    }
    return true
  })
  if (!isSent)
    throw new AppError('TRANSFER_BROKEN', `${parts.bucket.name} sends no parts of "${key}"`)
  return part
}

async function withMemory(
  signal: AbortSignal,
  use: (memory: Buffer) => Promise<void>,
): Promise<void> {
  const giveBack = await slots.take(signal)
  inUse += 1
  const memory = idle.pop() ?? Buffer.allocUnsafeSlow(PART_BYTES)
  try {
    await use(memory)
  } finally {
    inUse -= 1
    idle = inUse === 0 ? [] : [...idle, memory]
    giveBack()
  }
}
