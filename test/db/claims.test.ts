import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Item } from '../../src/media.ts'
import {
  EPOCH_MS,
  intentFor,
  LEASE_MS,
  type PostgresStore,
  postgresStore,
} from '../contract/items-stores.ts'
import { overtaken } from '../support/locks.ts'

/** So many approved rows, the highest id approved first. */
async function approve({ sql }: PostgresStore, count: number): Promise<void> {
  await sql`
    insert into media (id, object_key, content_type, status, approved_at)
    select n, 'key ' || n, 'video', 'approved', now() - n * interval '1 minute' from generate_series(1, ${count}) n`
}

const mediaIds = (items: readonly Item[]) => items.map(({ media }) => media.mediaId)

function assertDistinct(ids: number[]): void {
  assert.equal(new Set(ids).size, ids.length, `claimed twice: ${ids}`)
}

for (const state of ['claimed', 'rejected']) {
  test(`workers that saw the row that becomes ${state} all get others, and none goes empty-handed`, async (t) => {
    const store = await postgresStore(t)
    await approve(store, 13)
    const claimed = await overtaken(
      store.sql,
      (inside) => inside`
        insert into strongroom.items (media_id, generation, state, object_key, approved_at, lease_owner, lease_until)
        select id, 1, ${state}, object_key, approved_at, 'early', now() + interval '1 minute' from media where id = 13`,
      () => ['a', 'b', 'c', 'd'].map((owner) => store.worker(owner).claim(3, [])),
    )
    for (const items of claimed) assert.ok(items.length > 0, JSON.stringify(claimed.map(mediaIds)))
    assertDistinct([13, ...mediaIds(claimed.flat())])
  })
}

test('workers that see the same dead leases at the same moment share them, each item one epoch on', async (t) => {
  const store = await postgresStore(t)
  await approve(store, 12)
  await store.worker('dead').claim(99, [])
  await store.elapse(LEASE_MS + 1_000)
  const claimed = await overtaken(
    store.sql,
    (inside) => inside`select from strongroom.items where media_id = 12 for update`,
    () => ['a', 'b', 'c'].map((owner) => store.worker(owner).claim(4, [])),
  )
  const items = claimed.flat()
  assert.equal(items.length, 12)
  assertDistinct(mediaIds(items))
  for (const { epoch, attempts } of items) assert.deepEqual([epoch, attempts], [2, 1])
})

test('workers that claim until nothing is left get every row once, each batch oldest approval first', async (t) => {
  const store = await postgresStore(t)
  await approve(store, 300)
  const work = async (limit: number) => {
    const held: Item[] = []
    for (;;) {
      const batch = await store.worker(`batches of ${limit}`).claim(limit, held)
      if (batch.length === 0) return held
      const ids = mediaIds(batch)
      const inOrder = ids.toSorted((a, b) => b - a)
      assert.deepEqual(ids, inOrder)
      held.push(...batch)
    }
  }
  const all = mediaIds((await Promise.all([1, 3, 7, 20].map(work))).flat())
  assert.equal(all.length, 300)
  assertDistinct(all)
})

test('what dead workers left half published is shared without waiting for a row in use', async (t) => {
  const store = await postgresStore(t)
  await approve(store, 9)
  const dead = store.worker('dead')
  for (const item of await dead.claim(9, []))
    await dead.commitIntent(item, intentFor(item, `folder/${item.id}`))
  await store.elapse(LEASE_MS + 1_000)
  const items = await store.sql.begin(async (inside) => {
    await inside`select from strongroom.items where id = 1 for update`
    const claims = ['a', 'b', 'c'].map((owner) => store.worker(owner).claimAbandoned(4, []))
    return (await Promise.all(claims)).flat()
  })
  assertDistinct(mediaIds(items))
  assert.ok(!items.some(({ id }) => id === 1))
  for (const { epoch } of items) assert.equal(epoch, 2)
})

for (const { what, change } of [
  { what: 'was un-approved', change: { status: 'pending' } },
  { what: 'was deleted', change: { deleted: true } },
  { what: 'has no approval time any more', change: { approvedAt: null } },
] as const) {
  test(`an item that waits is not claimed again while its row ${what}`, async (t) => {
    const store = await postgresStore(t)
    await approve(store, 1)
    const items = store.worker('a')
    const [item] = (await items.claim(1, [])) as [Item]
    await items.putBack(item, { state: 'waiting', error: null, delayMs: 0, burn: false })
    await store.changeMedia(1, change)
    assert.deepEqual(await items.claim(9, []), [])
    await store.changeMedia(1, { status: 'approved', deleted: false, approvedAt: EPOCH_MS })
    assert.deepEqual(mediaIds(await items.claim(9, [])), [1])
  })
}

test('a claim passes over what an earlier one has looked at, for half a minute or until nothing else is left', async (t) => {
  const store = await postgresStore(t)
  await approve(store, 7)
  let nowMs = 0
  const items = store.worker('a', null, 'uploads', () => nowMs)
  const held: Item[] = []
  const claim = async (limit: number) => {
    const claimed = await items.claim(limit, held)
    held.push(...claimed)
    return mediaIds(claimed)
  }
  const [first] = await store.worker('dead').claim(1, [])
  assert.equal(first?.media.mediaId, 7)
  assert.deepEqual(await claim(2), [6, 5])
  await store.sql`update strongroom.items set lease_until = now() - interval '1 hour' where media_id = 7`
  nowMs = 29_000
  assert.deepEqual(await claim(1), [4], 'what is behind waits')
  nowMs = 30_000
  assert.deepEqual(await claim(1), [7])
  assert.deepEqual(await claim(2), [3, 2])
  await store.sql`update media set approved_at = approved_at - interval '1 day' where id = 1`
  assert.deepEqual(await claim(2), [1], 'there is nothing else')
  assert.deepEqual(await claim(2), [])
})

test('a row without a key is not claimed, where the backend allows such rows', async (t) => {
  const store = await postgresStore(t)
  await store.sql`alter table media alter object_key drop not null`
  await approve(store, 2)
  await store.sql`update media set object_key = null where id = 2`
  assert.deepEqual(mediaIds(await store.worker('a').claim(9, [])), [1])
})
