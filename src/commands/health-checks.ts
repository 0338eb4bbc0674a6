import type { Config } from '../config.ts'
import { damagedFiles, oldestReading } from '../db/archived.ts'
import type { Database } from '../db/connect.ts'
import { AppError } from '../errors.ts'
import type { Links, SyncService } from '../open.ts'
import type { HealthChecks } from '../serve/health.ts'
import { requireArchive } from '../serve/locate.ts'

/** What became of the syncer in this process so far. */
export interface Syncer {
  service: SyncService | null
  /** Why it does not run, or did not when it was last tried. */
  problem: AppError | null
  /** `oldestUnverifiedSeconds`: how long ago the archived file was read that was read longest ago. */
  gauges: { oldestUnverifiedSeconds: number | null }
}

/** Without a syncer in this process only the archive itself is asked. */
export function checksOf(config: Config, links: Links | null, syncer: Syncer): HealthChecks {
  const archive = async () => {
    if (syncer.service !== null) await syncer.service.volume.verify()
    else await requireArchive(config.archive.dir)
  }
  if (links === null) return { archive }
  const { database, bucket } = links
  return {
    // Beside another service there is no archive of ours yet.
    ...(config.mode === 'shadow' ? {} : { archive }),
    database: async () => void (await database.run((sql) => sql`select 1`)),
    bucket: (signal) => bucket.check(signal),
    files: async () => {
      if (syncer.service === null) return
      const oldest = await oldestReading(database)
      syncer.gauges.oldestUnverifiedSeconds = oldest?.ageSeconds ?? null
      await assertUndamaged(database)
    },
    syncer: async () => {
      if (syncer.problem !== null) throw syncer.problem
    },
  }
}

/** As the last scrub, or `verify`, found it. @throws ARCHIVE_DAMAGED */
async function assertUndamaged(database: Database): Promise<void> {
  const [first] = await damagedFiles(database, 1)
  if (first === undefined) return
  throw new AppError(
    'ARCHIVE_DAMAGED',
    `${first.archivePath} is not what was archived: ${first.damage}`,
  )
}
