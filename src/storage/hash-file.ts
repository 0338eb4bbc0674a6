import { close as closeNow } from 'node:fs'
import { promisify } from 'node:util'
import { DIRECT_BYTES, isRefusal, openDirect } from './direct.ts'
import { call } from './disk-calls.ts'
import type { Opened, Place } from './disk-thread.js'
import { attempt, readingCancelled } from './file-io.ts'
import { digestInThread } from './threaded-digest.ts'

const close = promisify(closeNow)
/** What is smaller is read and hashed in one go; the rest must not keep other calls of the disk waiting. */
const LARGE_BYTES = 2 << 20
/** Between two of them the thread serves others, and a signal is heard. */
const TURN_BYTES = 4 << 20

/**
 * Reads a regular file to its end, in constant memory.
 *
 * @param directIo past the page cache, if it is large and the file system lets it (direct.ts)
 * @throws FILE_MISSING, PATH_UNSAFE, DISK_*, CANCELLED
 */
export async function hashFile(
  place: Place,
  directIo: boolean,
  signal?: AbortSignal,
): Promise<{ sha256: string; sizeBytes: number; device: number }> {
  if (signal?.aborted) throw readingCancelled(place.path)
  const found = await call('hash', { ...place, belowBytes: LARGE_BYTES })
  if ('sha256' in found) return found
  const isDirect = directIo && found.sizeBytes >= DIRECT_BYTES
  const direct = isDirect ? await openDirect(found.fd, 'read') : null
  try {
    const digest = (await hashDirect(found, direct, signal)) ?? (await hashInTurns(found, signal))
    return { ...digest, device: found.device }
  } finally {
    await close(found.fd)
    if (direct !== null) await close(direct)
  }
}

/** @returns null where the file system does not let it be read past the page cache */
async function hashDirect(found: Opened, direct: number | null, signal?: AbortSignal) {
  if (direct === null) return null
  try {
    return await hashInTurns({ ...found, fd: direct }, signal)
  } catch (error) {
    if (isRefusal((error as Error).cause)) return null
    throw error
  }
}

async function hashInTurns({ fd, absolute }: Opened, signal?: AbortSignal) {
  const digest = digestInThread({ kind: 'sha256' })
  let sizeBytes = 0
  try {
    for (let count = TURN_BYTES; count === TURN_BYTES; sizeBytes += count) {
      if (signal?.aborted) throw readingCancelled(absolute)
      count = await attempt('read', absolute, () => digest.read(fd, TURN_BYTES))
    }
    return { sha256: await digest.finish(), sizeBytes }
  } catch (error) {
    digest.drop()
    throw error
  }
}
