import { type FileHandle, open } from 'node:fs/promises'
import { AppError, isAppError, systemCode } from '../errors.ts'

/** What is wrong with a file, as the end of a sentence that begins with "the avif file". A verdict about the bytes. */
export class Damage extends Error {}

/** Random access to a file of which nothing is believed; memory and work are bounded whatever it holds. */
export interface FileBytes {
  sizeBytes: number
  /** @throws Damage when the file ends before, or after far more reads than a real file takes */
  read(at: number, length: number): Promise<Buffer>
}

const WINDOW_BYTES = 65_536
/** Pictures of thousands of tiles stay far below. */
const FEW_READS = 30_000
/** A frame of an animation takes four, and has at least so many bytes for each. Made to keep us busy, these would be 3 s. */
const BYTES_A_READ = 64
const MOST_READS = 250_000
/** The tables of a picture with thousands of tiles stay far below. */
const LARGEST_READ = 1_048_576

/**
 * Opens `path` for the time that `look` takes.
 *
 * @throws PROBE_FAILED when the file cannot be read: that says nothing about its bytes
 * @throws CANCELLED
 */
export async function withFileBytes<T>(
  { path, signal }: { path: string; signal?: AbortSignal | undefined },
  look: (file: FileBytes) => Promise<T>,
): Promise<T> {
  let handle: FileHandle | null = null
  try {
    handle = await open(path)
    const { size } = await handle.stat()
    return await look(fileBytes(handle, size, signal))
  } catch (error) {
    const code = isAppError(error) ? null : systemCode(error)
    if (code === null) throw error
    throw new AppError('PROBE_FAILED', `the downloaded file cannot be read (${code})`, {
      cause: error,
    })
  } finally {
    await handle?.close()
  }
}

function fileBytes(handle: FileHandle, sizeBytes: number, signal?: AbortSignal): FileBytes {
  let readsLeft = Math.min(FEW_READS + sizeBytes / BYTES_A_READ, MOST_READS)
  let window: { at: number; bytes: Buffer } = { at: 0, bytes: Buffer.alloc(0) }

  async function fetch(at: number, length: number): Promise<Buffer> {
    const bytes = Buffer.allocUnsafe(length)
    let filled = 0
    while (filled < length) {
      const { bytesRead } = await handle.read(bytes, filled, length - filled, at + filled)
      if (bytesRead === 0) throw new Damage('is shorter than it was a moment ago')
      filled += bytesRead
    }
    return bytes
  }

  async function read(at: number, length: number): Promise<Buffer> {
    if (signal?.aborted) throw new AppError('CANCELLED', 'the check of a file was stopped')
    if (readsLeft-- <= 0) throw new Damage('has more parts than any real file')
    if (length > LARGEST_READ) throw new Damage('has a table larger than any real one')
    if (!(at >= 0 && at + length <= sizeBytes)) throw new Damage('is cut off')
    if (length > WINDOW_BYTES) return fetch(at, length)
    if (at < window.at || at + length > window.at + window.bytes.length) {
      window = { at, bytes: await fetch(at, Math.min(WINDOW_BYTES, sizeBytes - at)) }
    }
    return window.bytes.subarray(at - window.at, at - window.at + length)
  }

  return { sizeBytes, read }
}
