import { constants } from 'node:fs'
import { open } from 'node:fs/promises'
import type { AppError } from '../errors.ts'
import { type DiskStep, diskError } from './disk-errors.ts'
import { attempt, writeAll } from './file-io.ts'

/** A file being written under a name that only its writer believes in. */
export interface NewFile {
  readonly path: string
  /** Bytes written so far. */
  readonly sizeBytes: number
  /** Writes all of `chunk`, however short the single writes are. */
  write(chunk: Uint8Array): Promise<void>
  /** Sets `mode`, fsyncs, closes. After an error the contents count as lost: discard and write anew. */
  seal(mode: number): Promise<void>
  /** Closes without syncing, for those who only want to read it back. Idempotent. */
  close(): Promise<void>
}

const CREATE_FLAGS =
  constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW
/** How much is written before the disk is told to begin. */
const FLUSH_BYTES = 128 << 20

/** Opens a {@link NewFile}; `path` is what it is called, `absolute` where it is. */
export async function createFile(absolute: string, path: string): Promise<NewFile> {
  const handle = await attempt('create', absolute, () => open(absolute, CREATE_FLAGS, 0o600))
  let sizeBytes = 0
  let failed: AppError | null = null
  const noting = async <T>(step: DiskStep, call: () => Promise<T>): Promise<T> => {
    if (failed) throw failed
    try {
      return await call()
    } catch (error) {
      failed = diskError(error, step, absolute)
      throw failed
    }
  }
  let flushedTo = 0
  let flushing: Promise<void> | null = null
  /** So that the sync at the end has little left to do. An error that the kernel tells of once is kept. */
  const flush = async () => {
    await noting('sync', () => handle.datasync()).catch(() => {}) // whoever writes or seals next is told
    flushing = null
  }
  const close = async () => {
    await flushing
    await attempt('close', absolute, () => handle.close())
  }
  return {
    path,
    get sizeBytes() {
      return sizeBytes
    },
    async write(chunk) {
      await noting('write', () => writeAll(handle, chunk, absolute))
      sizeBytes += chunk.byteLength
      if (flushing !== null || sizeBytes - flushedTo < FLUSH_BYTES) return
      flushedTo = sizeBytes
      flushing = flush()
    },
    async seal(mode) {
      try {
        await flushing
        await noting('write', () => handle.chmod(mode))
        await noting('sync', () => handle.sync())
      } catch (error) {
        await handle.close().catch(() => {}) // the first error is the one to tell
        throw error
      }
      await noting('close', () => handle.close())
    },
    close,
  }
}
