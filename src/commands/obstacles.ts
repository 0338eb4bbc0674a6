import { MARKER_PATH } from '../archive-path.ts'
import type { Config } from '../config.ts'
import { openArchives } from '../db/archives.ts'
import type { Database } from '../db/connect.ts'
import { AppError, toAppError } from '../errors.ts'
import { openArchiveFolder, openProbe, type Program } from '../open.ts'
import { whyNotWritable } from '../storage/folder-check.ts'

/** What would stop a real run although a dry run works; looks only, and makes nothing. */
export async function obstaclesOf(
  config: Config,
  { program, database }: { program: Program; database: Database },
): Promise<AppError[]> {
  const checks = [
    () => checkArchive(config, database),
    () => checkErrorFolder(config),
    () => openProbe(config, program).version(),
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
    if (fileSystem === 'memory' && (await disk.stat(MARKER_PATH)) === null)
      throw new AppError('VOLUME_EPHEMERAL', `${disk.root} lies in memory`)
    return
  }
  const marker = (await disk.read(MARKER_PATH, 4096))?.toString('utf8') ?? null
  if (marker === null)
    throw new AppError('VOLUME_MISSING', `${disk.root} carries no archive, expected ${known.id}`)
  if (!marker.includes(known.id))
    throw new AppError('VOLUME_FOREIGN', `${disk.root} carries another archive than ${known.id}`)
  if (known.sick !== null)
    throw new AppError('DISK_SICK', `the archive disk failed: ${known.sick.reason}`)
}

async function checkErrorFolder({ archive }: Config): Promise<void> {
  const denied = await whyNotWritable(archive.errorDir)
  if (denied !== null)
    throw new AppError('DISK_DENIED', `ERROR_DIR ${archive.errorDir} ${denied.wrong}`, {
      hint: denied.remedy,
    })
}
