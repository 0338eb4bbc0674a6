import { read } from 'node:fs'
import type { ServerResponse } from 'node:http'
import { AppError } from '../errors.ts'
import type { Buffers } from './buffers.ts'
import { unreadable } from './locate.ts'
import type { Body } from './multipart.ts'
import type { OpenFile } from './open-files.ts'

/** Up to here the first read has the whole body, and a file is worth keeping in memory. */
export const smallBytes = 64 * 1024
const firstBytes = 256 * 1024
/** A visitor who takes a chunk faster is sent larger ones, one who takes longer than the second smaller ones. */
const quickMs = 50
const slowMs = 250

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

export type Sender = (delivery: Delivery, hooks: Hooks) => Promise<boolean>

/**
 * Makes the sender of bodies. It reads one chunk ahead of the socket while few downloads move. The headers go out only
 * when the first bytes have been read, so a disk that fails at once is still answered with an error.
 *
 * @returns a function that says whether the socket took all bytes, false when the visitor left; it throws
 *   ARCHIVE_DAMAGED when the file ends early, DISK_SICK and its like when reading fails; no read is under way any more
 *   when it has returned or thrown
 */
export function createSender(buffers: Buffers): Sender {
  return (delivery, hooks) =>
    delivery.body.length > smallBytes
      ? sendLarge(delivery, hooks, buffers)
      : sendSmall(delivery, hooks)
}

/** One read, or none for a file that was read before, and one write together with the head. */
function sendSmall({ file, body, response }: Delivery, hooks: Hooks): Promise<boolean> {
  const kept = keptPart(file, body)
  if (kept !== null) return sendWhole(kept, response, hooks)
  return readWhole(file, body).then((bytes) => sendWhole(bytes, response, hooks))
}

/** The least that an answer needs; see {@link createWriter}. */
function sendWhole(bytes: Buffer, response: ServerResponse, hooks: Hooks): Promise<boolean> {
  return new Promise((resolve) => {
    // Somebody else may have answered while the disk was slow.
    if (response.destroyed || response.headersSent) return resolve(false)
    hooks.writeHead()
    response.on('close', () => resolve(false))
    response.end(bytes, (error?: Error | null) => {
      if (!error) hooks.onBytes(bytes.length)
      resolve(!error)
    })
  })
}

function keptPart({ bytes }: OpenFile, { pieces }: Body): Buffer | null {
  const [piece, second] = pieces
  if (bytes === null || piece === undefined || second !== undefined) return null
  return Buffer.isBuffer(piece) ? piece : bytes.subarray(piece.start, piece.start + piece.length)
}

async function readWhole(file: OpenFile, body: Body): Promise<Buffer> {
  const isFile = body.length === file.sidecar.bytes && body.pieces.length === 1
  const target = isFile ? Buffer.allocUnsafeSlow(body.length) : Buffer.allocUnsafe(body.length)
  const bytes = await createReader(file, body)(target)
  if (isFile) file.keep(bytes)
  return bytes
}

async function sendLarge(
  { file, body, response }: Delivery,
  hooks: Hooks,
  buffers: Buffers,
): Promise<boolean> {
  const lane = createLane(buffers, body.length)
  const readInto = createReader(file, body)
  let left = body.length
  const readNext = async (): Promise<Chunk> => {
    const buffer = lane.take(left)
    try {
      const bytes = await readInto(buffer.subarray(0, Math.min(left, buffer.length)))
      left -= bytes.length
      return { buffer, bytes }
    } catch (error) {
      lane.give(buffer)
      throw error
    }
  }
  const writer = createWriter(response)
  let sent = 0
  let ahead: Promise<Chunk> | null = readNext()
  try {
    for (let isFirst = true; ; isFirst = false) {
      const { buffer, bytes } = await (ahead ?? readNext())
      ahead = null
      // Somebody else may have answered while the disk was slow.
      if (writer.isGone() || (isFirst && response.headersSent)) {
        lane.give(buffer)
        return false
      }
      if (isFirst) hooks.writeHead()
      const isLast = left === 0
      const written = lane.time(() => (isLast ? writer.end(bytes) : writer.write(bytes)))
      if (!isLast && buffers.mayReadAhead()) ahead = settled(readNext())
      const taken = await written
      if (!taken) {
        lane.forget(buffer)
        return false
      }
      lane.give(buffer)
      sent += bytes.length
      hooks.onBytes(sent)
      if (isLast) return true
    }
  } finally {
    lane.leave()
    await ahead?.then(
      ({ buffer }) => lane.give(buffer),
      () => {},
    )
  }
}

