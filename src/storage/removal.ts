import { rmdir, unlink, utimes } from 'node:fs/promises'
import { join } from 'node:path'
import { isAppError, systemCode } from '../errors.ts'
import { orWhenMissing } from './disk.ts'
import { diskError } from './disk-errors.ts'
import { segmentsOf } from './disk-path.ts'
import { attempt, factsOf } from './file-io.ts'
import { type PinnedFile, pinInside } from './pinned-file.ts'

/** A regular file as it was when it was judged. */
export interface SeenFile {
  /** Relative to its root. */
  path: string
  sizeBytes: number
  modifiedAt: Date
  inode: number
  /** How many names it has. */
  links: number
}

/** @returns null when it is gone. @throws PATH_UNSAFE for anything but a regular file that no link leads to */
export async function seeFile(root: string, path: string): Promise<SeenFile | null> {
  return withPinned(root, path, async (file) => {
    const { inode, links } = await factsOf(file.realPath)
    return { path, sizeBytes: file.sizeBytes, modifiedAt: file.modifiedAt, inode, links }
  })
}

/**
 * Removes a file if it is still the one that was seen: held open meanwhile, and never through a symbolic link. As with
 * {@link openDisk} the root belongs to Strongroom alone.
 *
 * @throws PATH_UNSAFE, DISK_*
 */
export async function removeSeen(
  root: string,
  seen: SeenFile,
): Promise<'removed' | 'gone' | 'changed'> {
  const outcome = await withPinned(root, seen.path, async (file) => {
    const { inode, links } = await factsOf(file.realPath)
    const same =
      inode === seen.inode &&
      links === seen.links &&
      file.sizeBytes === seen.sizeBytes &&
      file.modifiedAt.getTime() === seen.modifiedAt.getTime()
    if (!same || !(await file.isUnchanged())) return 'changed'
    await attempt('remove', file.realPath, () => unlink(file.realPath))
    return 'removed'
  })
  return outcome ?? 'gone'
}

/** Gives a file another time of writing: who saw it before does not take it for what he saw. @throws as {@link seeFile} */
export async function touchFile(root: string, path: string): Promise<void> {
  await withPinned(root, path, async ({ realPath }) => {
    const now = new Date()
    await attempt('write', realPath, () => utimes(realPath, now, now))
  })
}

/** @returns false when something is in it, or it is gone; the root itself is never removed */
export async function removeEmptyFolder(root: string, path: string): Promise<boolean> {
  if (segmentsOf(path).length === 0) return false
  const facts = await orWhenMissing(null, () => factsOf(join(root, path)))
  if (facts?.kind !== 'folder') return false
  try {
    await rmdir(join(root, path))
    return true
  } catch (error) {
    if (['ENOTEMPTY', 'EEXIST', 'ENOENT'].includes(systemCode(error) ?? '')) return false
    throw diskError(error, 'remove', path)
  }
}

async function withPinned<T>(
  root: string,
  path: string,
  use: (file: PinnedFile) => Promise<T>,
): Promise<T | null> {
  let file: PinnedFile
  try {
    file = await pinInside(root, path)
  } catch (error) {
    if (isAppError(error, 'FILE_MISSING')) return null
    throw error
  }
  try {
    return await use(file)
  } finally {
    await file.close()
  }
}
