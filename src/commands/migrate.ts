import type { Config } from '../config.ts'
import { createBackendTables } from '../db/backend.ts'
import type { Host } from '../host.ts'
import { migrateWithLog, openDatabaseOnly, type Program } from '../open.ts'
import { requireLive } from './require-live.ts'

/** `strongroom migrate`: our schema, and the backend's two tables where they do not exist. */
export async function migrateCommand(host: Host, config: Config, program: Program): Promise<void> {
  requireLive(config, 'this changes the schema')
  const database = openDatabaseOnly(config, program)
  const applied = await migrateWithLog(database, program.log)
  const made = await createBackendTables(database, config.backend)
  host.out(applied.length === 0 ? 'the schema is up to date\n' : `applied ${applied.join(', ')}\n`)
  // Said aloud: whoever has a backend meant its own tables.
  if (made.length > 0) host.out(`made ${made.join(', ')}: no such table was found\n`)
}
