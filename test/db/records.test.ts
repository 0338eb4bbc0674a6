import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Items } from '../../src/db/items.ts'
import type { Item } from '../../src/media.ts'
import {
  GRACE_MS,
  intentFor,
  LEASE_MS,
  type PostgresStore,
  postgresStore,
} from '../contract/items-stores.ts'
import { overtaken } from '../support/locks.ts'
import type { Scope } from '../support/scopes.ts'

/** Items 1 to `count`, in the hands of worker `a`. */
async function withClaimed(t: Scope, count = 1): Promise<{ store: PostgresStore; held: Item[] }> {
  const store = await postgresStore(t)
  for (let id = 1; id <= count; id++) await store.addMedia(id, { objectKey: `key ${id}` })
  const held = await store.worker('a').claim(count, [])
  assert.equal(held.length, count)
  return { store, held }
}

async function withPublishing(t: Scope): Promise<{ store: PostgresStore; item: Item }> {
  const { store, held } = await withClaimed(t)
  const [item] = held as [Item]
  await store.worker('a').commitIntent(item, intentFor(item, 'folder/1'))
  return { store, item }
}

test('a record that waits for a takeover finds its lease gone, and changes nothing', async (t) => {
  const { store, item } = await withPublishing(t)
  await store.elapse(LEASE_MS + 1_000)
  const before = await store.seen()
  const [outcome] = await overtaken(
    store.sql,
    (inside) => inside`update strongroom.items set epoch = epoch + 1 where id = ${item.id}`,
    () => [store.worker('a').record(item)],
  )
  assert.equal(outcome, 'stale')
  const { items, ...rest } = await store.seen()
  assert.deepEqual(rest, { media: before.media, audit: [] })
  assert.equal(items[0]?.state, 'publishing')
})

for (const { what, early, outcome } of [
  { what: 'takes the approval back', early: { status: 'pending' }, outcome: 'withdrawing' },
  { what: 'names another object', early: { object_key: 'other' }, outcome: 'withdrawing' },
  { what: 'gives it another title', early: { title: 'another' }, outcome: 'archived' },
]) {
  test(`a record that waits while the backend ${what} ends ${outcome}`, async (t) => {
    const { store, item } = await withPublishing(t)
    const answers = await overtaken(
      store.sql,
      (inside) => inside`update media set ${inside(early)} where id = 1`,
      () => [store.worker('a').record(item)],
    )
    assert.deepEqual(answers, [outcome])
    const { items, audit } = await store.seen()
    assert.equal(items[0]?.state, outcome)
    assert.equal(audit.length, outcome === 'archived' ? 1 : 0)
  })
}

const verdict = { reason: 'r', report: 'p', sha256: 'ef'.repeat(32), sizeBytes: 5 }

for (const { what, start, send } of [
  { what: 'a record', start: withPublishing, send: (items, item) => items.record(item) },
  {
    what: 'a rejection',
    start: async (t) => {
      const { store, held } = await withClaimed(t)
      return { store, item: held[0] as Item }
    },
    send: (items, item) => items.reject(item, verdict),
  },
  {
    what: 'a release',
    start: async (t) => {
      const { store, item } = await withPublishing(t)
      await store.worker('a').record(item)
      await store.elapse(GRACE_MS + 1_000)
      const [due] = await store.worker('a').claimDue(1, [])
      return { store, item: due as Item }
    },
    send: (items, item) => items.released(item, 'deleted'),
  },
] satisfies {
  what: string
  start(t: Scope): Promise<{ store: PostgresStore; item: Item }>
  send(items: Items, item: Item): Promise<unknown>
}[]) {
  test(`${what} that is sent again while the first is still at work has the same answer, and one audit row`, async (t) => {
    const { store, item } = await start(t)
    const rows = (await store.seen()).audit.length
    const [first, ...others] = await overtaken<unknown>(
      store.sql,
      (inside) => inside`select from strongroom.items where id = ${item.id} for update`,
      () => [1, 2, 3].map(() => send(store.worker('a'), item)),
    )
    assert.ok(first !== 'stale' && first !== false)
    assert.deepEqual(others, [first, first])
    assert.equal((await store.seen()).audit.length, rows + 1)
  })
}

test('nothing is recorded once the disk is known to be sick, until that is cleared', async (t) => {
  const { store, item } = await withPublishing(t)
  const items = store.worker('a')
  await store.archives.latchSick('fsync failed on another node')
  const before = await store.seen()
  assert.equal(await items.record(item), 'sick')
  assert.deepEqual(await store.seen(), before)
  assert.equal(await items.record({ ...item, epoch: item.epoch + 1 }), 'stale')
  await store.archives.clearSick()
  assert.equal(await items.record(item), 'archived')
  await store.archives.latchSick('again')
  assert.equal(await items.record(item), 'archived', 'as it was, however often it is asked')
})

test('of two items that commit the same path at once, one gets it', async (t) => {
  const { store, held } = await withClaimed(t, 3)
  const [early, ...late] = held as [Item, Item, Item]
  const outcomes = await overtaken(
    store.sql,
    (inside) =>
      inside`update strongroom.items set archive_path = 'folder/x' where id = ${early.id}`,
    () => late.map((item) => store.worker('a').commitIntent(item, intentFor(item, 'folder/x'))),
  )
  assert.deepEqual(outcomes, ['taken', 'taken'])
})

test('a heartbeat that waits for a takeover does not lengthen the new lease', async (t) => {
  const { store, held } = await withClaimed(t, 2)
  const [taken, kept] = held as [Item, Item]
  const [beat] = await overtaken(
    store.sql,
    (inside) => inside`
      update strongroom.items set epoch = epoch + 1, lease_owner = 'b', lease_until = '2026-01-01'
      where id = ${taken.id}`,
    () => [store.worker('a').heartbeat(held)],
  )
  assert.deepEqual([...(beat?.alive ?? [])], [kept.id])
  const [row] =
    await store.sql`select lease_until < now() as over from strongroom.items where id = ${taken.id}`
  assert.ok(row?.over)
})
