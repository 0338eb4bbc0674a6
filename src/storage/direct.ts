import {
  close as closeNow,
  constants,
  open as openNow,
  read as readNow,
  write as writeNow,
} from 'node:fs'
import { promisify } from 'node:util'
import { systemCode } from '../errors.ts'
import { newPages } from '../pages.js'
import type { Writer } from './file-io.ts'

/**
 * Files of so many bytes and more are written to the disk and read from it past the page cache (open(2), O_DIRECT), where the
 * file system lets them. There they would push out what visitors ask for, and to fill it takes a quarter of a download's
 * processor time; and what is read from memory tells nothing of the disk.
 */
export const DIRECT_BYTES = 64 << 20

/** Sectors have 512 or 4,096 bytes, and memory goes by pages. */
const ALIGNMENT = 4096

const open = promisify(openNow)
const close = promisify(closeNow)
const read = promisify(readNow)
const write = promisify(writeNow)

/**
 * Opens an open file once more, past the page cache.
 *
 * @returns null where that cannot be: the file is then used as it is open
 */
export function openDirect(fd: number, access: 'read' | 'both'): Promise<number | null> {
  const flags = access === 'read' ? constants.O_RDONLY : constants.O_RDWR
  return open(`/proc/self/fd/${fd}`, flags | constants.O_DIRECT).catch(() => null)
}

/** True for what a file system says that does not take or give bytes this way. */
export function isRefusal(error: unknown): boolean {
  return ['EINVAL', 'ENOTSUP', 'EOPNOTSUPP', 'ENOSYS'].includes(systemCode(error) ?? '')
}

export interface DirectFile {
  /** For bytes that begin there in the file, in memory that begins with a page (../pages.js). */
  writerAt(start: number): Writer
  /**
   * Tells whether the disk gives back the bytes that were written from `start`, a whole number of sectors, on.
   *
   * @returns null where it does not tell: the file system reads from its cache alone
   */
  holds(bytes: Uint8Array, start: number): Promise<boolean | null>
  close(): Promise<void>
}

/**
 * Makes one of an open file that its user may read and write. What begins or ends within a sector goes through the cache, and so
 * does all of it where the file system takes nothing else. As after any write, it is on the disk when the file is synced.
 */
export async function openDirectFile(fd: number): Promise<DirectFile> {
  let direct = await openDirect(fd, 'both')
  let reading: Promise<unknown> = Promise.resolve()
  const leave = async () => {
    const left = direct
    direct = null
    await reading // its number may be another file's as soon as it is closed
    if (left !== null) await close(left).catch(() => {}) // the file's own descriptor is synced after it
  }
  const writeSome = async (bytes: Uint8Array, at: number, length: number, position: number) => {
    const isAligned = (bytes.byteOffset + at) % ALIGNMENT === 0 && position % ALIGNMENT === 0
    const sectors = isAligned ? length - (length % ALIGNMENT) : 0
    if (direct === null || sectors === 0) return write(fd, bytes, at, length, position)
    try {
      return await write(direct, bytes, at, sectors, position)
    } catch (error) {
      if (!isRefusal(error)) throw error
      await leave()
      return write(fd, bytes, at, length, position)
    }
  }
  let memory: Buffer | null = null
  const readUpTo = async (fd: number, length: number, start: number): Promise<Buffer | null> => {
    const whole = Math.ceil(length / ALIGNMENT) * ALIGNMENT
    if (memory === null || memory.byteLength < whole) memory = newPages(whole)
    let filled = 0
    try {
      while (filled < length) {
        const { bytesRead } = await read(fd, memory, filled, whole - filled, start + filled)
        if (bytesRead === 0) break
        filled += bytesRead
      }
    } catch (error) {
      if (isRefusal(error)) return null
      throw error
    }
    return memory.subarray(0, Math.min(filled, length))
  }
  return {
    writerAt: (start) => (bytes, at, length) => writeSome(bytes, at, length, start + at),
    async holds(bytes, start) {
      if (direct === null) return null
      const asked = readUpTo(direct, bytes.byteLength, start)
      reading = asked.catch(() => {})
      const there = await asked
      return there === null ? null : there.equals(bytes)
    },
    close: leave,
  }
}
