import type { ServerResponse } from 'node:http'
import { createSlots } from '../slots.ts'
import { createBodyReader } from './body-reader.ts'
import type { Buffers } from './buffers.ts'
import { createBundle } from './bundle.ts'
import type { Body } from './multipart.ts'
import type { OpenFile } from './open-files.ts'
import { type Delivery, type Hooks, pump } from './pump.ts'

export type { Hooks } from './pump.ts'

/** Up to here the first read has the whole body, and a file is worth keeping in memory. */
export const smallBytes = 64 * 1024

/** Of 64 visitors who ask at once: a tenth more answers than one by one; in larger rows a proxy in front of us waits for them. */
const bundledAnswers = 8

/**
 * As many as libuv's pool has threads. More would wait there, each with memory that is no longer in the processor's cache when it
 * is filled: 64 visitors cost an eighth more, and what else needs a thread came after them all.
 */
const readsAtOneTime = 4

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
  const bundle = createBundle(bundledAnswers)
  const shared = { buffers, reads: createSlots(readsAtOneTime) }

  const sendWhole = (bytes: Buffer, response: ServerResponse, hooks: Hooks): Promise<boolean> =>
    new Promise((resolve) => {
      // Somebody else may have answered while the disk was slow.
      if (response.destroyed || response.headersSent) return resolve(false)
      hooks.writeHead()
      response.on('close', () => resolve(false))
      bundle(() =>
        response.end(bytes, (error?: Error | null) => {
          if (!error) hooks.onBytes(bytes.length)
          resolve(!error)
        }),
      )
    })

  /** One read, or none for a file that was read before, and one write together with the head. */
  const sendSmall = ({ file, body, response }: Delivery, hooks: Hooks): Promise<boolean> => {
    const kept = keptPart(file, body)
    if (kept !== null) return sendWhole(kept, response, hooks)
    return readWhole(file, body).then((bytes) => sendWhole(bytes, response, hooks))
  }

  return (delivery, hooks) =>
    delivery.body.length > smallBytes ? pump(delivery, hooks, shared) : sendSmall(delivery, hooks)
}

function keptPart({ bytes }: OpenFile, { pieces }: Body): Buffer | null {
  const [piece, second] = pieces
  if (bytes === null || piece === undefined || second !== undefined) return null
  if (Buffer.isBuffer(piece)) return piece
  return piece.length === bytes.length
    ? bytes
    : bytes.subarray(piece.start, piece.start + piece.length)
}

function readWhole(file: OpenFile, body: Body): Promise<Buffer> {
  const isFile = body.length === file.sidecar.bytes && body.pieces.length === 1
  const target = isFile ? Buffer.allocUnsafeSlow(body.length) : Buffer.allocUnsafe(body.length)
  return new Promise((resolve, reject) => {
    createBodyReader(file, body)(target, (error, bytes) => {
      if (error !== null) return reject(error)
      if (isFile) file.keep(bytes)
      resolve(bytes)
    })
  })
}
