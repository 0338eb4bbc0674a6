import { type Unfinished, unfinishedItems } from '../db/lookup.ts'
import { type AppError, toAppError } from '../errors.ts'
import type { SyncService } from '../open.ts'
import { type Reconciled, reconcile } from '../sync/reconcile.ts'
import { releaseDue } from '../sync/release.ts'
import type { ReleaseOutcome } from '../sync/report.ts'
import { runSync, type SyncRun } from '../sync/sync.ts'
import type { Progress } from './progress.ts'

/** What one run did; printed at its end. */
export interface RunSummary {
  reconciled: Reconciled | null
  items: SyncRun['reports']
  bytes: number
  released: Record<ReleaseOutcome, number> | null
  /** What another run has in hand, and what is to be tried again; null when this one did not come to its end. */
  unfinished: Unfinished | null
  /** Since when and why no source is deleted; null when releases run or this run did not come to its end. */
  releasesPaused: { at: Date; reason: string | null } | null
  stoppedBy: { code: string; message: string; hint: string | null } | null
  durationMs: number
}

const WATCH_MS = 2_000

/**
 * One whole run: recovery first, then batches until nothing is claimable, then what is due for release. An outage ends it
 * early; nothing is lost by that.
 */
export async function runOnce(
  opened: SyncService,
  { progress, ...signals }: { drain: AbortSignal; abort: AbortSignal; progress: Progress },
): Promise<{ summary: RunSummary; stoppedBy: AppError | null }> {
  const startedAt = performance.now()
  const service = { ...opened, disk: progress.reading(opened.disk) }
  const watch = watchVolume(service)
  const abort = AbortSignal.any([signals.abort, watch.signal])
  const drain = AbortSignal.any([signals.drain, abort])
  const summary: RunSummary = {
    reconciled: null,
    items: { archived: 0, rejected: 0, withdrawn: 0, held: 0, missing: 0, waiting: 0, left: 0 },
    bytes: 0,
    released: null,
    unfinished: null,
    releasesPaused: null,
    stoppedBy: null,
    durationMs: 0,
  }
  let stoppedBy: AppError | null = null
  try {
    summary.reconciled = await reconcile({ ...service, watch: progress.watch }, drain)
    await service.makeRoom?.()
    const run = await runSync({ ...service, watch: progress.watch }, { drain, abort })
    summary.items = run.reports
    summary.bytes = run.bytes
    stoppedBy = run.stoppedBy
    // Without the archive or the database nothing may be released; a bucket that is down cannot be asked.
    if (stoppedBy === null || isOfFetchingOnly(stoppedBy))
      summary.released = await releaseDue(
        { ...service, now: () => performance.now() },
        drain,
        progress.watch.released,
      )
    if (stoppedBy === null) {
      summary.unfinished = await unfinishedItems(service.database)
      summary.releasesPaused = (await service.archives.find())?.releasePaused ?? null
    }
  } catch (error) {
    stoppedBy = toAppError(error)
  } finally {
    watch.stop()
    progress.end()
  }
  // What stopped the steps is the lost volume itself, not their being cancelled.
  stoppedBy = watch.gone() ?? stoppedBy
  if (stoppedBy !== null) {
    const { code, message, hint } = stoppedBy
    summary.stoppedBy = { code, message, hint }
    service.log.error({ error: stoppedBy }, 'the run stopped early')
  }
  summary.durationMs = Math.round(performance.now() - startedAt)
  return { summary, stoppedBy }
}

/** A release neither writes media nor judges them. */
function isOfFetchingOnly({ code }: AppError): boolean {
  return code === 'DISK_FULL' || code === 'DISK_LOW' || code === 'PROBE_MISSING'
}

/** Looks at the archive's marker every two seconds, so that nothing goes on for long on a volume that went away. */
function watchVolume({ volume }: SyncService) {
  const controller = new AbortController()
  let gone: AppError | null = null
  const timer = setInterval(() => {
    volume.verify().catch((error: unknown) => {
      gone ??= toAppError(error)
      controller.abort(gone)
    })
  }, WATCH_MS)
  return {
    signal: controller.signal,
    gone: () => gone,
    stop: () => clearInterval(timer),
  }
}
