import assert from 'node:assert/strict'
import { test } from 'node:test'
import {
  countByState,
  findArchived,
  listMedia,
  releasesToday,
  unfinishedItems,
} from '../../src/db/lookup.ts'
import { AppError } from '../../src/errors.ts'
import type { Item } from '../../src/media.ts'
import { GRACE_MS, intentFor, LEASE_MS, postgresStore } from '../contract/items-stores.ts'

test('the newest copy that can be served is found, under its owner', async (t) => {
  const store = await postgresStore(t)
  const items = store.worker('a')
  await store.addMedia(1)
  assert.equal(await findArchived(store.database, 1), null)
  for (const [path, objectKey] of [
    ['first', 'one.mp4'],
    ['second', 'two.mp4'],
    [null, 'three.mp4'],
  ] as const) {
    await store.changeMedia(1, { status: 'approved', objectKey })
    const [item] = (await items.claim(1, [])) as [Item]
    if (path === null) break
    await items.commitIntent(item, intentFor(item, path))
    await items.record(item)
  }
  assert.deepEqual(await findArchived(store.database, 1), {
    archivePath: 'second',
    userId: 7,
    moved: false,
    damage: null,
  })
  // A backend that knows no owner may say so with a 0.
  for (const unknown of [null, 0, -1]) {
    await store.sql`update strongroom.items set user_id = ${unknown}`
    assert.equal((await findArchived(store.database, 1))?.userId, null, `${unknown}`)
  }
  assert.equal(await findArchived(store.database, 2), null)
  assert.deepEqual(await countByState(store.database), { archived: 2, claimed: 1 })

  const [listed, ...others] = await listMedia(store.database)
  assert.deepEqual(others, [])
  assert.deepEqual(listed, {
    mediaId: 1,
    objectKey: 'three.mp4',
    state: 'claimed',
    archivePath: null,
    sizeBytes: null,
    sha256: null,
    reason: null,
  })
})

test('what is listed of an archived row is what was archived', async (t) => {
  const store = await postgresStore(t)
  const items = store.worker('a')
  await store.addMedia(1)
  const [item] = (await items.claim(1, [])) as [Item]
  await items.commitIntent(item, intentFor(item, 'folder/clip.mp4'))
  await items.record(item)
  const [listed] = await listMedia(store.database)
  assert.deepEqual(
    [listed?.archivePath, listed?.sizeBytes, listed?.sha256],
    ['folder/clip.mp4', 5, 'ab'.repeat(32)],
  )
  await store.elapse(GRACE_MS + 1_000)
  await items.claimDue(1, [])
  assert.deepEqual(await releasesToday(store.database), { released: 0, releasing: 1 })
})

test('items under a lease are counted until it is over or given back', async (t) => {
  const store = await postgresStore(t)
  const items = store.worker('a')
  const leased = async () => (await unfinishedItems(store.database)).leased
  assert.deepEqual(await leased(), { items: 0, longestMs: 0 })
  for (const id of [1, 2, 3]) await store.addMedia(id)
  const [item] = (await items.claim(3, [])) as [Item]
  await items.commitIntent(item, intentFor(item, 'folder/clip.mp4'))
  const all = await leased()
  assert.equal(all.items, 3)
  assert.ok(all.longestMs > 0 && all.longestMs <= LEASE_MS, `${all.longestMs}`)
  await items.record(item)
  assert.equal((await leased()).items, 2)
  await store.elapse(LEASE_MS + 1_000)
  assert.deepEqual(await leased(), { items: 0, longestMs: 0 })
})

test('items that wait for their next try are counted until it is due', async (t) => {
  const store = await postgresStore(t)
  const items = store.worker('a')
  const later = async () => (await unfinishedItems(store.database)).later
  for (const id of [1, 2, 3]) await store.addMedia(id)
  const [first, second, third] = (await items.claim(3, [])) as [Item, Item, Item]
  const error = new AppError('OBJECT_MISSING', 'it is not there')
  await items.putBack(first, { state: 'missing', error, delayMs: 3_600_000, burn: false })
  await items.putBack(second, { state: 'waiting', error, delayMs: 60_000, burn: true })
  await items.putBack(third, { state: 'waiting', error: null, delayMs: 0, burn: false })
  const waiting = await later()
  assert.equal(waiting.items, 2)
  assert.ok(waiting.soonestMs > 0 && waiting.soonestMs <= 60_000, `${waiting.soonestMs}`)
  await store.elapse(61_000)
  assert.equal((await later()).items, 1)
  await store.elapse(3_600_000)
  assert.deepEqual(await later(), { items: 0, soonestMs: 0 })
})
