import type { ArchiveRow, Archives } from '../db/archives.ts'
import { AppError, isAppError } from '../errors.ts'
import { openArchiveFolder, refuseUnfitErrorFolder } from '../open/folders.ts'
import { readMarker, verifyMarker } from '../sync/marker.ts'
import { bytesText } from '../units.ts'
import type { Examined } from './doctor-report.ts'

/** A sync reserves what each file needs; with less than this hardly any fits. */
const LEAST_FREE_BYTES = 100 * 1024 * 1024

/**
 * Whether the folders are there, and the archive in them is the right one.
 *
 * @param answered the database did: what an archive that was not asked for says is no finding
 * @returns true when it is the one that the database knows
 */
export async function checkArchive(
  { config, report }: Pick<Examined, 'config' | 'report'>,
  archives: Archives,
  answered: boolean,
): Promise<boolean> {
  const { disk, fileSystem } = await openArchiveFolder(config, archives)
  await refuseUnfitErrorFolder(config.archive)
  const { freeBytes } = await disk.room()
  if (freeBytes < LEAST_FREE_BYTES)
    throw new AppError('DISK_FULL', `${disk.root} has only ${bytesText(freeBytes)} free`)
  report.ok(`${disk.root} is there, ${bytesText(freeBytes)} free`)
  const found = (await readMarker(disk))?.id ?? null
  const known = answered ? await knownTo(archives) : 'no answer'
  if (known === 'no answer') {
    // Why it gives none was said by its own check.
    report.advise(
      `the database does not say which archive it expects; here is ${found ?? 'none'}`,
      [],
    )
    return false
  }
  if (known?.initialised !== true && found === null) {
    const remedy =
      fileSystem === 'memory' ? ['run "strongroom init-volume" if it is meant to be in memory'] : []
    report.advise(`no archive yet; the first sync makes one`, remedy)
    return false
  }
  if (known === null)
    throw new AppError(
      'VOLUME_UNCLAIMED',
      `${disk.root} carries archive ${found}, unknown to this database`,
      {
        hint: 'check that DB_NAME is the database that this archive was filed from; if it is (restored from a backup, say), run "strongroom accept-volume"',
      },
    )
  await verifyMarker(disk, known.id)
  if (known.sick !== null)
    throw new AppError('DISK_SICK', `the archive disk failed: ${known.sick.reason}`)
  report.ok(`archive ${known.id}`)
  return true
}

async function knownTo(archives: Archives): Promise<ArchiveRow | null | 'no answer'> {
  try {
    return await archives.find()
  } catch (error) {
    // Before the first start there is no table to ask.
    return isAppError(error, 'DB_SCHEMA') ? null : 'no answer'
  }
}
