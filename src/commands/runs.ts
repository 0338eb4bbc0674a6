import type { Config } from '../config.ts'
import type { Database } from '../db/connect.ts'
import { eventsOf } from '../db/run-events.ts'
import { findRun, listRuns } from '../db/runs.ts'
import { AppError } from '../errors.ts'
import type { Host } from '../host.ts'
import { openMigrated, type Program } from '../open.ts'
import type { Job, Run, RunEvent } from '../runs.ts'
import { bytesText, clockText } from '../units.ts'
import { visible } from '../visible.ts'
import { pauseUnlessStopped } from '../waiting.ts'

const FOLLOW_MS = 1_000
/** Of one run that is shown; the rest is asked for with `--json`. */
const SHOWN_EVENTS = 200
const PAGE = 1_000

/** `strongroom runs`: what was done lately, the newest last, as a log is read. */
export async function runsCommand(
  host: Host,
  config: Config,
  order: {
    program: Program
    job: Job | null
    limit: number
    json: boolean
    /** Goes on telling of runs that begin and end. */
    follow: boolean
    drain: AbortSignal
  },
): Promise<void> {
  const database = await openMigrated(config, order.program)
  const { job, limit, json, follow, drain } = order
  const say = (run: Run) => host.out(`${json ? JSON.stringify(run) : runLine(run)}\n`)
  const runs = (await listRuns(database, { job, before: null, limit })).toReversed()
  for (const run of runs) say(run)
  if (runs.length === 0 && !json && !follow)
    host.out('no runs yet: "strongroom start" does them by its schedule, "sync --once" does one\n')
  const told = new Map(runs.map((run) => [run.id, stampOf(run)]))
  while (follow && !drain.aborted) {
    await pauseUnlessStopped(FOLLOW_MS, drain)
    if (drain.aborted) return
    const now = (await listRuns(database, { job, before: null, limit })).toReversed()
    for (const run of now) if (told.get(run.id) !== stampOf(run)) say(run)
    told.clear()
    for (const run of now) told.set(run.id, stampOf(run))
  }
}

/** A run is told of again when this has changed. */
function stampOf({ status, attempts }: Run): string {
  return `${status} ${attempts}`
}

/** `strongroom runs show`: one run, what became of each of its items, and what was logged meanwhile. */
export async function showRunCommand(
  host: Host,
  config: Config,
  { program, id, json }: { program: Program; id: number; json: boolean },
): Promise<void> {
  const database = await openMigrated(config, program)
  const run = await findRun(database, id)
  if (run === null)
    throw new AppError('NOT_FOUND', `there is no run ${id}`, {
      hint: '"strongroom runs" lists them; RUNS_KEPT says how long they are kept',
    })
  if (json) {
    const { log, ...facts } = run
    host.out(`${JSON.stringify({ ...facts, log: log?.split('\n') ?? [] })}\n`)
    for await (const event of allEvents(database, id)) host.out(`${JSON.stringify(event)}\n`)
    return
  }
  const { log } = run
  host.out(`${runLine(run)}\n`)
  if (run.error?.hint) host.out(`  ${run.error.hint}\n`)
  const events = await eventsOf(database, id, { after: 0, limit: SHOWN_EVENTS + 1 })
  for (const event of events.slice(0, SHOWN_EVENTS)) host.out(`  ${eventLine(event)}\n`)
  if (events.length > SHOWN_EVENTS) host.out('  and more: --json lists them all\n')
  if (log !== null) host.out(`\nlogged meanwhile:\n${log}\n`)
}

async function* allEvents(database: Database, run: number): AsyncGenerator<RunEvent> {
  for (let after = 0; ; ) {
    const page = await eventsOf(database, run, { after, limit: PAGE })
    yield* page
    const last = page.at(-1)
    if (last === undefined) return
    after = last.id
  }
}

/** `12  2026-03-05 04:30:00  sync  partial  0:07  3 archived, 1 held, 1.2 GiB` */
export function runLine(run: Run): string {
  const { id, startedAt, endedAt, job, mode, trigger, status, node, attempts, error } = run
  const started = startedAt.toISOString().slice(0, 19).replace('T', ' ')
  const took = endedAt === null ? '' : clockText((endedAt.getTime() - startedAt.getTime()) / 1000)
  const told = [
    ...Object.entries(run.items).map(([outcome, count]) => `${count} ${outcome.replace('_', ' ')}`),
    ...(run.bytes > 0 ? [bytesText(run.bytes)] : []),
    ...(mode === 'live' ? [] : [mode]),
    ...(attempts > 1 ? [`tried ${attempts} times`] : []),
    ...(error === null ? [] : [error.message]),
  ].join(', ')
  const head = `${String(id).padStart(6)}  ${started}Z  ${job.padEnd(9)} ${status.padEnd(9)}`
  return visible(
    `${head} ${took.padStart(8)}  ${trigger} on ${node}${told === '' ? '' : `: ${told}`}`,
  )
}

function eventLine({ mediaId, outcome, reason, archivePath, sizeBytes }: RunEvent): string {
  const of = mediaId === null ? '' : `media ${mediaId} `
  const size = sizeBytes === null ? '' : ` (${bytesText(sizeBytes)})`
  const where = archivePath === null ? '' : `, ${archivePath}${size}`
  return visible(`${of}${outcome}${where}${reason === null ? '' : `: ${reason}`}`)
}
