import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createProgress } from '../../src/commands/progress.ts'
import { syncAsRun } from '../../src/commands/sync-run.ts'
import { openBackend } from '../../src/db/backend.ts'
import { createLogTail } from '../../src/log-tail.ts'
import { openRuns } from '../../src/open-runs.ts'
import { parse } from '../support/config.ts'
import { never, withWorker } from '../support/worker.ts'

test('a run that breaks off after it began is in the history once, as failed and at its end', async (t) => {
  const { parts, database, sql, lines } = await withWorker(t)
  const config = parse()
  const { log } = parts
  const backend = await openBackend(database, config.backend)
  const service = { ...parts, database, backend, secondBucket: null }
  const runs = openRuns(config, { log, logTail: createLogTail() }, { database, listeners: [] })
  const progress = createProgress({ screen: null, log })
  const hooks = {
    before: () => Promise.reject(new Error('a fault of ours')),
    after: async () => {},
    settled() {},
  }
  const run = { service, runs, hooks, progress, drain: never, abort: never }
  const done = await syncAsRun(config, run, 'schedule')
  progress.end()
  assert.deepEqual([done.summary, done.stoppedBy?.code], [null, 'INTERNAL'])
  const rows = await sql`select job, status, ended_at is not null as ended from strongroom.runs`
  assert.deepEqual([...rows], [{ job: 'sync', status: 'failed', ended: true }])
  assert.ok(lines.some(({ message }) => message === 'the run broke off'))
})
