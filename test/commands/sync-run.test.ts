import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createProgress } from '../../src/commands/progress.ts'
import { syncAsRun } from '../../src/commands/sync-run.ts'
import { openBackend } from '../../src/db/backend.ts'
import type { Runs } from '../../src/jobs/runs.ts'
import { createLogTail } from '../../src/log-tail.ts'
import { openRuns } from '../../src/open/runs.ts'
import { parse } from '../support/config.ts'
import { approveMedium } from '../support/media-rows.ts'
import type { Scope } from '../support/scopes.ts'
import { never, type Site, type Worker, withWorker } from '../support/worker.ts'

/** What a whole sync as a run needs, on `site`. */
async function withRun(t: Scope, site: Site & Worker) {
  const { parts, database } = site
  const config = parse()
  const { log } = parts
  const backend = await openBackend(database, config.backend)
  const service = { ...parts, database, backend, secondBucket: null }
  const runs = openRuns(config, { log, logTail: createLogTail() }, { database, listeners: [] })
  const progress = createProgress({ screen: null, log })
  t.after(() => progress.end())
  return { config, run: { service, runs, progress, drain: never, abort: never } }
}

test('a run that breaks off after it began is in the history once, as failed and at its end', async (t) => {
  const site = await withWorker(t)
  const { sql, lines } = site
  const { config, run } = await withRun(t, site)
  const hooks = {
    before: () => Promise.reject(new Error('a fault of ours')),
    after: async () => {},
    settled() {},
  }
  const done = await syncAsRun(config, { ...run, hooks }, 'schedule')
  assert.deepEqual([done.summary, done.stoppedBy?.code], [null, 'INTERNAL'])
  const rows = await sql`select job, status, ended_at is not null as ended from strongroom.runs`
  assert.deepEqual([...rows], [{ job: 'sync', status: 'failed', ended: true }])
  assert.ok(lines.some(({ message }) => message === 'the run broke off'))
})

test('a run that had to keep a source is partial, and says so', async (t) => {
  const site = await withWorker(t)
  const { config, run } = await withRun(t, site)
  const { key } = await approveMedium(site)
  site.fault = (request) =>
    request.operation === 'DeleteObject' && request.key === key
      ? { kind: 'answer', status: 403, code: 'ObjectLockedByBucketPolicy' }
      : undefined
  const done = await syncAsRun(config, run, 'schedule')
  assert.equal(done.run?.status, 'partial')
  assert.deepEqual(done.run.items, { archived: 1, kept: 1 })
})

test('a run tells of each source that goes as it goes, and not of those that stay', async (t) => {
  const site = await withWorker(t)
  const { config, run } = await withRun(t, site)
  const [{ key }] = [await approveMedium(site), await approveMedium(site)]
  site.fault = (request) =>
    request.operation === 'DeleteObject' && request.key === key
      ? { kind: 'answer', status: 403, code: 'ObjectLockedByBucketPolicy' }
      : undefined
  const told: unknown[] = []
  const begin: Runs['begin'] = async (...asked) => {
    const open = await run.runs.begin(...asked)
    return open && { ...open, progress: ({ items }) => told.push({ ...items }) }
  }
  await syncAsRun(config, { ...run, runs: { ...run.runs, begin } }, 'schedule')
  assert.deepEqual(told, [{ archived: 1 }, { archived: 2 }, { archived: 2, released: 1 }])
})
