import type { Config } from '../config.ts'
import { openBackend } from '../db/backend.ts'
import { describeIncomplete } from '../db/checks.ts'
import { canReadItems, planApproved } from '../db/plan.ts'
import { toAppError } from '../errors.ts'
import type { Host, Session } from '../host.ts'
import type { Runs } from '../jobs/runs.ts'
import { withCleaning } from '../open/cleaning.ts'
import { lookAtAll, openHooks, openNotifier } from '../open/notify.ts'
import { openRuns } from '../open/runs.ts'
import { type Links, openLinks, openSync, type Program, type SyncService } from '../open.ts'
import { startDigestThread } from '../storage/threaded-digest.ts'
import { type PlanEntry, plan } from '../sync/plan.ts'
import { obstaclesOf } from './obstacles.ts'
import { planSummaryText, planText } from './plan-text.ts'
import { createProgress } from './progress.ts'
import type { RunSummary } from './run.ts'
import { summaryText } from './summary.ts'
import { syncAsRun, syncKind } from './sync-run.ts'
import { partsOfSyncer } from './watched-parts.ts'

/** Exit code of a run that ended well but left items for another run or a person (EX_TEMPFAIL). */
export const EXIT_UNFINISHED = 75

/** `strongroom sync --once`: one whole run and its summary. @returns the exit code */
export async function syncOnce(
  host: Host,
  config: Config,
  run: Pick<Session, 'program' | 'screen' | 'drain' | 'abort'> & { json: boolean },
): Promise<number> {
  const links = openLinks(config, run.program)
  const { database } = links
  const notifier = openNotifier(config, run, database)
  const runs = openRuns(config, run.program, { database, listeners: [notifier] })
  // While the database is asked.
  startDigestThread()
  const opened = await openOrTell(config, { ...run, links, runs })
  const service = withCleaning(config, run, opened)
  const progress = createProgress({ ...run, log: run.program.log })
  const hooks = openHooks(config, run, notifier)
  const parts = { ...run, service, runs, hooks, progress }
  const { summary, stoppedBy } = await syncAsRun(config, parts, 'manual')
  // Where cron runs it nobody watches them.
  await lookAtAll(run, notifier, partsOfSyncer(service))
  if (summary === null) {
    if (stoppedBy !== null) throw stoppedBy
    host.err(
      'strongroom: not begun: another sync is under way, or a hook refused it; "strongroom runs" tells\n',
    )
    return EXIT_UNFINISHED
  }
  host.out(run.json ? `${JSON.stringify(summary)}\n` : `${summaryText(summary)}\n`)
  if (stoppedBy !== null) return stoppedBy.exit
  if (run.drain.aborted) return 1
  return isUnfinished(summary) ? EXIT_UNFINISHED : 0
}

/** @throws what `openSync` does, once it is in the history; of a database that is away nothing can be */
async function openOrTell(
  config: Config,
  run: { program: Program; links: Links; runs: Runs },
): Promise<SyncService> {
  const startedAt = new Date()
  try {
    return await openSync(config, run.program, run.links)
  } catch (thrown) {
    const error = toAppError(thrown)
    if (!error.code.startsWith('DB_'))
      await run.runs.failedToBegin(syncKind(config), 'manual', error, startedAt)
    throw error
  }
}

function isUnfinished({ reconciled, items, released, unfinished }: RunSummary): boolean {
  const { held, missing, waiting } = items
  const unreleased = (released?.kept ?? 0) + (released?.source_differs ?? 0) + (released?.lost ?? 0)
  const others = (unfinished?.leased.items ?? 0) + (unfinished?.later.items ?? 0)
  return held + missing + waiting + (reconciled?.failed ?? 0) + unreleased + others > 0
}

/**
 * `strongroom sync --once --dry-run`: says for every approved row what a live run would do. Needs no rights but reading,
 * and nothing of ours in the database.
 */
export async function syncDryRun(
  host: Host,
  config: Config,
  run: { program: Program; links: Links; json: boolean; abort: AbortSignal },
): Promise<number> {
  const { database, bucket } = run.links
  const backend = await openBackend(database, config.backend)
  const ours = await canReadItems(database)
  const tally: Partial<Record<PlanEntry['would'], number>> = {}
  const entries = plan({
    bucket,
    rows: (page) => planApproved(database, backend, { ...page, ours }),
    layout: config.archive.layout,
    changedAfterApproval: config.sync.changedAfterApproval,
    signal: run.abort,
  })
  for await (const entry of entries) {
    tally[entry.would] = (tally[entry.would] ?? 0) + 1
    host.out(`${run.json ? JSON.stringify(planRecord(entry)) : planText(entry)}\n`)
  }
  const obstacles = await obstaclesOf(config, { program: run.program, database, backend })
  const skipped = await describeIncomplete(database, backend)
  if (run.json) {
    const warnings = obstacles.map(({ code, message, hint }) => ({ code, message, hint }))
    const more = warnings.length > 0 ? { warnings } : {}
    const left = skipped === null ? {} : { skipped }
    host.out(`${JSON.stringify({ dry_run: true, ...tally, ...left, ...more })}\n`)
    return 0
  }
  host.out(`${planSummaryText(tally)}\n`)
  if (skipped !== null) host.out(`warning: ${skipped}\n`)
  for (const { message, hint } of obstacles)
    host.out(`warning: a real run would stop: ${message}; ${hint}\n`)
  return 0
}

function planRecord({ media, would, archivePath, sizeBytes, reason }: PlanEntry) {
  return {
    media_id: media.mediaId,
    would,
    archive_path: archivePath,
    bytes: sizeBytes,
    reason,
  }
}
