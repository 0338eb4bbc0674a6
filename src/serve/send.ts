import type { FileHandle } from 'node:fs/promises'
import type { ServerResponse } from 'node:http'
import { AppError } from '../errors.ts'
import { unreadable } from './locate.ts'

/** Two of these are all the memory that a download holds, however slow its reader. */
const chunkBytes = 128 * 1024

export interface Delivery {
  file: FileHandle
  start: number
  length: number
  response: ServerResponse
}

/**
 * Sends a slice of a file, reading one chunk ahead of the socket. The headers go out only when the first bytes
 * have been read, so a disk that fails at once is still answered with an error.
 *
 * @param hooks.onBytes told the bytes that the socket has taken so far
 * @returns whether the socket took them all; false when the visitor left
 * @throws ARCHIVE_DAMAGED when the file ends early, DISK_SICK and its like when reading fails; no read is under way
 *   any more when it returns or throws
 */
export async function sendSlice(
  delivery: Delivery,
  hooks: { writeHead: () => void; onBytes: (bytes: number) => void },
): Promise<boolean> {
  const { file, start, length, response } = delivery
  const size = Math.min(chunkBytes, length)
  let current = Buffer.allocUnsafeSlow(size)
  let spare = length > size ? Buffer.allocUnsafeSlow(size) : current
  let chunk = await readChunk(file, current.subarray(0, size), start)
  const writer = createWriter(response)
  try {
    if (writer.isGone()) return false
    hooks.writeHead()
    let bytes = 0
    while (chunk.length > 0) {
      const writing = writer.write(chunk)
      const reach = bytes + chunk.length
      const ahead = spare.subarray(0, Math.min(size, length - reach))
      const [taken, next] = await Promise.all([writing, readChunk(file, ahead, start + reach)])
      if (!taken) return false
      bytes = reach
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

/** Fills `target`; nothing to fill is nothing to read. */
async function readChunk(file: FileHandle, target: Buffer, position: number): Promise<Buffer> {
  let filled = 0
  while (filled < target.length) {
    const { bytesRead } = await file
      .read(target, filled, target.length - filled, position + filled)
      .catch((error: unknown) => {
        throw unreadable(error)
      })
    if (bytesRead === 0) {
      throw new AppError('ARCHIVE_DAMAGED', 'a file became shorter while it was read')
    }
    filled += bytesRead
  }
  return target
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
