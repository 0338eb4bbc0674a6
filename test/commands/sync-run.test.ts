import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createProgress } from '../../src/commands/progress.ts'
import { syncAsRun } from '../../src/commands/sync-run.ts'
import { openBackend } from '../../src/db/backend.ts'
import { AppError } from '../../src/errors.ts'
import type { Runs } from '../../src/jobs/runs.ts'
import { createLogTail } from '../../src/log-tail.ts'
import { openRuns } from '../../src/open/runs.ts'
import type { ItemReport } from '../../src/sync/report.ts'
import { parse } from '../support/config.ts'
import { approveMedium } from '../support/media-rows.ts'
import type { Scope } from '../support/scopes.ts'
import {
  expireLeases,
  never,
  openWorker,
  type Site,
  type Worker,
  withSite,
  withWorker,
} from '../support/worker.ts'

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

test('hooks and history are told of a file that a crash had left to be recorded, too', async (t) => {
  const site = await withSite(t)
  const { mediaId } = await approveMedium(site)
  const crashed = await openWorker(t, site, {
    reached: (point) => {
      if (point === 'published') throw new AppError('LEASE_LOST', 'the power is cut here')
    },
  })
  await crashed.sync()
  await expireLeases(site)
  const { config, run } = await withRun(t, Object.assign(site, await openWorker(t, site)))
  const told: ItemReport[] = []
  const hooks = {
    before: async () => null,
    after: async () => {},
    settled: (report: ItemReport) => void told.push(report),
  }
  const done = await syncAsRun(config, { ...run, hooks }, 'schedule')
  assert.equal(done.summary?.reconciled?.recorded, 1)
  const [row] = await site.sql`select archive_path, size_bytes::int, sha256 from strongroom.items`
  assert.deepEqual(
    told.map(({ item, outcome, archivePath, sizeBytes, sha256 }) => ({
      media: item.media.mediaId,
      outcome,
      row: { archive_path: archivePath, size_bytes: sizeBytes, sha256 },
    })),
    [{ media: mediaId, outcome: 'archived', row }],
  )
  const events = await site.sql`select media_id::int, outcome from strongroom.run_events`
  assert.deepEqual([...events], [{ media_id: mediaId, outcome: 'archived' }])
})
