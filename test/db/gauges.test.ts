import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import { openArchives } from '../../src/db/archives.ts'
import { openBackend } from '../../src/db/backend.ts'
import { readGauges } from '../../src/db/gauges.ts'
import { AppError } from '../../src/errors.ts'
import type { Item } from '../../src/media.ts'
import { intentFor, postgresStore } from '../contract/items-stores.ts'
import { parse } from '../support/config.ts'

const HOUR_S = 3_600

async function withGauges(t: TestContext) {
  const store = await postgresStore(t)
  const backend = await openBackend(store.database, parse().backend)
  /** Its newest media row was approved so long ago. */
  const approvedBefore = (id: number, seconds: number) =>
    store.sql`update media set approved_at = now() - ${seconds} * interval '1 second' where id = ${id}`
  return { store, approvedBefore, gauges: () => readGauges(store.database, backend) }
}

test('an empty archive has nothing to tell', async (t) => {
  const { gauges } = await withGauges(t)
  assert.deepEqual(await gauges(), {
    oldestApprovedSeconds: null,
    leased: 0,
    releaseDue: 0,
    releasePaused: false,
    healPaused: false,
    damaged: 0,
    oldestReadingSeconds: null,
  })
})

test('the backlog is as old as its oldest approval, claimed or not, and what waits for a person is none of it', async (t) => {
  const { store, approvedBefore, gauges } = await withGauges(t)
  const items = store.worker('a')
  const oldest = async () => Math.floor(((await gauges()).oldestApprovedSeconds ?? -1) / HOUR_S)
  for (const id of [1, 2, 3]) {
    await store.addMedia(id)
    await approvedBefore(id, (10 - id) * HOUR_S + 60)
  }
  assert.equal(await oldest(), 9, 'nobody has it in hand')
  const [first, second] = (await items.claim(2, [])) as [Item, Item]
  assert.equal(await oldest(), 9, 'it is in hand')
  assert.equal((await gauges()).leased, 2)
  const error = new AppError('TRANSFER_BROKEN', 'it broke')
  await items.putBack(first, { state: 'held', error })
  assert.equal(await oldest(), 8, 'a person has to look at the first one')
  await items.commitIntent(second, intentFor(second, 'second.mp4'))
  await items.record(second)
  assert.equal(await oldest(), 7, 'the second one is archived')
  await store.sql`update media set object_key = 'another.mp4' where id = 1`
  assert.equal(await oldest(), 9, 'the first one is approved again')
  await store.sql`update media set deleted_at = now()`
  assert.equal((await gauges()).oldestApprovedSeconds, null)
})

test('what is due, damaged and paused is told, and how long ago the oldest reading was', async (t) => {
  const { store, gauges } = await withGauges(t)
  const items = store.worker('a')
  for (const id of [1, 2]) await store.addMedia(id)
  for (const item of await items.claim(2, [])) {
    await items.commitIntent(item, intentFor(item, `${item.id}.mp4`))
    await items.record(item)
  }
  const archives = openArchives(store.database)
  await archives.pauseRelease('by hand')
  await archives.pauseHealing('too much')
  await store.sql`
    update strongroom.items set release_due = now() - interval '1 s', damage = 'flipped',
      verified_at = now() - interval '1 day'
    where media_id = 2`
  const { oldestReadingSeconds, ...rest } = await gauges()
  assert.deepEqual(rest, {
    oldestApprovedSeconds: null,
    leased: 0,
    releaseDue: 1,
    releasePaused: true,
    healPaused: true,
    damaged: 1,
  })
  assert.equal(Math.floor((oldestReadingSeconds ?? 0) / 86_400), 1)
})
