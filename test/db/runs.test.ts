import assert from 'node:assert/strict'
import { test } from 'node:test'
import { openDatabase } from '../../src/db/connect.ts'
import { migrate } from '../../src/db/migrate.ts'
import { addEvents, eventsOf } from '../../src/db/run-events.ts'
import {
  beginRun,
  closeInterrupted,
  endRun,
  enterPast,
  findRun,
  forgetRuns,
  isAsked,
  listRuns,
  type RunStart,
  renewRun,
  requestRun,
  takePending,
} from '../../src/db/runs.ts'
import type { RunEnd } from '../../src/runs.ts'
import { withDatabase } from '../support/postgres.ts'
import type { Scope } from '../support/scopes.ts'

async function withHistory(t: Scope) {
  const { config, sql } = await withDatabase(t)
  const database = openDatabase(config)
  t.after(() => database.close())
  await migrate(database)
  return { database, sql }
}

function start(more: Partial<RunStart> = {}): RunStart {
  const worker = crypto.randomUUID()
  const node = 'n1'
  return {
    job: 'sync',
    trigger: 'schedule',
    mode: 'live',
    alone: false,
    leaseMs: 60_000,
    node,
    worker,
    ...more,
  }
}

const well: RunEnd = {
  status: 'success',
  items: { archived: 3 },
  bytes: 5_000_000_000,
  error: null,
}
const away = { code: 'BUCKET_UNAVAILABLE', message: 'the bucket is away', hint: 'wait' } as const
const badly: RunEnd = { status: 'failed', items: { waiting: 1 }, bytes: 0, error: away }
const ending = { repeatMs: 60_000, log: null }

test('a run is entered once, however often its statement is sent, and tells how it came out', async (t) => {
  const { database } = await withHistory(t)
  const first = start()
  const run = await beginRun(database, first)
  assert.deepEqual(await beginRun(database, first), run)
  assert.equal(run?.status, 'running')
  const mid = { worker: first.worker, leaseMs: 60_000, items: { archived: 1 }, bytes: 7 }
  assert.equal(await renewRun(database, mid), true)
  assert.deepEqual((await listRuns(database, { job: null, before: null, limit: 5 }))[0]?.items, {
    archived: 1,
  })
  const ended = await endRun(database, { ...ending, ...well, worker: first.worker, log: 'a line' })
  assert.deepEqual(
    { ...ended, startedAt: 0, endedAt: 0 },
    { ...run, ...well, startedAt: 0, endedAt: 0 },
  )
  assert.ok(ended?.endedAt && run && ended.endedAt >= run.startedAt)
  assert.equal((await findRun(database, run?.id ?? 0))?.log, 'a line')
  assert.equal(await renewRun(database, mid), false, 'what is over does not go on')
  assert.equal(await findRun(database, 999), null)
})

test('of a job that must be alone one run goes on at a time; others share', async (t) => {
  const { database } = await withHistory(t)
  const tries = Array.from({ length: 8 }, () => beginRun(database, start({ alone: true })))
  const begun = (await Promise.all(tries)).filter((run) => run !== null)
  assert.equal(begun.length, 1)
  assert.notEqual(await beginRun(database, start()), null, 'who does not ask to be alone may share')
  assert.notEqual(await beginRun(database, start({ job: 'clean', alone: true })), null)
})

test('what a crash cut off is closed once its lease is over, and makes room', async (t) => {
  const { database } = await withHistory(t)
  const dead = start({ alone: true, leaseMs: 0 })
  const alive = start({ job: 'clean' })
  const run = await beginRun(database, dead)
  await beginRun(database, alive)
  assert.equal(await beginRun(database, start({ alone: true })), null)
  const why = { code: 'RUN_INTERRUPTED', message: 'it ended', hint: null } as const
  const closed = await closeInterrupted(database, why)
  assert.deepEqual(
    closed.map(({ id, status, error }) => ({ id, status, error })),
    [{ id: run?.id, status: 'failed', error: why }],
  )
  assert.deepEqual(await closeInterrupted(database, why), [])
  assert.notEqual(await beginRun(database, start({ alone: true })), null)
  const late = await endRun(database, { ...ending, ...well, worker: dead.worker })
  assert.equal(late?.status, 'success', 'one that was only paused says how it really ended')
})

