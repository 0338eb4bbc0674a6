import { realpath, stat } from 'node:fs/promises'
import { resolve } from 'node:path'
import type { Config } from '../config.ts'
import type { Archives } from '../db/archives.ts'
import { AppError, isAppError, toAppError } from '../errors.ts'
import { type Disk, fileSystemKind, openDisk } from '../storage/disk.ts'
import { isOnRoot, whyNotWritable } from '../storage/folder-check.ts'
import { createDurableFolders } from '../storage/folders.ts'
import { makeFolders } from '../storage/make-folders.ts'
import { guardSyncs } from '../sync/guard.ts'
import type { VolumeParts } from '../sync/volume.ts'

/**
 * Says what is wrong with the folders before anything else is opened or waited for.
 *
 * @param use `writing` as a live sync does; `reading` as the file server does, for which the archive may come later
 */
export async function checkFolders({ archive }: Config, use: 'reading' | 'writing'): Promise<void> {
  if (use === 'reading') return refuseUnmounted('ARCHIVE_DIR', archive)
  await openFolder('ARCHIVE_DIR', archive)
  await openErrorFolder(archive)
}

/** The archive's folder as it is; it must exist, because a folder made here would hide a missing mount. */
export async function openArchiveFolder(config: Config, archives: Archives): Promise<VolumeParts> {
  const { dir } = config.archive
  const disk = guardSyncs(await openFolder('ARCHIVE_DIR', config.archive), archives)
  return {
    disk,
    folders: createDurableFolders(disk),
    archives,
    fileSystem: await fileSystemKind(dir),
  }
}

/** The archive's folder for what no database is asked for. */
export async function openFolderAlone({
  archive,
}: Config): Promise<Pick<VolumeParts, 'disk' | 'folders'>> {
  const disk = await openFolder('ARCHIVE_DIR', archive)
  return { disk, folders: createDurableFolders(disk) }
}

/** The archive's folder for a command that only reads it, and may have no right to more. */
export async function openArchiveToRead({ archive }: Config): Promise<Disk> {
  await refuseUnmounted('ARCHIVE_DIR', archive)
  return openFolderAsIs('ARCHIVE_DIR', archive)
}

/** The same with ERROR_DIR, which need not be there. */
export async function openFoldersToRead(
  config: Config,
): Promise<{ disk: Disk; errorDisk: Disk | null }> {
  const { errorDir } = config.archive
  return {
    disk: await openArchiveToRead(config),
    errorDisk: await openDisk(errorDir).catch((error: unknown) => {
      if (isAppError(error, 'FILE_MISSING')) return null
      throw error
    }),
  }
}

/** The folder of rejected files, made where it is missing. */
export async function openErrorFolder(archive: Config['archive']): Promise<Disk> {
  const { errorDir: dir } = archive
  await refuseUnmounted('ERROR_DIR', archive)
  await makeFolder('ERROR_DIR', dir)
  await refuseSameFolder(archive)
  return openFolder('ERROR_DIR', archive)
}

/** @throws DISK_DENIED */
export async function makeFolder(setting: 'ERROR_DIR' | 'SHADOW_DIR', dir: string): Promise<void> {
  try {
    await makeFolders(dir)
  } catch (cause) {
    throw new AppError('DISK_DENIED', `${setting}: ${toAppError(cause).message}`, {
      cause,
      hint: 'create it and give it to the user that Strongroom runs as, or choose another folder',
    })
  }
}

type FolderSetting = 'ARCHIVE_DIR' | 'ERROR_DIR'

async function openFolder(setting: FolderSetting, archive: Config['archive']): Promise<Disk> {
  await refuseUnmounted(setting, archive)
  const disk = await openFolderAsIs(setting, archive)
  await refuseUnwritable(setting, archive)
  return disk
}

/** Makes nothing. @throws CONFIG_INVALID, DISK_DENIED for a folder that is there and cannot be ERROR_DIR */
export async function refuseUnfitErrorFolder(archive: Config['archive']): Promise<void> {
  await refuseSameFolder(archive)
  await refuseUnwritable('ERROR_DIR', archive)
}

/**
 * The settings were compared as texts, and links and mounts give one folder several names. In ERROR_DIR things are removed
 * to make room.
 *
 * @throws CONFIG_INVALID for an ERROR_DIR that is there and is the ARCHIVE_DIR
 */
async function refuseSameFolder({ dir, errorDir }: Config['archive']): Promise<void> {
  const [one, other] = await Promise.all([identityOf(dir), identityOf(errorDir)])
  if (one === null || one !== other) return
  throw new AppError(
    'CONFIG_INVALID',
    `ERROR_DIR ${errorDir} is ARCHIVE_DIR ${dir} under another name`,
    { hint: 'give rejected files a folder of their own' },
  )
}

/** @returns null for one that is not there, or may not be looked at: whoever opens it says so */
async function identityOf(dir: string): Promise<string | null> {
  const facts = await stat(dir, { bigint: true }).catch(() => null)
  return facts && `${facts.dev} ${facts.ino}`
}

async function refuseUnwritable(setting: FolderSetting, archive: Config['archive']): Promise<void> {
  const dir = folderOf(setting, archive)
  const denied = await whyNotWritable(dir)
  if (denied !== null)
    throw new AppError('DISK_DENIED', `${setting} ${dir} ${denied.wrong}`, {
      hint: denied.remedy,
    })
}

async function refuseUnmounted(setting: FolderSetting, archive: Config['archive']): Promise<void> {
  const dir = folderOf(setting, archive)
  if (!archive.requireMount || !(await isOnRoot(dir))) return
  throw new AppError('VOLUME_MISSING', `${setting} ${dir} is on no mounted volume`, {
    hint: 'mount one; for a container for example with -v /mnt/user/media/videos:/media',
  })
}

function folderOf(setting: FolderSetting, archive: Config['archive']): string {
  return setting === 'ARCHIVE_DIR' ? archive.dir : archive.errorDir
}

async function openFolderAsIs(setting: FolderSetting, archive: Config['archive']): Promise<Disk> {
  const dir = folderOf(setting, archive)
  try {
    return await openDisk(dir, archive)
  } catch (error) {
    if (!isAppError(error, 'FILE_MISSING', 'PATH_UNSAFE')) throw error
    const absent = error.code === 'FILE_MISSING'
    throw new AppError(
      'VOLUME_MISSING',
      `${setting} ${dir} ${absent ? 'does not exist' : 'is not a folder'}`,
      {
        cause: error,
        hint: absent
          ? `mount the archive there, or create the folder for a new one (mkdir -p ${dir})`
          : `set ${setting} to a folder`,
      },
    )
  }
}

/** The absolute spellings of ARCHIVE_DIR that another service may have written into its rows. */
export async function archiveRoots({ archive }: Config): Promise<string[]> {
  return [resolve(archive.dir), await realpath(archive.dir)]
}
