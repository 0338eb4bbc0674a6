import type { ServerResponse } from 'node:http'
import type { Slots } from '../slots.ts'
import { createBodyReader } from './body-reader.ts'
import type { Buffers } from './buffers.ts'
import { createLane } from './lane.ts'
import type { Body } from './multipart.ts'
import type { OpenFile } from './open-files.ts'

export interface Delivery {
  file: OpenFile
  body: Body
  response: ServerResponse
}

export interface Hooks {
  writeHead: () => void
  /** Told the bytes that the socket has taken so far. */
  onBytes: (bytes: number) => void
}

interface Chunk {
  buffer: Buffer
  /** The filled part of it. */
  bytes: Buffer
}

/** What all downloads share: the memory, and the places of those who read. */
export interface Shared {
  buffers: Buffers
  reads: Pick<Slots, 'wait' | 'done'>
}

/**
 * Sends a body chunk by chunk, reading one ahead of the socket while few downloads move. One promise for all of it: some for
 * each chunk cost as much as the work between them.
 */
export function pump(delivery: Delivery, hooks: Hooks, shared: Shared): Promise<boolean> {
  return new Promise((resolve, reject) => {
    createPump(delivery, { ...hooks, resolve, reject }, shared)()
  })
}

/** @returns what starts it; `resolve` or `reject` is called once no read is under way any more */
function createPump(
  { file, body, response }: Delivery,
  hooks: Hooks & { resolve: (complete: boolean) => void; reject: (reason: unknown) => void },
  { buffers, reads }: Shared,
): () => void {
  const lane = createLane(buffers, body.length, () => response.socket?.bytesWritten ?? 0)
  const readInto = createBodyReader(file, body)
  /** Of the body, not read yet. */
  let left = body.length
  let sent = 0
  let reading: 'no' | 'waiting' | 'under way' = 'no'
  let ready: Chunk | null = null
  let writing: Chunk | null = null
  let failure: { reason: unknown } | null = null
  let hasBegun = false
  let say: (() => void) | null = null

  const end = (how: () => void): void => {
    if (say !== null) return
    say = how
    lane.leave()
    if (ready !== null) buffers.give(ready.buffer)
    // The system may still be reading it.
    if (writing !== null) buffers.forget(writing.buffer)
    if (reading !== 'under way') say()
  }
  const cut = () => end(() => hooks.resolve(false))
  const fail = (reason: unknown) => end(() => hooks.reject(reason))

  const step = (): void => {
    if (writing === null && ready !== null) write(ready)
    if (say !== null || reading !== 'no' || ready !== null || left === 0) return
    if (writing !== null && (failure !== null || !lane.mayReadAhead())) return
    reading = 'waiting'
    reads.wait(read)
  }
  const read = (): void => {
    try {
      if (say === null) readChunk()
      else reads.done()
    } catch (error) {
      reading = 'no'
      reads.done()
      fail(error)
    }
  }
  const readChunk = (): void => {
    const buffer = lane.take(left)
    reading = 'under way'
    readInto(buffer.subarray(0, Math.min(left, buffer.length)), (error, bytes) => {
      reading = 'no'
      reads.done()
      if (say !== null || error !== null) buffers.give(buffer)
      if (say !== null) say()
      else if (error !== null) failLater(error)
      else {
        left -= bytes.length
        ready = { buffer, bytes }
        guarded(step)
      }
    })
  }
  /** What was read before is still sent. */
  const failLater = (reason: unknown): void => {
    failure = { reason }
    if (writing === null) fail(reason)
  }
  const write = (chunk: Chunk): void => {
    if (!hasBegun) {
      // Somebody else may have answered while the disk was slow.
      if (response.destroyed || response.headersSent) {
        cut()
        return
      }
      hooks.writeHead()
      hasBegun = true
    }
    ready = null
    writing = chunk
    lane.written()
    if (left === 0) response.end(chunk.bytes, onTaken)
    else response.write(chunk.bytes, onTaken)
  }
  const onTaken = (error?: Error | null): void => {
    if (say !== null || writing === null) return
    // Node tells the error here before it says that the connection is closed.
    if (error) {
      cut()
      return
    }
    const { buffer, bytes } = writing
    writing = null
    lane.taken()
    buffers.give(buffer)
    sent += bytes.length
    hooks.onBytes(sent)
    if (failure !== null) fail(failure.reason)
    else if (sent === body.length) end(() => hooks.resolve(true))
    else guarded(step)
  }
  /** Nobody above a callback would catch it. */
  const guarded = (work: () => void): void => {
    try {
      work()
    } catch (error) {
      fail(error)
    }
  }
  return () => {
    // A write callback alone is not enough: it never comes when a pipelined answer's connection ends before its turn.
    response.once('close', cut)
    guarded(step)
  }
}
