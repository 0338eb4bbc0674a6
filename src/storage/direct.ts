import { close as closeNow, constants, open as openNow, write as writeNow } from 'node:fs'
import { promisify } from 'node:util'
import { systemCode } from '../errors.ts'
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
const write = promisify(writeNow)

/**
 * Opens an open file once more, past the page cache.
 *
 * @returns null where that cannot be: the file is then used as it is open
 */
export function openDirect(fd: number, access: 'read' | 'write'): Promise<number | null> {
  const flags = access === 'read' ? constants.O_RDONLY : constants.O_WRONLY
  return open(`/proc/self/fd/${fd}`, flags | constants.O_DIRECT).catch(() => null)
}

export interface DirectWriter {
  /** For bytes that begin there in the file, in memory that begins with a page (../pages.js). */
  writerAt(start: number): Writer
  close(): Promise<void>
}

/**
 * Makes a writer of an open file. What begins or ends within a sector goes through the cache, and so does all of it where the
 * file system takes nothing else. As after any write, it is on the disk when the file is synced.
 */
export async function openDirectWriter(fd: number): Promise<DirectWriter> {
  let direct = await openDirect(fd, 'write')
  const leave = async () => {
    if (direct !== null) await close(direct).catch(() => {}) // the file's own descriptor is synced after it
    direct = null
  }
  const writeSome = async (bytes: Uint8Array, at: number, length: number, position: number) => {
    const isAligned = (bytes.byteOffset + at) % ALIGNMENT === 0 && position % ALIGNMENT === 0
    const sectors = isAligned ? length - (length % ALIGNMENT) : 0
    if (direct === null || sectors === 0) return write(fd, bytes, at, length, position)
    try {
      return await write(direct, bytes, at, sectors, position)
    } catch (error) {
      if (systemCode(error) !== 'EINVAL') throw error
      await leave()
      return write(fd, bytes, at, length, position)
    }
  }
  return {
    writerAt: (start) => (bytes, at, length) => writeSome(bytes, at, length, start + at),
    close: leave,
  }
}
