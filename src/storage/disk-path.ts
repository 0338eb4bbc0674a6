import { AppError } from '../errors.ts'

/** The folder that holds `path`, '' for the root. */
export function parentOf(path: string): string {
  return path.slice(0, Math.max(0, path.lastIndexOf('/')))
}

/**
 * Splits a path that is relative to a disk's root; none of its segments can lead out of it.
 *
 * @throws PATH_UNSAFE
 */
export function segmentsOf(path: string): string[] {
  if (path === '' || path === '.') return []
  const segments = path.split('/')
  // A lone surrogate is stored as U+FFFD, so that two different names would mean the same file.
  const sound =
    path.isWellFormed() &&
    segments.every((name) => name !== '' && name !== '.' && name !== '..' && !name.includes('\0'))
  if (sound) return segments
  throw new AppError('PATH_UNSAFE', `the path ${JSON.stringify(path)} is not plain and relative`)
}
