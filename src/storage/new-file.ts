import { close as closeNow, fdatasync, write as writeNow } from 'node:fs'
import { promisify } from 'node:util'
import { AppError } from '../errors.ts'
import { type DirectFile, openDirectFile } from './direct.ts'
import { call } from './disk-calls.ts'
import { type DiskStep, diskError } from './disk-errors.ts'
import type { Opened } from './disk-thread.js'
import { attempt, type Writer, writeAll } from './file-io.ts'

/** A file being written under a name that only its writer believes in. */
export interface NewFile {
  readonly path: string
  /** Bytes written so far. */
  readonly sizeBytes: number
  /** It is to go past the page cache, and so what is written can be read back. */
  readonly isDirect: boolean
  /** Writes all of `chunk`, however short the single writes are. */
  write(chunk: Uint8Array): Promise<void>
  /**
   * Reads from the disk again, past the page cache, what was written from `start` on; one at a time.
   *
   * @returns false where that cannot be: for small files, and where the file system has no such way
   * @throws DISK_SICK when other bytes come
   */
  readBack(written: Uint8Array, start: number): Promise<boolean>
  /** Sets `mode`, fsyncs, closes. After an error the contents count as lost: discard and write anew. */
  seal(mode: number): Promise<void>
  /** Closes without syncing, for those who only want to read it back. Idempotent. */
  close(): Promise<void>
}

const closeFd = promisify(closeNow)
const datasync = promisify(fdatasync)
const writeFd = promisify(writeNow)
/** How much is written before the disk is told to begin. */
const FLUSH_BYTES = 128 << 20

/**
 * Goes on with what `create` opened; `path` is what it is called.
 *
 * @param isDirect it goes past the page cache, where the file system lets it (direct.ts)
 */
export function newFile({ fd, absolute }: Opened, path: string, isDirect: boolean): NewFile {
  let sizeBytes = 0
  let failed: AppError | null = null
  const noting = async <T>(step: DiskStep, work: () => Promise<T>): Promise<T> => {
    if (failed) throw failed
    try {
      return await work()
    } catch (error) {
      failed = diskError(error, step, absolute)
      throw failed
    }
  }
  let flushedTo = 0
  let flushing: Promise<void> | null = null
  /** So that the sync at the end has little left to do. An error that the kernel tells of once is kept. */
  const flush = async () => {
    await noting('sync', () => datasync(fd)).catch(() => {}) // whoever writes or seals next is told
    flushing = null
  }
  let writing: Promise<void> = Promise.resolve()
  let direct: DirectFile | null = null
  const append = async (chunk: Uint8Array) => {
    if (isDirect) direct ??= await openDirectFile(fd)
    const write: Writer =
      direct?.writerAt(sizeBytes) ?? ((bytes, at, length) => writeFd(fd, bytes, at, length))
    await noting('write', () => writeAll({ write }, chunk, absolute))
    sizeBytes += chunk.byteLength
    if (flushing !== null || sizeBytes - flushedTo < FLUSH_BYTES) return
    flushedTo = sizeBytes
    flushing = flush()
  }
  let isOpen = true
  /** Its number may be another file's from the moment at which it is closed: whatever uses it is over by then. */
  const leave = async () => {
    isOpen = false
    await writing
    await flushing
    await direct?.close()
  }
  const assertOpen = () => {
    if (!isOpen) throw new AppError('INTERNAL', `${absolute} is closed already`)
  }
  return {
    path,
    isDirect,
    get sizeBytes() {
      return sizeBytes
    },
    async write(chunk) {
      assertOpen()
      const written = writing.then(() => append(chunk))
      writing = written.catch(() => {}) // told to whoever writes
      await written
    },
    async readBack(bytes, start) {
      assertOpen()
      const isThere = await noting('read', async () => direct?.holds(bytes, start) ?? null)
      if (isThere === false) {
        failed ??= new AppError('DISK_SICK', `${absolute} does not hold what was written to it`)
        throw failed
      }
      return isThere === true
    },
    async seal(mode) {
      assertOpen()
      await leave()
      if (failed) {
        await closeFd(fd).catch(() => {}) // the first error is the one to tell
        throw failed
      }
      await noting('sync', () => call('seal', { fd, absolute, mode }))
    },
    async close() {
      if (!isOpen) return
      await leave()
      await attempt('close', absolute, () => closeFd(fd))
    },
  }
}
