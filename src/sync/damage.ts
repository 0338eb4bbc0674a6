import { AppError, isAppError } from '../errors.ts'
import type { Intent } from '../media.ts'
import type { Parts } from './parts.ts'
import type { ReadBacks } from './read-back.ts'
import { assertOnVolume } from './record.ts'

/**
 * Reads an archived file again.
 *
 * @param readBacks what was read just now need not be; null: all is read
 * @returns what is wrong with it (FILE_MISSING for a file that is gone or has other bytes, DISK_SICK for one that the disk
 *   does not give), or null
 * @throws VOLUME_*, PATH_UNSAFE, CANCELLED
 */
export async function findDamage(
  parts: Pick<Parts, 'disk' | 'volume'>,
  { archivePath, sha256: archived }: Pick<Intent, 'archivePath' | 'sha256'>,
  signal: AbortSignal,
  readBacks: ReadBacks | null = null,
): Promise<AppError | null> {
  try {
    const file = await assertOnVolume(parts, archivePath)
    if (readBacks?.covers(file, archived)) return null
    const { sha256 } = await parts.disk.hash(archivePath, signal)
    if (sha256 === archived) return null
    return new AppError('FILE_MISSING', `${archivePath} no longer has the bytes that were archived`)
  } catch (error) {
    // A file that cannot be read is damaged too: one bad sector must not hold up all others.
    if (isAppError(error, 'FILE_MISSING', 'DISK_SICK')) return error
    throw error
  }
}
