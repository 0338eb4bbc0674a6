import { Cron } from 'croner'
import type { Config, Schedule } from '../config.ts'
import { damagedFiles, oldestReading } from '../db/archived.ts'
import type { Database } from '../db/connect.ts'
import { AppError, toAppError } from '../errors.ts'
import type { Host } from '../host.ts'
import type { Metrics } from '../metrics/metrics.ts'
import {
  checkFolders,
  type Links,
  openDatabaseOnly,
  openLinks,
  openScrub,
  openSync,
  type Program,
  type SyncService,
} from '../open.ts'
import { measureArchive, openMetrics } from '../open-metrics.ts'
import { createAdminServer, createFileServer } from '../serve/app.ts'
import { createHealth, type Gauges, type HealthChecks } from '../serve/health.ts'
import type { HttpServer } from '../serve/listen.ts'
import { requireArchive } from '../serve/locate.ts'
import { nothingRevoked, type RevokedTokens } from '../serve/revocations.ts'
import { createTraffic, type Traffic } from '../serve/traffic.ts'
import { scrubForever } from '../sync/scrub.ts'
import { pause } from '../sync/transfer.ts'
import { watchArchive } from './archive-watch.ts'
import { createProgress } from './progress.ts'
import { watchRevocations } from './revocations.ts'
import { runOnce } from './run.ts'
import { createShadow } from './shadow.ts'
import { syncDryRun } from './sync.ts'

export const roles = ['sync', 'serve', 'admin'] as const
export type Role = (typeof roles)[number]

interface Run {
  program: Program
  roles: ReadonlySet<Role>
  drain: AbortSignal
  abort: AbortSignal
}

const MIB = 2 ** 20
/** For downloads, beside a syncer; a server that has the process for itself holds 64 whole chunks. */
const sharedBufferBytes = 64 * MIB
const ownBufferBytes = 128 * MIB
const FIRST_RETRY_MS = 1_000
const RETRY_MS = 15_000

/**
 * `strongroom start`: file server first, because downloads need neither database nor bucket, then the syncer until a
 * signal comes. @returns the exit code
 */
export async function start(host: Host, config: Config, asked: Run): Promise<number> {
  const { metrics, watched, program: measured } = openMetrics(config, asked.program)
  const run = { ...asked, program: measured }
  const writes = run.roles.has('sync') && config.mode === 'live'
  if (writes || run.roles.has('serve')) await checkFolders(config, writes ? 'writing' : 'reading')
  const links = run.roles.has('sync') ? openLinks(config, run.program) : null
  const syncer: Syncer = { service: null, problem: null, gauges: { oldestUnverifiedSeconds: null } }
  const checks = checksOf(config, links, syncer)
  const database = links?.database ?? databaseForServers(config, run)
  // A syncer says so itself, and why it waits.
  if (links === null && run.roles.has('serve'))
    await watchArchive(() => requireArchive(config.archive.dir), run)
  const revoked =
    database === null || !run.roles.has('serve')
      ? nothingRevoked
      : await watchRevocations(database, run.program)
  const traffic = createTraffic()
  const { gauges } = syncer
  if (database !== null) measureArchive(metrics, config, database)
  if (run.roles.has('serve')) metrics.addTraffic(traffic)
  await startServers(config, { ...run, checks, revoked, traffic, gauges: () => gauges, metrics })
  if (links === null) {
    await waitForStop(run.drain)
    return 0
  }
  if (config.mode === 'dry-run') {
    await repeat(config, run, () => dryRunOnce(host, config, { ...run, links, syncer }))
    return 0
  }
  if (config.mode === 'shadow') {
    const once = createShadow(config, { ...run, links })
    await repeat(config, run, async () => {
      syncer.problem = await once()
      return syncer.problem === null
    })
    return run.abort.aborted ? 1 : 0
  }
  const opened = await openWhenReachable(config, { ...run, syncer }, links)
  if (opened === null) return 0
  syncer.service = opened
  const { program, drain: signal } = run
  const isBusy = () => traffic.underWay.size > 0
  const scrub = openScrub(opened, config, { program, signal, isBusy })
  const scrubbing = config.scrub.periodMs > 0 ? scrubForever(scrub, signal) : null
  await repeat(config, run, async () => {
    const { log } = run.program
    const shown = createProgress({ screen: null, log })
    const progress = { ...shown, watch: watched(shown.watch) }
    const { summary, stoppedBy } = await runOnce(opened, { ...run, progress })
    // The error itself was logged as it stopped the run.
    log.info({ summary: { ...summary, stoppedBy: stoppedBy?.code ?? null } }, 'run finished')
    return stoppedBy === null
  })
  await scrubbing
  return run.abort.aborted ? 1 : 0
}

/** The servers need none; where there is one they hear of tokens that were revoked, and how far the archive is. */
function databaseForServers(config: Config, { program }: Run): Database | null {
  return config.database === null ? null : openDatabaseOnly(config, program)
}

/** What became of the syncer in this process so far. */
interface Syncer {
  service: SyncService | null
  /** Why it does not run, or did not when it was last tried. */
  problem: AppError | null
  /** `oldestUnverifiedSeconds`: how long ago the archived file was read that was read longest ago. */
  gauges: { oldestUnverifiedSeconds: number | null }
}

