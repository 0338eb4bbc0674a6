import type { Config } from '../config.ts'
import { openArchives } from '../db/archives.ts'
import { AppError } from '../errors.ts'
import type { Host } from '../host.ts'
import { openArchiveFolder, openFolderAlone } from '../open/folders.ts'
import { openDatabaseOnly, type Program, prepareSchema } from '../open.ts'
import { acceptVolume, initVolume, initVolumeAlone } from '../sync/volume.ts'
import { requireLive } from './require-live.ts'

const WRITES = 'this writes to archive or database'

/** `strongroom init-volume --no-database`: the archive of a file server that stands alone. */
export async function initAlone(host: Host, config: Config): Promise<void> {
  requireLive(config, WRITES)
  if (config.database !== null)
    throw new AppError('USAGE', '--no-database is for an archive that belongs to no database', {
      hint: 'a database is configured: leave --no-database out',
    })
  const id = await initVolumeAlone(await openFolderAlone(config))
  host.out(`${config.archive.dir} is archive ${id}\n`)
}

/** `strongroom init-volume` and `accept-volume`. */
export async function volumeCommand(
  host: Host,
  config: Config,
  { program, accept }: { program: Program; accept: boolean },
): Promise<void> {
  requireLive(config, WRITES)
  const database = openDatabaseOnly(config, program)
  await prepareSchema(config, database, program.log)
  const parts = await openArchiveFolder(config, openArchives(database))
  const id = accept ? await acceptVolume(parts) : await initVolume(parts)
  host.out(`${config.archive.dir} is archive ${id}\n`)
}
