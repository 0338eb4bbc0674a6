import { mkdir, stat } from 'node:fs/promises'
import { dirname } from 'node:path'
import { AppError, systemCode } from '../errors.ts'
import { diskError } from './disk-errors.ts'

/**
 * Makes a folder, and those above it that are missing. Not as Node does with `recursive`, which never ends where the system
 * says of every new name that it is not there, as below /proc.
 *
 * @param path absolute
 * @throws DISK_DENIED also where no folder can be made at all; DISK_*, PATH_UNSAFE, NAME_TAKEN
 */
export async function makeFolders(path: string): Promise<void> {
  if (await isMade(path)) return
  await makeFolders(dirname(path))
  if (await isMade(path)) return
  throw new AppError('DISK_DENIED', `cannot create ${path}: no folder can be made there`)
}

/** @returns false where the folder above is missing */
async function isMade(path: string): Promise<boolean> {
  try {
    await mkdir(path)
    return true
  } catch (error) {
    if (systemCode(error) === 'ENOENT') return false
    if (systemCode(error) !== 'EEXIST') throw diskError(error, 'create', path)
    // A link that leads nowhere is there, too.
    const there = await stat(path).catch(() => null)
    if (there?.isDirectory() === true) return true
    throw new AppError('NAME_TAKEN', `cannot create ${path}: what is there is no folder`)
  }
}
