import type { Config } from '../config.ts'
import { openArchives } from '../db/archives.ts'
import type { Database } from '../db/connect.ts'
import { AppError, toAppError } from '../errors.ts'
import { openArchiveFolder, refuseUnfitErrorFolder } from '../open/folders.ts'
import { openProbe, type Program } from '../open.ts'
import { readMarker, verifyMarker } from '../sync/marker.ts'

/** What would stop a real run although a dry run works; looks only, and makes nothing. */
export async function obstaclesOf(
  config: Config,
  { program, database }: { program: Program; database: Database },
): Promise<AppError[]> {
  const checks = [
    () => checkArchive(config, database),
    () => refuseUnfitErrorFolder(config.archive),
    () => openProbe(config, program).ready(),
  ]
  const found: AppError[] = []
  for (const check of checks)
    try {
      await check()
    } catch (error) {
      found.push(toAppError(error))
    }
  return found
}

async function checkArchive(config: Config, database: Database): Promise<void> {
  const archives = openArchives(database)
  const { disk, fileSystem } = await openArchiveFolder(config, archives)
  // Before the first run there is no table to ask, and a role that only reads may not ask it.
  const known = await archives.find().catch(() => null)
  if (known?.initialised !== true) {
    if (fileSystem === 'memory' && (await readMarker(disk)) === null)
      throw new AppError('VOLUME_EPHEMERAL', `${disk.root} lies in memory`)
    return
  }
  await verifyMarker(disk, known.id)
  if (known.sick !== null)
    throw new AppError('DISK_SICK', `the archive disk failed: ${known.sick.reason}`)
}
