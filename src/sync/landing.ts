import { newSharedPages } from '../pages.js'
import type { Sink, Take } from '../storage/bucket.ts'
import { createDigest, type DigestKind } from '../storage/digests.js'
import type { NewFile } from '../storage/new-file.ts'
import { digestInThread } from '../storage/threaded-digest.ts'
import type { ProofPlan } from './proof.ts'

/**
 * Where the bytes of a download come down: the socket fills blocks, and each block is written and hashed while the next one
 * fills. They are written in order, so the file is a prefix of the object at every moment.
 */
export interface Landing extends Required<Sink> {
  /** All that was taken is in the file. @throws as `finish` does */
  flush(): Promise<void>
  /** @throws what `write`, `wrote` or `readBack` threw */
  finish(): Promise<Landed>
  /** Writes what was taken and waits until nothing is under way any more; for one that is not finished. Never throws. */
  abandon(): Promise<void>
}

export interface Landed {
  /** Hex. */
  sha256: string
  /** Of the planned digest. */
  value: string | null
  /** All of it was read from the disk again after it was hashed, and is what was hashed. */
  isReadBack: boolean
}

const BLOCK_BYTES = 1 << 20
/** Of an object that is no larger than some blocks; there may be many of them at once. */
const SMALL_BLOCK_BYTES = 256 << 10
const SMALL_BYTES = 8 << 20
/** That are full, of all landings together, as far as that leaves each of them one. */
const FULL_BLOCKS = 8
/** Memory that waits here is used again: V8 does not count it, so that what is let go may stay for as long as nothing else is collected. */
const idle = new Map<number, SharedArrayBuffer[]>()
const IDLE_BYTES = 16 << 20

/** When nothing comes for so long, what waits for its block to fill is written: a kill must not cost what had arrived. */
const QUIET_MS = 200

let landings = 0

interface Block {
  memory: Uint8Array
  /** Where it begins in the file. */
  start: number
  /** So many of its bytes came, and so many were handed over to be written and hashed. */
  filled: number
  handedOver: number
}

/**
 * @param file null: the bytes are only hashed
 * @param how `wrote` is told how many bytes each write brought; `readsBack`: each block is read from the disk again, past the
 *   page cache, before its memory is used again
 */
export async function openLanding(
  file: Pick<NewFile, 'isDirect' | 'write' | 'readBack'> | null,
  how: {
    plan: ProofPlan
    sizeBytes: number
    wrote?: (bytes: number) => Promise<void>
    readsBack?: boolean
  },
): Promise<Landing> {
  const { plan, sizeBytes, wrote } = how
  const readsBack = how.readsBack === true && file?.isDirect === true
  const isLarge = sizeBytes > BLOCK_BYTES
  const digests = await openDigests(plan, isLarge)
  const full = new Set<Promise<void>>()
  let taken = 0
  let block: Block | null = null
  let written: Promise<unknown> = Promise.resolve()
  let failed: { error: unknown } | null = null
  const fail = (error: unknown) => {
    failed ??= { error }
  }
  landings += 1

  const write = async (bytes: Uint8Array) => {
    if (failed !== null) return
    await file?.write(bytes)
    await wrote?.(bytes.byteLength)
  }
  let quiet: NodeJS.Timeout | null = null
  const waitForMore = () => {
    if (quiet === null) quiet = setTimeout(handOver, QUIET_MS)
    else quiet.refresh()
  }
  /** Everything before it is written and hashed, too, when this is. */
  let done: Promise<void> = Promise.resolve()
  const handOver = (): void => {
    if (block === null || block.filled === block.handedOver) return
    const bytes = block.memory.subarray(block.handedOver, block.filled)
    block.handedOver = block.filled
    written = written.then(() => write(bytes)).catch(fail)
    // A bit that flips in memory shows: before this in the hash, afterwards in what is read back.
    const hashed = readsBack ? written.then(() => digests.update(bytes)) : digests.update(bytes)
    done = Promise.all([done, written, hashed.catch(fail)]).then(() => {})
  }
  let isReadBack = readsBack
  let looked: Promise<unknown> = Promise.resolve()
  const readBack = async ({ memory, filled, start }: Block) => {
    if (file === null || !isReadBack || failed !== null) return
    isReadBack = await file.readBack(memory.subarray(0, filled), start)
  }
  /** Its memory is used again as soon as nobody reads it any more. */
  const putAside = (last: Block): void => {
    handOver()
    block = null
    looked = Promise.all([done, looked])
      .then(() => readBack(last))
      .catch(fail)
    const gone = looked.then(() => {
      full.delete(gone)
      giveBack(last.memory)
    })
    full.add(gone)
  }
  const current = (): Block => {
    block ??= { memory: newMemory(isLarge, sizeBytes), start: taken, filled: 0, handedOver: 0 }
    return block
  }
  const take: Take = (chunk) => {
    for (let at = 0; at < chunk.byteLength; ) {
      if (failed !== null) throw failed.error
      if (block === null && full.size >= fairShare()) return takeLater(chunk.subarray(at))
      const into = current()
      const room = into.memory.subarray(into.filled)
      const piece = chunk.subarray(at, at + room.byteLength)
      if (!isAtBeginning(piece, room)) room.set(piece)
      into.filled += piece.byteLength
      taken += piece.byteLength
      at += piece.byteLength
      if (into.filled === into.memory.byteLength) putAside(into)
    }
    if (block !== null) waitForMore()
    return full.size >= fairShare() ? Promise.race(full) : undefined
  }
  /** What waits comes first into the next block: none of it may be lent meanwhile. */
  let isWaiting = false
  const takeLater = async (rest: Uint8Array) => {
    isWaiting = true
    await Promise.race(full)
    isWaiting = false
    await take(rest)
  }
  let isOpen = true
  const settle = async () => {
    if (quiet !== null) clearTimeout(quiet)
    if (block !== null) putAside(block)
    await Promise.all(full)
    if (isOpen) landings -= 1
    isOpen = false
  }
  return {
    take,
    room() {
      if (isWaiting) return undefined
      const { memory, filled } = current()
      return memory.subarray(filled)
    },
    async flush() {
      handOver()
      await written
      if (failed !== null) throw failed.error
    },
    async finish() {
      await settle()
      if (failed !== null) throw failed.error
      return { ...(await digests.finish()), isReadBack }
    },
    async abandon() {
      await settle()
      digests.drop()
    },
  }
}

