import { type FileHandle, lstat, open } from 'node:fs/promises'
import { join } from 'node:path'
import { AppError, systemCode } from '../errors.ts'
import { type DiskStep, diskError } from './disk-errors.ts'
import { FILE_FLAGS, factsFrom } from './file-facts.js'

/** What `lstat` tells of an entry, as far as anything here depends on it. */
export interface FileFacts {
  kind: 'file' | 'folder' | 'other'
  sizeBytes: number
  device: number
  inode: number
  links: number
  /** Of its bytes, its mode or its names (st_ctime): Unix milliseconds, with what the file system knows below them. */
  changedMs: number
}

const READ_BYTES = 1024 * 1024

/** Runs one file system call; what it throws leaves as an AppError that names `path`. */
export async function attempt<T>(step: DiskStep, path: string, call: () => Promise<T>): Promise<T> {
  try {
    return await call()
  } catch (error) {
    throw diskError(error, step, path)
  }
}

/** Writes some of the `length` bytes from `offset` on. */
export type Writer = (
  chunk: Uint8Array,
  offset: number,
  length: number,
) => Promise<{ bytesWritten: number }>

/** A full disk answers with a short count first, which is no error; only the next call may tell. */
export async function writeAll(
  { write }: { write: Writer },
  chunk: Uint8Array,
  path: string,
): Promise<void> {
  for (let offset = 0; offset < chunk.byteLength; ) {
    const { bytesWritten } = await write(chunk, offset, chunk.byteLength - offset)
    if (bytesWritten === 0) {
      throw diskError(
        Object.assign(new Error('nothing written'), { code: 'ENOSPC' }),
        'write',
        path,
      )
    }
    offset += bytesWritten
  }
}

/** An open file, and what it was when it was opened. */
export interface ReadableFile {
  handle: FileHandle
  sizeBytes: number
  device: number
}

/** A regular file, and nothing else, whatever is put in its place. @throws FILE_MISSING, PATH_UNSAFE, DISK_* */
export async function openFile(path: string): Promise<ReadableFile> {
  const handle = await attempt('read', path, () => open(path, FILE_FLAGS))
  try {
    const facts = await attempt('look at', path, () => handle.stat())
    if (!facts.isFile()) throw new AppError('PATH_UNSAFE', `${path} is not a regular file`)
    return { handle, sizeBytes: facts.size, device: facts.dev }
  } catch (error) {
    await handle.close()
    throw error
  }
}

export async function readWhole(path: string, maxBytes: number): Promise<Buffer> {
  const file = await openFile(path)
  try {
    const parts: Buffer[] = []
    let sizeBytes = 0
    for await (const chunk of chunksFrom(file, path)) {
      sizeBytes += chunk.byteLength
      if (sizeBytes > maxBytes) {
        throw new AppError('PATH_UNSAFE', `${path} is larger than ${maxBytes} bytes`)
      }
      parts.push(Buffer.from(chunk))
    }
    return Buffer.concat(parts)
  } finally {
    await file.handle.close()
  }
}

export function readingCancelled(path: string): AppError {
  return new AppError('CANCELLED', `reading ${path} was cancelled`)
}

export async function* chunksOf(confined: () => Promise<string>, signal?: AbortSignal) {
  const path = await confined()
  const file = await openFile(path)
  try {
    yield* chunksFrom(file, path, signal)
  } finally {
    await file.handle.close()
  }
}

/** To its end, wherever that is by then; a chunk is valid until the next one is asked for. */
export async function* chunksFrom(
  { handle, sizeBytes }: ReadableFile,
  path: string,
  signal?: AbortSignal,
) {
  const buffer = Buffer.allocUnsafe(Math.min(READ_BYTES, sizeBytes + 1))
  for (;;) {
    if (signal?.aborted) throw readingCancelled(path)
    const { bytesRead } = await attempt('read', path, () =>
      handle.read(buffer, 0, buffer.byteLength),
    )
    if (bytesRead === 0) return
    yield buffer.subarray(0, bytesRead) as Uint8Array
  }
}

export async function factsOf(path: string): Promise<FileFacts> {
  return factsFrom(await attempt('look at', path, () => lstat(path)))
}

/**
 * When a file was last written to, or a name added to a folder or taken from it; null when it is gone. Asks for no right to
 * read it.
 */
export async function lastWritten(root: string, path: string): Promise<Date | null> {
  try {
    return (await lstat(join(root, path))).mtime
  } catch (error) {
    if (systemCode(error) === 'ENOENT') return null
    throw diskError(error, 'look at', path)
  }
}
