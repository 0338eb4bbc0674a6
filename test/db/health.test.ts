import assert from 'node:assert/strict'
import { test } from 'node:test'
import { readHealth } from '../../src/db/health.ts'
import { beginRun, endRun, renewRun } from '../../src/db/runs.ts'
import { intentFor, postgresStore } from '../contract/items-stores.ts'

test('one statement tells the oldest reading, the first damage and how the last runs came out', async (t) => {
  const store = await postgresStore(t)
  const { database, sql } = store
  const health = () => readHealth(database, 'sync')
  const nothing = {
    oldestReadingSeconds: null,
    damaged: null,
    lastWellSeconds: null,
    underWay: null,
  }
  assert.deepEqual(await health(), nothing)

  const items = store.worker('a')
  for (const id of [1, 2]) await store.addMedia(id)
  for (const item of await items.claim(2, [])) {
    await items.commitIntent(item, intentFor(item, `${item.id}.mp4`))
    await items.record(item)
  }
  await sql`update strongroom.items set archived_at = now() - media_id * interval '1 day'`
  await sql`update strongroom.items set damage = 'flipped' where media_id = 1`
  const { oldestReadingSeconds, damaged } = await health()
  assert.equal(Math.floor((oldestReadingSeconds ?? 0) / 86_400), 2)
  assert.equal(damaged?.damage, 'flipped')

  const run = (job: 'sync' | 'scrub', leaseMs = 60_000) => ({
    ...({ job, trigger: 'schedule', mode: 'live', node: 'here', alone: false, leaseMs } as const),
    worker: crypto.randomUUID(),
  })
  const end = (worker: string, status: 'success' | 'partial' | 'failed') =>
    endRun(database, { worker, status, items: {}, bytes: 0, error: null, repeatMs: 0, log: null })
  const [first, failed, other] = [run('sync'), run('sync'), run('scrub')]
  await beginRun(database, first)
  const begun = (await health()).underWay
  assert.notEqual(begun, null)
  await renewRun(database, { ...first, items: { archived: 1 }, bytes: 5 })
  assert.notEqual((await health()).underWay, begun, 'it goes on')
  await end(first.worker, 'partial')
  await sql`update strongroom.runs set ended_at = now() - interval '1 hour'`
  for (const later of [failed, other]) await beginRun(database, later)
  await end(failed.worker, 'failed')
  const { lastWellSeconds, underWay } = await health()
  assert.equal(Math.floor((lastWellSeconds ?? 0) / 3_600), 1, 'a failure is no end of a run')
  assert.equal(underWay, null, 'nor is another job this one')
  await beginRun(database, run('sync', -1))
  assert.equal((await health()).underWay, null, 'whoever ran it is dead')
})