/** True for a chunk that the socket has put where it was to go. */
export function isAtBeginning(piece: Uint8Array, room: Uint8Array): boolean {
  return piece.buffer === room.buffer && piece.byteOffset === room.byteOffset
}

function fairShare(): number {
  return Math.max(1, Math.floor(FULL_BLOCKS / landings))
}

/** What is hashed here has just what it needs; what other threads read lies in shared memory. */
function newMemory(isLarge: boolean, sizeBytes: number): Uint8Array {
  if (!isLarge) return Buffer.allocUnsafeSlow(Math.max(sizeBytes, 1))
  const bytes = sizeBytes < SMALL_BYTES ? SMALL_BLOCK_BYTES : BLOCK_BYTES
  return new Uint8Array(idle.get(bytes)?.pop() ?? newSharedPages(bytes))
}

function giveBack({ buffer }: Uint8Array): void {
  if (!(buffer instanceof SharedArrayBuffer)) return
  const alike = idle.get(buffer.byteLength) ?? []
  if ((alike.length + 1) * buffer.byteLength <= IDLE_BYTES) alike.push(buffer)
  idle.set(buffer.byteLength, alike)
}

interface Digests {
  update(chunk: Uint8Array): Promise<unknown>
  finish(): Promise<Omit<Landed, 'isReadBack'>>
  drop(): void
}

/** A small object is hashed sooner than the thread is asked to; of a large one it computes what takes longest. */
async function openDigests(plan: ProofPlan, isLarge: boolean): Promise<Digests> {
  const besides = isLarge ? digestInThread : digestHere
  const sha256 = await (plan === null ? besides : digestHere)({ kind: 'sha256' })
  const planned = plan === null ? null : await besides(plan)
  return {
    update: (chunk) => Promise.all([sha256.update(chunk), planned?.update(chunk)]),
    finish: async () => ({
      sha256: await sha256.finish(),
      value: (await planned?.finish()) ?? null,
    }),
    drop() {
      sha256.drop()
      planned?.drop()
    },
  }
}

async function digestHere(kind: DigestKind) {
  const digest = await createDigest(kind)
  return {
    update: async (chunk: Uint8Array) => digest.update(chunk),
    finish: async () => digest.finish(),
    drop() {},
  }
}
