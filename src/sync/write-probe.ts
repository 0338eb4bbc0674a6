import { randomUUID } from 'node:crypto'
import { AppError, isAppError } from '../errors.ts'
import type { Disk } from '../storage/disk.ts'
import { settledWithin } from '../waiting.ts'
import { TEMPORARY_FOLDER } from './volume.ts'

/** A probe is asked for by whoever asks for the health, and writes this often at most. */
const EVERY_MS = 5_000
/** Within a health check's bound. */
const PATIENCE_MS = 1_500
/** A sync waits for all that was written before it; with large files under way that may take long. */
const SLOW_MS = 30_000
const TRIES = 3

/** True for the name of a file that only shows whether the archive can be written to. */
export function isWriteProbe(name: string): boolean {
  return /^write-probe\.[0-9a-f-]{36}$/.test(name)
}

/**
 * Makes a check that the archive takes bytes and keeps them: a small file is written, synced and removed, never two at a
 * time.
 *
 * @param options.clock milliseconds, never going back
 * @returns what throws DISK_FULL, DISK_SICK, DISK_DENIED and the like, as the last probe found it, and ARCHIVE_SLOW when
 *   one does not end
 */
export function createWriteProbe(
  disk: Pick<Disk, 'create' | 'unlink'>,
  options: { clock?: () => number; patienceMs?: number } = {},
): () => Promise<void> {
  const { clock = () => performance.now(), patienceMs = PATIENCE_MS } = options
  let flight: Promise<void> | null = null
  let startedAt = Number.NEGATIVE_INFINITY
  let failure: unknown = null

  const fly = async () => {
    try {
      await probe(disk)
      failure = null
    } catch (error) {
      failure = error
    } finally {
      flight = null
    }
  }

  return async () => {
    if (flight === null && clock() - startedAt >= EVERY_MS) {
      startedAt = clock()
      flight = fly()
    }
    if (flight !== null) await settledWithin(flight, patienceMs)
    if (flight !== null && clock() - startedAt > SLOW_MS)
      throw new AppError('ARCHIVE_SLOW', 'a small file could not be written and synced in 30 s')
    if (failure !== null) throw failure
  }
}

async function probe(disk: Pick<Disk, 'create' | 'unlink'>): Promise<void> {
  for (let tries = 1; ; tries++) {
    const name = `${TEMPORARY_FOLDER}/write-probe.${randomUUID()}`
    const file = await disk.create(name)
    try {
      await file.write(Buffer.from('strongroom\n'))
      await file.seal(0o600)
      return
    } catch (error) {
      // Another node's sweep took it for what a killed process left.
      if (!isAppError(error, 'FILE_MISSING') || tries === TRIES) throw error
    } finally {
      await file.close()
      await disk.unlink(name)
    }
  }
}
