import assert from 'node:assert/strict'
import { test } from 'node:test'
import { openDatabase } from '../../src/db/connect.ts'
import { migrate } from '../../src/db/migrate.ts'
import { enterTold, readTold } from '../../src/db/told.ts'
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
  assert.deepEqual([told.get('sync'), told.get('files'), told.size], [sync, files, 2])
  await enterTold(database, 'files', more)
  for (let times = 0; times < 2; times++) await enterTold(database, 'sync', null)
  assert.deepEqual([...(await readTold(database))], [['files', more]])
})
