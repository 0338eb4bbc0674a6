import { createLive, type Live } from '../admin/live.ts'
import type { Config } from '../config.ts'
import type { Database } from '../db/connect.ts'
import { isAsked } from '../db/runs.ts'
import { toAppError } from '../errors.ts'
import type { Host } from '../host.ts'
import { type Repetition, repeat, type Work } from '../jobs/repeat.ts'
import type { Runs } from '../jobs/runs.ts'
import { withCleaning } from '../open/cleaning.ts'
import { checkFolders } from '../open/folders.ts'
import { openScrub } from '../open/healing.ts'
import { type Measured, measureArchive, openMetrics } from '../open/metrics.ts'
import { digestDaily, openHooks, openNotifier, partsOfTunnel, watchAll } from '../open/notify.ts'
import { openRuns } from '../open/runs.ts'
import { openSecondScrub } from '../open/second.ts'
import { openRoom } from '../open/space.ts'
import { type Links, openDatabaseOnly, openLinks, openSync, type SyncService } from '../open.ts'
import { requireArchive } from '../serve/locate.ts'
import { nothingRevoked } from '../serve/revocations.ts'
import { createTraffic } from '../serve/traffic.ts'
import { scrubForever } from '../sync/scrub.ts'
import { watchBoth } from '../sync/watch.ts'
import { pauseUnlessStopped } from '../waiting.ts'
import { watchArchive } from './archive-watch.ts'
import { checksOf, newSyncer, type Syncer } from './health-checks.ts'
import { createProgress } from './progress.ts'
import { watchRevocations } from './revocations.ts'
import { scrubAsRun } from './scrub-run.ts'
import { scrubSecondAsRun } from './scrub-second.ts'
import { type Service, startServers, waitForStop } from './servers.ts'
import { createShadow } from './shadow.ts'
import { syncDryRun } from './sync.ts'
import { type SyncHooks, syncAsRun, syncKind } from './sync-run.ts'
import { partsOfServer, partsOfSyncer } from './watched-parts.ts'

const FIRST_RETRY_MS = 1_000
const RETRY_MS = 15_000

/**
 * `strongroom start`: file server first, because downloads need neither database nor bucket, then the syncer until a
 * signal comes. @returns the exit code
 */
export async function start(host: Host, config: Config, asked: Service): Promise<number> {
  const { metrics, watched, program: measured } = openMetrics(config, asked.program)
  const run = { ...asked, program: measured }
  const writes = run.roles.has('sync') && config.mode === 'live'
  if (writes || run.roles.has('serve')) await checkFolders(config, writes ? 'writing' : 'reading')
  const links = run.roles.has('sync') ? openLinks(config, run.program) : null
  const syncer = newSyncer()
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
  const live = createLive()
  const shown = { checks, gauges: () => gauges, metrics, admin: { database, live } }
  const ports = await startServers(config, { ...run, ...shown, revoked, traffic })
  await run.listening?.(ports)
  const keepsHistory = links !== null && config.mode === 'live'
  const notifier = openNotifier(config, run, keepsHistory ? links.database : null)
  watchAll(run, notifier, partsOfTunnel(config))
  if (links === null) {
    if (run.roles.has('serve')) watchAll(run, notifier, partsOfServer(config))
    await waitForStop(run.drain)
    return 0
  }
  const syncs = repetitionOf(config)
  const waiting = { signal: run.drain, pause: (ms: number) => pauseUnlessStopped(ms, run.drain) }
  if (config.mode === 'dry-run') {
    const once = () => dryRunOnce(host, config, { ...run, links, syncer })
    await repeat(syncs, { once, ...unasked }, waiting)
    return 0
  }
  if (config.mode === 'shadow') {
    const shadow = createShadow(config, { ...run, links })
    const once = async () => {
      syncer.problem = await shadow()
      return syncer.problem === null
    }
    await repeat(syncs, { once, ...unasked }, waiting)
    return run.abort.aborted ? 1 : 0
  }
  const { database: ours } = links
  const runs = openRuns(config, run.program, {
    database: ours,
    listeners: [notifier, metrics.runs],
  })
  const reached = await openWhenReachable(config, { ...run, syncer, runs }, links)
  if (reached === null) return 0
  const opened = withCleaning(config, run, reached)
  syncer.service = opened
  metrics.addSpace(() => opened.space.state())
  metrics.addClock(opened.leases.clockJumpedMs)
  const hooks = openHooks(config, run, notifier)
  watchAll(run, notifier, partsOfSyncer(opened))
  digestDaily(config, run, notifier)
  const { program, drain: signal } = run
  const isBusy = () => traffic.underWay > 0
  const scrub = openScrub(opened, config, { program, signal, isBusy })
  const second = openSecondScrub(config, opened, { signal, isBusy })
  const scrubbing = Promise.all([
    config.scrub.periodMs > 0 &&
      scrubForever(scrub, signal, (parts) => scrubAsRun(parts, runs, signal)),
    scrubForever(second, signal, (parts) => scrubSecondAsRun(parts, runs, signal)),
  ])
  const sync = { ...run, service: opened, runs, hooks, watched, live }
  await repeat(syncs, syncing(config, sync), waiting)
  await scrubbing
  return run.abort.aborted ? 1 : 0
}

