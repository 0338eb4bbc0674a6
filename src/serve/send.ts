import type { FileHandle } from 'node:fs/promises'
import type { ServerResponse } from 'node:http'
import { AppError } from '../errors.ts'
import { unreadable } from './locate.ts'
import type { Body } from './multipart.ts'

/** Two of these are all the memory that a download holds, however slow its reader. */
const chunkBytes = 128 * 1024

export interface Delivery {
  file: FileHandle
  body: Body
  response: ServerResponse
}

/**
 * Sends a body, reading one chunk ahead of the socket. The headers go out only when the first bytes have been read, so
 * a disk that fails at once is still answered with an error.
 *
 * @param hooks.onBytes told the bytes that the socket has taken so far
 * @returns whether the socket took them all; false when the visitor left
 * @throws ARCHIVE_DAMAGED when the file ends early, DISK_SICK and its like when reading fails; no read is under way
 *   any more when it returns or throws
 */
export async function sendBody(
  { file, body, response }: Delivery,
  hooks: { writeHead: () => void; onBytes: (bytes: number) => void },
): Promise<boolean> {
  const size = Math.min(chunkBytes, body.length)
  let current = Buffer.allocUnsafeSlow(size)
  let spare = body.length > size ? Buffer.allocUnsafeSlow(size) : current
  const readChunk = createReader(file, body)
  let chunk = await readChunk(current)
  const writer = createWriter(response)
  try {
    if (writer.isGone()) return false
    hooks.writeHead()
    let bytes = 0
    while (chunk.length > 0) {
      const writing = writer.write(chunk)
      const [taken, next] = await Promise.all([writing, readChunk(spare)])
      if (!taken) return false
      bytes += chunk.length
      hooks.onBytes(bytes)
      chunk = next
      ;[current, spare] = [spare, current]
    }
    response.end()
    return true
  } finally {
    writer.detach()
  }
}

/** @returns a function that fills a buffer with what comes next and returns the filled part, empty at the end */
function createReader(file: FileHandle, { pieces }: Body): (target: Buffer) => Promise<Buffer> {
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

async function readSome(file: FileHandle, target: Buffer, position: number): Promise<number> {
  const { bytesRead } = await file
    .read(target, 0, target.length, position)
    .catch((error: unknown) => {
      throw unreadable(error)
    })
  if (bytesRead === 0) {
    throw new AppError('ARCHIVE_DAMAGED', 'a file became shorter while it was read')
  }
  return bytesRead
}

interface Writer {
  /** @returns false when the visitor left; the buffer is free again once true is returned */
  write(chunk: Buffer): Promise<boolean>
  isGone(): boolean
  detach(): void
}

/** A write callback alone is not enough: it never comes when a pipelined answer's connection ends before its turn. */
function createWriter(response: ServerResponse): Writer {
  let gone = response.destroyed
  let settle: ((taken: boolean) => void) | null = null
  const leave = () => {
    gone = true
    settle?.(false)
  }
  response.on('close', leave)
  return {
    write(chunk) {
      return new Promise((resolve) => {
        settle = resolve
        if (gone) return resolve(false)
        response.write(chunk, (error) => resolve(!error && !gone))
      })
    },
    isGone: () => gone,
    detach: () => response.off('close', leave),
  }
}