interface Chunk {
  buffer: Buffer
  /** The filled part of it. */
  bytes: Buffer
}

/** A failure that is awaited later is not unhandled until then. */
function settled<T>(promise: Promise<T>): Promise<T> {
  promise.catch(() => {})
  return promise
}

/** One download's share of the memory: its chunks grow with the speed of its visitor. */
function createLane(buffers: Buffers, bodyBytes: number) {
  const fairBytes = buffers.fairBytes()
  // A part that fits into one chunk is read and written once.
  let chunkBytes = bodyBytes <= fairBytes ? bodyBytes : Math.min(firstBytes, fairBytes)
  let moving = true
  buffers.moving += 1
  const stand = () => {
    if (moving) buffers.moving -= 1
    moving = false
  }
  return {
    take: (left: number) => buffers.take(Math.min(left, chunkBytes)),
    give: (buffer: Buffer) => buffers.give(buffer),
    forget: (buffer: Buffer) => buffers.forget(buffer),
    async time(write: () => Promise<boolean>): Promise<boolean> {
      const startedAt = performance.now()
      const standing = setTimeout(stand, slowMs)
      const taken = await write()
      clearTimeout(standing)
      const tookMs = performance.now() - startedAt
      if (tookMs < quickMs) chunkBytes = Math.min(chunkBytes * 2, buffers.fairBytes())
      else if (tookMs > slowMs) chunkBytes = 0
      if (!moving) buffers.moving += 1
      moving = true
      return taken
    },
    leave: stand,
  }
}

/** @returns a function that fills a buffer with what comes next and returns the filled part, empty at the end */
function createReader(file: OpenFile, { pieces }: Body): (target: Buffer) => Promise<Buffer> {
  let index = 0
  let offset = 0
  return async (target) => {
    let filled = 0
    while (filled < target.length) {
      const piece = pieces[index]
      if (piece === undefined) break
      const room = target.subarray(filled, filled + piece.length - offset)
      const taken = Buffer.isBuffer(piece)
        ? piece.copy(room, 0, offset)
        : await readSome(file, room, piece.start + offset)
      filled += taken
      offset += taken
      if (offset < piece.length) continue
      index += 1
      offset = 0
    }
    return target.subarray(0, filled)
  }
}

/** The callback form costs a third of the promise form. */
function readSome({ file }: OpenFile, target: Buffer, position: number): Promise<number> {
  return new Promise((resolve, reject) => {
    read(file.fd, target, 0, target.length, position, (error, bytesRead) => {
      if (error) reject(unreadable(error))
      else if (bytesRead > 0) resolve(bytesRead)
      else reject(new AppError('ARCHIVE_DAMAGED', 'a file became shorter while it was read'))
    })
  })
}

interface Writer {
  /** @returns false when the visitor left; the buffer is free again once true is returned */
  write(chunk: Buffer): Promise<boolean>
  /** The same for the last chunk of an answer. */
  end(chunk: Buffer): Promise<boolean>
  isGone(): boolean
}

/** A write callback alone is not enough: it never comes when a pipelined answer's connection ends before its turn. */
function createWriter(response: ServerResponse): Writer {
  // Somebody else may have answered while the disk was slow.
  let gone = response.destroyed || response.headersSent
  let settle: ((taken: boolean) => void) | null = null
  response.once('close', () => {
    gone = true
    settle?.(false)
  })
  const begin = (work: (done: (taken: boolean) => void) => void) =>
    new Promise<boolean>((resolve) => {
      settle = resolve
      if (gone) resolve(false)
      else work(resolve)
    })
  return {
    write: (chunk) => begin((done) => response.write(chunk, (error) => done(!error && !gone))),
    // Node tells the error here too, before it says that the connection is closed.
    end: (chunk) =>
      begin((done) => response.end(chunk, (error?: Error | null) => done(!error && !gone))),
    isGone: () => gone,
  }
}
