import assert from 'node:assert/strict'
import { test } from 'node:test'
import { openDatabase } from '../../src/db/connect.ts'
import { migrate } from '../../src/db/migrate.ts'
import { eventsOf } from '../../src/db/run-events.ts'
import {
  closeInterrupted,
  findRun,
  forgetRuns,
  isAsked,
  listRuns,
  takePending,
} from '../../src/db/runs.ts'
import { withWatchedDatabase } from '../support/plans.ts'
import { withDatabase } from '../support/postgres.ts'

const RUNS = 60_000
/** Ten years of a run each minute would be more; so many are kept for a busy installation's RUNS_KEPT. */
const DAY_MS = 86_400_000

test(`of ${RUNS} runs and their events each statement reads only what it tells`, async (t) => {
  const { config, sql } = await withDatabase(t)
  const plain = openDatabase(config)
  t.after(() => plain.close())
  await migrate(plain)
  await sql`
    insert into strongroom.runs (job, trigger, mode, status, node, started_at, ended_at)
    select case when n % 50 = 0 then 'scrub' else 'sync' end, 'schedule', 'live',
      case when n % 7 = 0 then 'skipped' when n % 11 = 0 then 'failed' else 'success' end, 'n1',
      now() - n * interval '1 minute', now() - n * interval '1 minute'
    from generate_series(${RUNS}::int, 1, -1) n`
  await sql`
    insert into strongroom.run_events (run_id, outcome)
    select n, 'archived' from generate_series(1, ${RUNS}::int) n, generate_series(1, 3)`
  await sql`
    insert into strongroom.runs (job, trigger, mode, status, node, worker, lease_until)
    values ('sync', 'schedule', 'live', 'running', 'n2', gen_random_uuid(), now() - interval '1 hour')`
  await sql`vacuum analyze strongroom.runs`
  await sql`vacuum analyze strongroom.run_events`
  const { database, explained } = withWatchedDatabase(t, config)
  const worker = crypto.randomUUID()
  const claim = { job: 'sync', node: 'n1', worker, alone: true, leaseMs: 1_000 } as const
  const why = { code: 'RUN_INTERRUPTED', message: 'it ended', hint: null } as const

  const statements: [name: string, most: number, run: () => Promise<unknown>][] = [
    ['listRuns', 20, () => listRuns(database, { job: null, before: 3_000, limit: 20 })],
    ['listRuns of a job', 20, () => listRuns(database, { job: 'scrub', before: null, limit: 20 })],
    ['findRun', 1, () => findRun(database, 77)],
    ['isAsked', 1, () => isAsked(database, 'sync')],
    ['takePending', 2, () => takePending(database, claim)],
    ['closeInterrupted', 2, () => closeInterrupted(database, why)],
    ['eventsOf', 3, () => eventsOf(database, 77, { after: 0, limit: 100 })],
    // What it deletes is looked up, and looked up again with the events.
    ['forgetRuns', 40, () => forgetRuns(database, RUNS * 60_000 - 10 * 60_000)],
    ['forgetRuns that finds nothing', 2, () => forgetRuns(database, 400 * DAY_MS)],
  ]
  for (const [name, most, run] of statements)
    await t.test(name, async () => {
      for (let n = 0; n < 7; n++) {
        await run()
        const told = await explained()
        const readings = told.flatMap((one) => one.readings)
        const sentence = `${JSON.stringify(readings)}\n${told[0]?.text}`
        assert.ok(!readings.some(({ how }) => how === 'Seq Scan'), sentence)
        assert.ok(readings.reduce((sum, { rows }) => sum + rows, 0) <= most, sentence)
      }
    })
})
