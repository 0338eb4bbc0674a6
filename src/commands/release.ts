import type { Config } from '../config.ts'
import { openArchives } from '../db/archives.ts'
import type { Database } from '../db/connect.ts'
import { countByState, releasesToday } from '../db/lookup.ts'
import { assertMigrated } from '../db/migrate.ts'
import { isAppError } from '../errors.ts'
import type { Host } from '../host.ts'
import { openDatabaseOnly, type Program } from '../open.ts'
import { noArchiveYet } from '../sync/volume.ts'
import { requireLive } from './require-live.ts'
import { pauseText } from './summary.ts'

/** `strongroom release pause|resume|status`: holds at once on all nodes. */
export async function releaseCommand(
  host: Host,
  config: Config,
  {
    program,
    verb,
    reason,
  }: { program: Program; verb: 'pause' | 'resume' | 'status'; reason: string | null },
): Promise<void> {
  if (verb !== 'status') requireLive(config, `"release ${verb}" writes to the database`)
  const database = openDatabaseOnly(config, program)
  // To pause is right whatever the schema is, and may be urgent.
  if (verb !== 'pause') await assertMigrated(database)
  const archives = openArchives(database)
  if (verb === 'pause') await archives.pauseRelease(reason)
  if (verb === 'resume') await archives.resumeRelease()
  const archive = await archives.find()
  if (archive === null) throw noArchiveYet()
  const paused = archive.releasePaused
  host.out(paused === null ? 'releases are running\n' : `${pauseText(paused)}\n`)
  try {
    await tellCounts(host, config, database)
  } catch (error) {
    // What was asked for is done.
    if (verb === 'status' || !isAppError(error)) throw error
    host.err(`strongroom: the items could not be counted: ${error.message}\n`)
  }
}

async function tellCounts(host: Host, config: Config, database: Database): Promise<void> {
  const counts = await countByState(database)
  const today = await releasesToday(database)
  host.out(`${capSentence(today, config.releaseDailyMax)}\n`)
  for (const [state, count] of Object.entries(counts)) host.out(`  ${state}: ${count}\n`)
}

function capSentence(today: { released: number; releasing: number }, cap: number | null): string {
  const { released, releasing } = today
  const most = cap === null ? 'RELEASE_DAILY_MAX sets no limit' : `RELEASE_DAILY_MAX allows ${cap}`
  return `in the last 24 hours: ${released} released, ${releasing} being released (${most})`
}
