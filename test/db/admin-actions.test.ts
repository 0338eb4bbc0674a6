import assert from 'node:assert/strict'
import { test } from 'node:test'
import { closeAction, enterAction, forgetActions, listActions } from '../../src/db/admin-actions.ts'
import { openDatabase } from '../../src/db/connect.ts'
import { migrate } from '../../src/db/migrate.ts'
import { withWatchedDatabase } from '../support/plans.ts'
import { withDatabase } from '../support/postgres.ts'

const DAY_MS = 86_400_000

test('what people did is forgotten when it is older than is kept, a thousand at once, and no sooner', async (t) => {
  const { config, sql } = await withDatabase(t)
  const plain = openDatabase(config)
  t.after(() => plain.close())
  await migrate(plain)
  await sql`
    insert into strongroom.admin_actions (at, action, actor, details)
    select now() - n * interval '1 hour', 'mint', 'api', '{}' from generate_series(5000, 1, -1) n`
  await sql`vacuum analyze strongroom.admin_actions`
  const now = { action: 'sync', actor: 'console', client: null, mediaId: null, details: {} }
  await closeAction(plain, await enterAction(plain, now), { outcome: 'done' })

  const { database, explained } = withWatchedDatabase(t, config)
  assert.equal(await forgetActions(database, 3_500 * 3_600_000), 1_000)
  assert.equal(await forgetActions(database, 3_500 * 3_600_000), 501)
  assert.equal(await forgetActions(database, 3_500 * 3_600_000), 0)
  const readings = (await explained()).flatMap((one) => one.readings)
  assert.ok(
    readings.every(({ how, rows }) => how !== 'Seq Scan' && rows <= 1_000),
    JSON.stringify(readings),
  )
  assert.equal(await forgetActions(plain, 400 * DAY_MS), 0)
  const [newest] = await listActions(plain, { before: null, mediaId: null, limit: 1 })
  assert.deepEqual([newest?.action, newest?.outcome], ['sync', 'done'])
  const [left] = await sql<{ oldest: boolean; count: number }[]>`
    select min(at) > now() - interval '3500 hours' as oldest, count(*)::int as count from strongroom.admin_actions`
  assert.deepEqual({ ...left }, { oldest: true, count: 3_500 })
})
