import type { Config } from '../config.ts'
import { type DatabaseHealth, readHealth } from '../db/health.ts'
import { AppError } from '../errors.ts'
import { longestPauseMs } from '../jobs/schedule.ts'
import type { Links, SyncService } from '../open.ts'
import type { Gauges, HealthChecks } from '../serve/health.ts'
import { requireArchive } from '../serve/locate.ts'
import { createWriteProbe } from '../sync/write-probe.ts'
import { createRunCheck } from './run-check.ts'

/** What became of the syncer in this process so far. */
export interface Syncer {
  service: SyncService | null
  /** Why it does not run, or did not when it was last tried. */
  problem: AppError | null
  /** What the last check measured; see {@link syncerGauges}. */
  gauges: SyncerGauges
}

interface SyncerGauges extends Gauges {
  /** How long ago the archived file was read that was read longest ago. */
  oldestUnverifiedSeconds: number | null
  /** How long ago a sync came to its end. */
  lastRunSeconds: number | null
  freeBytes: number | null
  /** What downloads under way are still going to write. */
  reservedBytes: number | null
  /** How long ago the database's clock jumped, for which no source is deleted; null while it runs steadily. */
  clockJumpedSeconds: number | null
}

export function newSyncer(): Syncer {
  const gauges = {
    oldestUnverifiedSeconds: null,
    lastRunSeconds: null,
    freeBytes: null,
    reservedBytes: null,
    clockJumpedSeconds: null,
  }
  return { service: null, problem: null, gauges }
}

/** Without a syncer in this process only the archive itself is asked. */
export function checksOf(config: Config, links: Links | null, syncer: Syncer): HealthChecks {
  const archive = async () => {
    if (syncer.service !== null) await syncer.service.volume.verify()
    else await requireArchive(config.archive.dir)
  }
  if (links === null) return { archive }
  const { database, bucket } = links
  const look = createLook(links, syncer)
  return {
    // Beside another service there is no archive of ours yet.
    ...(config.mode === 'shadow' ? {} : { archive }),
    database: async () => {
      if (syncer.service === null) await database.run((sql) => sql`select 1`)
      else await look()
    },
    bucket: (signal) => bucket.check(signal),
    ...liveChecks(config, syncer, look),
    syncer: async () => {
      if (syncer.problem !== null) throw syncer.problem
    },
  }
}

type Look = () => Promise<DatabaseHealth>

/** All checks of one verdict share one statement. */
function createLook({ database }: Links, { gauges }: Syncer): Look {
  let flight: Promise<DatabaseHealth> | null = null
  const fly = async () => {
    try {
      const health = await readHealth(database, 'sync')
      const { oldestReadingSeconds: oldest, lastWellSeconds: last } = health
      gauges.oldestUnverifiedSeconds = oldest === null ? null : Math.floor(oldest)
      gauges.lastRunSeconds = last === null ? null : Math.floor(last)
      return health
    } finally {
      flight = null
    }
  }
  return () => {
    flight ??= fly()
    return flight
  }
}

/** What only a syncer that archives is asked; until it is open, its own check says why. */
function liveChecks(config: Config, syncer: Syncer, look: Look): HealthChecks {
  if (config.mode !== 'live') return {}
  const checkRuns = createRunCheck(config.staleAfterMs ?? usualStaleMs(config))
  let probe: { of: SyncService; write: () => Promise<void> } | null = null
  const when = (check: (service: SyncService) => Promise<void>) => async () => {
    if (syncer.service !== null) await check(syncer.service)
  }
  return {
    files: when(async () => assertUndamaged(await look())),
    writes: when(async (service) => {
      if (probe?.of !== service) probe = { of: service, write: createWriteProbe(service.disk) }
      await probe.write()
    }),
    space: when(async ({ space, disk }) => {
      const { low, freeBytes, reservedBytes } = await space.state()
      Object.assign(syncer.gauges, { freeBytes, reservedBytes })
      if (low) throw new AppError('DISK_LOW', `${disk.root} has only ${freeBytes} bytes free`)
    }),
    runs: when(async ({ leases }) => {
      const jumpedMs = leases.clockJumpedMs()
      syncer.gauges.clockJumpedSeconds = jumpedMs === null ? null : Math.floor(jumpedMs / 1e3)
      checkRuns(await look())
    }),
  }
}

const HOUR_MS = 3_600_000

/** Two scheduled runs in a row may fail, and one may take an hour, before anybody is called. */
function usualStaleMs({ sync, timeZone }: Config): number {
  return 2 * longestPauseMs({ ...sync.schedule, timeZone }, new Date()) + HOUR_MS
}

/** As the last scrub, or `verify`, found it. @throws ARCHIVE_DAMAGED */
function assertUndamaged({ damaged }: DatabaseHealth): void {
  if (damaged === null) return
  throw new AppError(
    'ARCHIVE_DAMAGED',
    `${damaged.archivePath} is not what was archived: ${damaged.damage}`,
  )
}
