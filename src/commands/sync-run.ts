import type { Config } from '../config.ts'
import { AppError, toAppError } from '../errors.ts'
import { type JobKind, type OpenRun, plain, type Runs } from '../jobs/runs.ts'
import type { SyncService } from '../open.ts'
import type { Run, RunEnd, RunTrigger } from '../runs.ts'
import type { ItemReport, ReleaseOutcome } from '../sync/report.ts'
import { watchBoth } from '../sync/watch.ts'
import { callAfter } from '../waiting.ts'
import type { Progress } from './progress.ts'
import { type RunSummary, runOnce } from './run.ts'

/** What a person has set to happen around a sync. */
export interface SyncHooks {
  /** @returns why the run is not to begin; null when it may */
  before(run: Run): Promise<AppError | null>
  after(run: Run): Promise<void>
  settled(report: ItemReport): void
}

/** A sync that ran, or did not. */
export interface SyncDone {
  run: Run | null
  /** Null when it did not begin. */
  summary: RunSummary | null
  stoppedBy: AppError | null
}

export interface SyncRunParts {
  service: SyncService
  runs: Runs
  hooks?: SyncHooks
  progress: Progress
  drain: AbortSignal
  abort: AbortSignal
}

export function syncKind({ sync }: Config): JobKind {
  return { job: 'sync', mode: 'live', alone: sync.alone }
}

/**
 * One whole sync, kept in the history of runs.
 *
 * @param trigger `api` for one that somebody asked for; when another node has taken it nothing is done
 */
export async function syncAsRun(
  config: Config,
  parts: SyncRunParts,
  trigger: RunTrigger,
): Promise<SyncDone> {
  const open = await beginSync(config, parts, trigger)
  if (open === null) return { run: null, summary: null, stoppedBy: null }
  if (open instanceof AppError) return { run: null, summary: null, stoppedBy: open }
  try {
    return await syncIn(open, config, parts)
  } catch (thrown) {
    // Outages end a run inside; this is a fault of ours, for which no file server has to stop.
    const error = toAppError(thrown)
    parts.service.log.error({ error }, 'the run broke off')
    const end: RunEnd = { status: 'failed', items: {}, bytes: 0, error: plain(error) }
    return { run: await open.end(end), summary: null, stoppedBy: error }
  }
}

/** @returns null when another run is under way or has been taken by another node; or why it could not begin */
async function beginSync(
  config: Config,
  { runs, service }: SyncRunParts,
  trigger: RunTrigger,
): Promise<OpenRun | AppError | null> {
  const kind = syncKind(config)
  const startedAt = new Date()
  try {
    return trigger === 'api' ? await runs.beginPending(kind) : await runs.begin(kind, trigger)
  } catch (thrown) {
    const error = toAppError(thrown)
    service.log.error({ error }, 'the run could not begin')
    await runs.failedToBegin(kind, trigger, error, startedAt)
    return error
  }
}

async function syncIn(open: OpenRun, config: Config, parts: SyncRunParts): Promise<SyncDone> {
  const { hooks, service, drain } = parts
  const refused = (await hooks?.before(open.run)) ?? null
  if (refused !== null) {
    service.log.warn({ run: open.run.id, error: refused }, 'the run was refused')
    const end: RunEnd = { status: 'skipped', items: {}, bytes: 0, error: plain(refused) }
    return { run: await open.end(end), summary: null, stoppedBy: null }
  }
  const limit = limitTime(config, parts)
  const watched = watchItems(open, parts)
  try {
    const done = await runOnce(service, { ...limit, progress: watched })
    const stoppedBy = limit.over() ?? done.stoppedBy
    const run = await open.end({
      ...countsOf(done.summary),
      status: statusOf(done.summary, { stoppedBy, drained: drain.aborted }),
      error: stoppedBy === null ? null : plain(stoppedBy),
    })
    await hooks?.after(run)
    return { run, summary: done.summary, stoppedBy }
  } finally {
    limit.end()
  }
}

/** Tells the history of every item, too, and how far it all is. */
function watchItems(open: OpenRun, { progress, hooks }: SyncRunParts): Progress {
  const items: Record<string, number> = {}
  let bytes = 0
  const settled = (report: ItemReport) => {
    const { item, outcome, reason, archivePath, sizeBytes } = report
    const { mediaId } = item.media
    items[outcome] = (items[outcome] ?? 0) + 1
    if (outcome === 'archived') bytes += sizeBytes ?? 0
    open.event({ itemId: item.id, mediaId, outcome, reason, archivePath, sizeBytes })
    open.progress({ items, bytes })
    hooks?.settled(report)
  }
  const released = (outcome: ReleaseOutcome) => {
    // What stays is asked for again and again: nobody gets on by that.
    if (outcome === 'kept' || outcome === 'stale') return
    items[outcome] = (items[outcome] ?? 0) + 1
    open.progress({ items, bytes })
  }
  return { ...progress, watch: watchBoth(progress.watch, { settled, released }) }
}

/** After SYNC_TIMEOUT nothing new is begun, and after SHUTDOWN_TIMEOUT more what is in hand is let go. */
function limitTime(
  { sync, shutdownTimeoutMs }: Config,
  signals: { drain: AbortSignal; abort: AbortSignal },
) {
  const drain = new AbortController()
  const abort = new AbortController()
  const { timeoutMs } = sync
  let error: AppError | null = null
  const timers: (() => void)[] = []
  if (timeoutMs !== null) {
    const stop = () => {
      error = new AppError('RUN_TIMED_OUT', `the run took longer than ${timeoutMs / 1000} s`)
      drain.abort(error)
      timers.push(callAfter(shutdownTimeoutMs, () => abort.abort(error)))
    }
    timers.push(callAfter(timeoutMs, stop))
  }
  return {
    drain: AbortSignal.any([signals.drain, drain.signal]),
    abort: AbortSignal.any([signals.abort, abort.signal]),
    over: () => error,
    end() {
      for (const callOff of timers) callOff()
    },
  }
}

function countsOf({
  items,
  released,
  reconciled,
  bytes,
}: RunSummary): Pick<RunEnd, 'items' | 'bytes'> {
  const { recorded = 0, restarted = 0, failed = 0 } = reconciled ?? {}
  const { kept = 0, source_differs = 0, healed = 0, lost = 0 } = released ?? {}
  const counts = {
    ...items,
    released: released?.released ?? 0,
    kept,
    source_differs,
    healed,
    lost,
    recovered: recorded + restarted,
    failed,
  }
  const seen = Object.entries(counts).filter(([, count]) => count > 0)
  return { items: Object.fromEntries(seen), bytes }
}

function statusOf(
  { items, released, reconciled }: RunSummary,
  { stoppedBy, drained }: { stoppedBy: AppError | null; drained: boolean },
): RunEnd['status'] {
  if (stoppedBy !== null) return 'failed'
  if (drained) return 'cancelled'
  const open = items.held + items.missing + items.waiting + (reconciled?.failed ?? 0)
  const { kept = 0, source_differs = 0, lost = 0 } = released ?? {}
  return open + kept + source_differs + lost > 0 ? 'partial' : 'success'
}
