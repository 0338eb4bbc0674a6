import assert from 'node:assert/strict'
import { test } from 'node:test'
import { openBackend } from '../../src/db/backend.ts'
import { canReadItems, type PlannedRow, planApproved } from '../../src/db/plan.ts'
import { postgresStore } from '../contract/items-stores.ts'
import { parse } from '../support/config.ts'

test('every approved row is on exactly one page, in the order of claims', async (t) => {
  const { sql, database, worker } = await postgresStore(t)
  // Approval times a microsecond apart, and equal ones: neither fits in a Date.
  await sql`insert into media (id, object_key, status, approved_at)
    select n, 'key ' || n, case when n % 5 = 0 then 'pending' else 'approved' end,
      '2026-01-15 00:00:00.0001+00'::timestamptz - n / 3 * interval '1 microsecond'
    from generate_series(1, 20) n`
  const backend = await openBackend(database, parse().backend)
  const listed: PlannedRow[] = []
  for (;;) {
    const after = listed.at(-1) ?? null
    const page = await planApproved(database, backend, { after, limit: 3, ours: true })
    if (page.length === 0) break
    listed.push(...page)
  }
  const claimed = await worker('a').claim(99, [])
  assert.equal(listed.length, 16)
  assert.deepEqual(
    listed.map(({ media }) => media.mediaId),
    claimed.map(({ media }) => media.mediaId),
  )
})

test('the state of a row is that of the item for exactly these facts, if our schema is there', async (t) => {
  const { database, worker, addMedia, changeMedia } = await postgresStore(t)
  await addMedia(1)
  await addMedia(2)
  await worker('a').claim(1, [])
  const backend = await openBackend(database, parse().backend)
  const states = async (ours: boolean) => {
    const rows = await planApproved(database, backend, { after: null, limit: 9, ours })
    return rows.map(({ state }) => state)
  }
  assert.equal(await canReadItems(database), true)
  assert.deepEqual(await states(true), ['claimed', null])
  assert.deepEqual(await states(false), [null, null])
  await changeMedia(1, { objectKey: 'another' })
  assert.deepEqual(await states(true), [null, null])
})
