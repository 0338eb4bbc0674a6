import { AppError, isAppError, toAppError } from '../errors.ts'
import type { Intent } from '../media.ts'
import type { Parts } from './parts.ts'
import type { ReadBacks } from './read-back.ts'
import { assertOnVolume } from './record.ts'

/**
 * Reads an archived file again.
 *
 * @param readBacks what was read just now need not be; null: all is read
 * @returns what is wrong with it (FILE_MISSING for a file that is gone or has other bytes, DISK_SICK for one that the disk
 *   does not give, DISK_DENIED for one that we may not read), or null
 * @throws VOLUME_*, DISK_* of the whole archive, PATH_UNSAFE, CANCELLED
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
    if (isAppError(error, 'FILE_MISSING')) return error
    // A file that cannot be read is damaged too: one bad sector, or one wrong owner, must not hold up all others.
    if (!isUnreadable(error)) throw error
    await parts.volume.verify()
    return toAppError(error)
  }
}

/** What cannot be read today may be read tomorrow; only what was read and is wrong is known to be so. */
export function isUnreadable(error: unknown): boolean {
  return isAppError(error, 'DISK_SICK', 'DISK_DENIED')
}