async function dryRunOnce(
  host: Host,
  config: Config,
  run: Run & { links: Links; syncer: Syncer },
): Promise<boolean> {
  try {
    await syncDryRun(host, config, { ...run, json: true })
    run.syncer.problem = null
    return true
  } catch (error) {
    run.syncer.problem = toAppError(error)
    run.program.log.error({ error: run.syncer.problem }, 'the dry run stopped early')
    return false
  }
}

/** Without a syncer in this process only the archive itself is asked. */
function checksOf(config: Config, links: Links | null, syncer: Syncer): HealthChecks {
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

/**
 * Starts what the roles ask for; a health check without `checks` answers for the process alone.
 *
 * @returns the real port of each
 */
export async function startServers(
  config: Config,
  run: Pick<Run, 'program' | 'roles' | 'drain'> & {
    checks?: HealthChecks
    gauges?: () => Gauges
    revoked?: RevokedTokens
    traffic?: Traffic
    metrics?: Metrics
  },
): Promise<Map<Role, number>> {
  const { log, stops } = run.program
  const { checks = {}, gauges = () => ({}), traffic = createTraffic() } = run
  const health = createHealth({ checks, gauges })
  run.metrics?.addHealth(health)
  const metrics = run.metrics === undefined ? {} : { metrics: run.metrics }
  const { serve, archive } = config
  const ports = new Map<Role, number>()
  const servers: [Role, HttpServer, number][] = []
  if (run.roles.has('serve') && serve.tokens !== null)
    servers.push([
      'serve',
      createFileServer({
        archiveDir: archive.dir,
        tokens: serve.tokens,
        rules: serve,
        limits: serve.limits,
        revoked: run.revoked ?? nothingRevoked,
        pathPrefix: serve.pathPrefix,
        corsOrigins: serve.corsOrigins,
        offload: serve.offload,
        traffic,
        bufferBytes: run.roles.has('sync') ? sharedBufferBytes : ownBufferBytes,
        health,
        log,
      }),
      serve.port,
    ])
  if (run.roles.has('admin'))
    servers.push(['admin', createAdminServer({ health, log, ...metrics }), serve.adminPort])
  for (const [role, server, port] of servers) {
    const listening = await server.listen(port)
    ports.set(role, listening.port)
    log.info({ role, port: listening.port }, 'listening')
    run.drain.addEventListener('abort', () => listening.drain())
    stops.push(
      `${role} server`,
      () => listening.close(config.shutdownTimeoutMs),
      config.shutdownTimeoutMs,
    )
  }
  return ports
}

/**
 * A database that cannot be reached yet is waited for, and so is anything else that others may put right while this
 * process serves files. A syncer alone ends with the error: nobody else depends on it.
 */
async function openWhenReachable(
  config: Config,
  run: Run & { syncer: Syncer },
  links: Links,
): Promise<SyncService | null> {
  for (let wait = FIRST_RETRY_MS; !run.drain.aborted; wait = Math.min(wait * 2, RETRY_MS)) {
    try {
      const service = await openSync(config, run.program, links)
      run.syncer.problem = null
      return service
    } catch (thrown) {
      const error = toAppError(thrown)
      const isAway = error.code === 'DB_UNAVAILABLE' || error.code === 'DB_UNKNOWN'
      const waits = isAway || (run.roles.has('serve') && error.retry === 'outage')
      if (!waits) throw error
      run.syncer.problem = error
      const what = isAway ? 'waiting for the database' : 'nothing is synced; files are served'
      run.program.log.error({ error }, what)
      await pauseUnlessStopped(wait, run.drain)
    }
  }
  return null
}

/** The first run at once, the others by the schedule; after an outage sooner. */
async function repeat(config: Config, run: Run, once: () => Promise<boolean>): Promise<void> {
  while (!run.drain.aborted) {
    const startedAt = performance.now()
    const well = await once()
    const waitMs = untilNextMs(config.sync.schedule, {
      timeZone: config.timeZone,
      sinceStartMs: performance.now() - startedAt,
    })
    await pauseUnlessStopped(well ? waitMs : Math.min(waitMs, RETRY_MS), run.drain)
  }
}

/** Intervals run on the monotonic clock from start to start; cron texts on the wall clock of their zone. */
export function untilNextMs(
  schedule: Schedule,
  {
    timeZone,
    sinceStartMs,
    now = new Date(),
  }: { timeZone: string; sinceStartMs: number; now?: Date },
): number {
  if ('every' in schedule) return Math.max(1_000, schedule.every - sinceStartMs)
  const next = new Cron(schedule.cron, { timezone: timeZone }).nextRun(now)
  if (next === null)
    throw new AppError('CONFIG_INVALID', `SYNC_INTERVAL "${schedule.cron}" never comes`, {
      hint: 'for example 30m, or "0 3 * * *"',
    })
  return Math.max(1_000, next.getTime() - now.getTime())
}

async function pauseUnlessStopped(ms: number, signal: AbortSignal): Promise<void> {
  // setTimeout holds at most 2^31 - 1 ms; a schedule that is further away is simply looked at again.
  await pause(Math.min(ms, 2_000_000_000), signal).catch(() => {})
}

/** Resolves at the first signal. */
export function waitForStop(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve()
    else signal.addEventListener('abort', () => resolve(), { once: true })
  })
}