function repetitionOf({ sync, timeZone }: Config): Repetition {
  const { schedule, jitterMs, missed } = sync
  return { timetable: { ...schedule, timeZone }, jitterMs, missed }
}

function syncing(
  config: Config,
  run: Service & {
    service: SyncService
    runs: Runs
    hooks: SyncHooks
    watched: Measured['watched']
    live: Live
  },
): Work {
  const { service, runs, watched, live } = run
  const { log } = run.program
  const kind = syncKind(config)
  const room = openRoom(service)
  return {
    async once(trigger) {
      const shown = createProgress({ screen: null, log })
      const progress = { ...shown, watch: watchBoth(watched(shown.watch), live.watch) }
      const { summary, stoppedBy } = await syncAsRun(config, { ...run, progress }, trigger)
      // The error itself was logged as it stopped the run.
      if (summary !== null)
        log.info({ summary: { ...summary, stoppedBy: stoppedBy?.code ?? null } }, 'run finished')
      room.ended(stoppedBy, summary?.items.archived)
      return stoppedBy === null || stoppedBy.code === 'DISK_LOW'
    },
    missed: (reason) => runs.skip(kind, 'schedule', reason),
    async asked() {
      try {
        await runs.closeInterrupted()
        if (await isAsked(service.database, kind.job)) return 'api'
        return (await room.isBack()) ? 'schedule' : null
      } catch {
        // The run itself says, and louder, that the database is away.
        return null
      }
    },
  }
}

/** What leaves no trace is kept in no history, and nobody can ask for it. */
const unasked = { missed: async () => {}, asked: async () => null }

/** The servers need none; where there is one they hear of tokens that were revoked, and how far the archive is. */
function databaseForServers(config: Config, { program }: Service): Database | null {
  return config.database === null ? null : openDatabaseOnly(config, program)
}

async function dryRunOnce(
  host: Host,
  config: Config,
  run: Service & { links: Links; syncer: Syncer },
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

/**
 * A database that cannot be reached yet is waited for, and so is anything else that others may put right while this
 * process serves files. A syncer alone ends with the error: nobody else depends on it.
 */
async function openWhenReachable(
  config: Config,
  run: Service & { syncer: Syncer; runs: Runs },
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
      if (!waits) {
        // The database itself is what the history would be kept in.
        if (!error.code.startsWith('DB_'))
          await run.runs.failedToBegin(syncKind(config), 'start', error, new Date())
        throw error
      }
      run.syncer.problem = error
      const what = isAway ? 'waiting for the database' : 'nothing is synced; files are served'
      run.program.log.error({ error }, what)
      await run.runs.failedToBegin(syncKind(config), 'start', error, new Date())
      await pauseUnlessStopped(wait, run.drain)
    }
  }
  return null
}