test('an outage of many tries is one run with the number of them', async (t) => {
  const { database } = await withHistory(t)
  const tryOnce = async (end: RunEnd, more: Partial<RunStart> = {}) => {
    const one = start(more)
    await beginRun(database, one)
    return endRun(database, { ...ending, ...end, worker: one.worker })
  }
  await tryOnce(well)
  const first = await tryOnce(badly)
  await tryOnce(badly)
  const third = await tryOnce(badly)
  assert.deepEqual([third?.id, third?.attempts], [first?.id, 3])
  const other = { ...badly, error: { ...away, code: 'DISK_FULL' as const } }
  assert.equal((await tryOnce(other))?.attempts, 1, 'another reason is another run')
  assert.equal((await tryOnce(badly, { node: 'n2' }))?.attempts, 1)
  assert.equal((await tryOnce({ ...badly, items: { archived: 1 } }, { node: 'n2' }))?.attempts, 1)
  const statuses = (await listRuns(database, { job: 'sync', before: null, limit: 9 })).map(
    ({ status }) => status,
  )
  assert.deepEqual(statuses, ['failed', 'failed', 'failed', 'failed', 'success'])
})

test('a run that is asked for is taken by one node, however often it is asked for', async (t) => {
  const { database } = await withHistory(t)
  const order = { job: 'sync', mode: 'live', node: 'admin' } as const
  assert.equal(await isAsked(database, 'sync'), false)
  const asked = await requestRun(database, order)
  assert.equal((await requestRun(database, order)).id, asked.id)
  assert.equal(await isAsked(database, 'sync'), true)
  const takers = Array.from({ length: 4 }, (_, n) =>
    takePending(database, start({ node: `n${n}` })),
  )
  const taken = (await Promise.all(takers)).filter((run) => run !== null)
  assert.deepEqual(
    taken.map(({ id, status, trigger }) => ({ id, status, trigger })),
    [{ id: asked.id, status: 'running', trigger: 'api' }],
  )
})

test('events are kept in order, and go with their run when it is old', async (t) => {
  const { database, sql } = await withHistory(t)
  const one = start()
  const run = await beginRun(database, one)
  const id = run?.id ?? 0
  const event = (mediaId: number) => ({
    at: new Date('2026-05-01T00:00:00Z'),
    itemId: mediaId + 100,
    mediaId,
    outcome: 'held',
    reason: "a 'reason' \u0000 with \u2028 everything",
    archivePath: null,
    sizeBytes: null,
  })
  await addEvents(database, id, [1, 2, 3].map(event))
  await addEvents(database, 12345, [event(4)])
  const page = await eventsOf(database, id, { after: 0, limit: 2 })
  assert.deepEqual(
    page.map(({ mediaId }) => mediaId),
    [1, 2],
  )
  const rest = await eventsOf(database, id, { after: page[1]?.id ?? 0, limit: 2 })
  assert.deepEqual(
    rest.map(({ mediaId, reason }) => [mediaId, reason]),
    [[3, "a 'reason'  with \u2028 everything"]],
  )
  await sql`update strongroom.runs set started_at = now() - interval '100 days'`
  assert.equal(await forgetRuns(database, 90 * 86_400_000), 0, 'one that goes on is kept')
  await endRun(database, { ...ending, ...well, worker: one.worker })
  assert.ok(run)
  const startedAt = new Date('2020-01-01T00:00:00Z')
  await enterPast(database, { ...run, status: 'skipped', startedAt, endedAt: startedAt })
  assert.equal(await forgetRuns(database, 90 * 86_400_000), 2)
  assert.deepEqual([...(await sql`select * from strongroom.run_events`)], [])
})
