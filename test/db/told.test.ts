import assert from 'node:assert/strict'
import { test } from 'node:test'
import { openDatabase } from '../../src/db/connect.ts'
import { migrate } from '../../src/db/migrate.ts'
import { beginRun, endRun, type RunStart } from '../../src/db/runs.ts'
import { enterTold, readTold } from '../../src/db/told.ts'
import type { RunEnd } from '../../src/runs.ts'
import { withDatabase } from '../support/postgres.ts'

test('what people were told is kept by subject until they know that it works again', async (t) => {
  const { config } = await withDatabase(t)
  const database = openDatabase(config)
  t.after(() => database.close())
  await migrate(database)
  const sync = { since: new Date('2026-03-05T04:30:00.123Z'), title: 'it failed', cases: [] }
  const files = { ...sync, title: 'damaged', cases: ['it\'s "1".mp4', 'a,{b}\\.mp4'] }
  const more = { since: new Date('2026-03-06T04:30:00Z'), title: 'damaged', cases: ['c'] }
  assert.deepEqual([...(await readTold(database))], [])
  await enterTold(database, 'sync', sync)
  await enterTold(database, 'files', files)
  const told = await readTold(database)
  const still = (row: object) => ({ ...row, isOver: false })
  assert.deepEqual([told.get('sync'), told.get('files'), told.size], [still(sync), still(files), 2])
  await enterTold(database, 'files', more)
  for (let times = 0; times < 2; times++) await enterTold(database, 'sync', null)
  assert.deepEqual([...(await readTold(database))], [['files', still(more)]])
})

test('what works since people were told otherwise is over, whoever made it work', async (t) => {
  const { config } = await withDatabase(t)
  const database = openDatabase(config)
  t.after(() => database.close())
  await migrate(database)
  const isOver = async () => (await readTold(database)).get('sync')?.isOver
  const run = async (status: RunEnd['status'], more: Partial<RunStart> = {}) => {
    const worker = crypto.randomUUID()
    await beginRun(database, {
      ...{ job: 'sync', trigger: 'manual', mode: 'live', alone: false },
      ...{ leaseMs: 60_000, node: 'n1', worker, ...more },
    })
    const end = { status, items: {}, bytes: 0, error: null, repeatMs: 60_000, log: null }
    assert.ok(await endRun(database, { ...end, worker }))
  }
  const failure = { since: new Date(), title: 'it failed', cases: [] }
  await run('success')
  await enterTold(database, 'sync', failure)
  assert.equal(await isOver(), false, 'it worked before')
  await run('failed')
  await run('success', { job: 'scrub' })
  await run('success', { mode: 'dry-run' })
  assert.equal(await isOver(), false)
  await run('partial')
  assert.equal(await isOver(), true)
  await enterTold(database, 'sync', failure)
  assert.equal(await isOver(), false, 'told anew')
})
