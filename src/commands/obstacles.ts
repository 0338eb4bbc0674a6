import type { Config } from '../config.ts'
import { openArchives } from '../db/archives.ts'
import type { Backend } from '../db/backend.ts'
import type { Finding } from '../db/checks.ts'
import type { Database } from '../db/connect.ts'
import { schemaGap } from '../db/migrate.ts'
import { checkSchemaRights, checkTableRights } from '../db/rights.ts'
import { AppError, isAppError, toAppError } from '../errors.ts'
import { openArchiveFolder, refuseUnfitErrorFolder } from '../open/folders.ts'
import { openProbe, type Program } from '../open.ts'
import { verifyMarker } from '../sync/marker.ts'
import { refuseToInitialise } from '../sync/volume.ts'

/** What would stop a real run although a dry run works; looks only, and makes nothing. */
export async function obstaclesOf(
  config: Config,
  { program, database, backend }: { program: Program; database: Database; backend: Backend },
): Promise<AppError[]> {
  const checks = [
    () => checkSchema(config, database),
    () => checkTables(database, backend),
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

async function checkSchema({ migrateOnStart }: Config, database: Database): Promise<void> {
  const { use, migrate } = await checkSchemaRights(database)
  refuseLacking([use])
  const gap = await schemaGap(database)
  if (gap === null) return
  if (!migrateOnStart) throw gap
  refuseLacking([migrate])
}

async function checkTables(database: Database, backend: Backend): Promise<void> {
  const { reading, writing } = await checkTableRights(database, backend)
  refuseLacking([...reading, ...writing])
}

function refuseLacking(rights: readonly Finding[]): void {
  const lacking = rights.filter(({ ok }) => !ok)
  if (lacking.length > 0)
    throw new AppError('DB_DENIED', lacking.map(({ what }) => what).join(', '))
}

async function checkArchive(config: Config, database: Database): Promise<void> {
  const archives = openArchives(database)
  const parts = await openArchiveFolder(config, archives)
  const known = await archives.find().catch((error: unknown) => {
    // Before the first run there is no table to ask; that a role may not ask it is told with the other rights.
    if (isAppError(error, 'DB_SCHEMA')) return null
    if (isAppError(error, 'DB_DENIED')) return 'unknown'
    throw error
  })
  if (known === 'unknown') return
  if (known?.initialised !== true) {
    await refuseToInitialise(parts, known, { evenInMemory: false })
    return
  }
  await verifyMarker(parts.disk, known.id)
  if (known.sick !== null)
    throw new AppError('DISK_SICK', `the archive disk failed: ${known.sick.reason}`)
}
