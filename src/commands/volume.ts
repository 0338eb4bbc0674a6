import type { Config } from '../config.ts'
import { openArchives } from '../db/archives.ts'
import type { Host } from '../host.ts'
import { migrateWithLog, openArchiveFolder, openDatabaseOnly, type Program } from '../open.ts'
import { acceptVolume, initVolume } from '../sync/volume.ts'

/** `strongroom init-volume` and `accept-volume`. */
export async function volumeCommand(
  host: Host,
  config: Config,
  { program, accept }: { program: Program; accept: boolean },
): Promise<void> {
  const database = openDatabaseOnly(config, program)
  if (config.migrateOnStart) await migrateWithLog(database, program.log)
  const parts = await openArchiveFolder(config, openArchives(database))
  const id = accept ? await acceptVolume(parts) : await initVolume(parts)
  host.out(`${config.archive.dir} is archive ${id}\n`)
}
