import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { releasesToday } from '../../src/db/lookup.ts'
import { AppError } from '../../src/errors.ts'
import type { DueItem, Item } from '../../src/media.ts'
import { overtaken } from '../support/locks.ts'
import type { TestSql } from '../support/postgres.ts'
import {
  DAY_MS,
  EPOCH_MS,
  GRACE_MS,
  implementations,
  intentFor,
  LEASE_MS,
  postgresStore,
  type Store,
} from './items-stores.ts'

/** Items 1 to `count`, archived and due, the lowest first. */
async function archiveDue(store: Store, count: number): Promise<void> {
  const items = store.worker('archiver')
  for (let id = 1; id <= count; id++) {
    await store.addMedia(id, { approvedAt: EPOCH_MS + id, objectKey: `uploads/${id}` })
    const [item] = (await items.claim(1, [])) as [Item]
    await items.commitIntent(item, intentFor(item, `folder/${id}`))
    assert.equal(await items.record(item), 'archived')
    await store.elapse(1_000)
  }
  await store.elapse(GRACE_MS)
}

const idsOf = (items: Item[]) => items.map(({ media }) => media.mediaId).sort()

for (const { name, open } of implementations) {
  describe(`the daily cap on releases: ${name}`, () => {
    test('counts what was released in the last 24 hours and what is being released', async (t) => {
      const store = await open(t)
      await archiveDue(store, 6)
      const [a, b] = [store.worker('a', 3), store.worker('b', 3)]
      const [first, second] = (await a.claimDue(2, [])) as [DueItem, DueItem]
      assert.deepEqual(idsOf([first, second]), [1, 2])
      const [third] = (await b.claimDue(9, [])) as [DueItem]
      assert.deepEqual(idsOf(await b.claimDue(9, [third])), [], 'all three are in hand')
      for (const item of [first, second]) await a.released(item, 'deleted')
      assert.deepEqual(idsOf(await a.claimDue(9, [])), [])
      await b.released(third, 'already_gone')
      assert.deepEqual(idsOf(await a.claimDue(9, [])), [], 'all three were released today')
      await store.elapse(DAY_MS - 60_000)
      assert.deepEqual(idsOf(await a.claimDue(9, [])), [])
      await store.elapse(61_000)
      assert.deepEqual(idsOf(await a.claimDue(9, [])), [4, 5, 6])
    })

    test('of 0 lets nothing go, not even what a dead worker left', async (t) => {
      const store = await open(t)
      await archiveDue(store, 2)
      assert.deepEqual(idsOf(await store.worker('a').claimDue(1, [])), [1])
      await store.elapse(LEASE_MS + 1_000)
      assert.deepEqual(idsOf(await store.worker('b', 0).claimDue(9, [])), [])
      assert.deepEqual(idsOf(await store.worker('b').claimDue(9, [])), [1, 2])
    })

    test('leaves room for what a dead worker left, before anything new', async (t) => {
      const store = await open(t)
      await archiveDue(store, 4)
      assert.deepEqual(idsOf(await store.worker('a', 2).claimDue(9, [])), [1, 2])
      await store.elapse(LEASE_MS + 1_000)
      assert.deepEqual(idsOf(await store.worker('b', 3).claimDue(2, [])), [1, 2])
      assert.deepEqual(idsOf(await store.worker('c', 3).claimDue(9, [])), [3])
    })

    test('is given its room back by a source that was kept', async (t) => {
      const store = await open(t)
      await archiveDue(store, 2)
      const items = store.worker('a', 1)
      const [item] = (await items.claimDue(9, [])) as [DueItem]
      const error = new AppError('OBJECT_CHANGED', 'it changed')
      await items.keepSource(item, { state: 'source_differs', error, delayMs: 0 })
      assert.deepEqual(idsOf(await items.claimDue(9, [])), [2])
    })
  })
}

describe('workers that claim at the same moment', () => {
  test('cannot fill the same room twice', async (t) => {
    const store = await postgresStore(t)
    await archiveDue(store, 6)
    const { sql } = store
    const claimed = await overtaken(
      sql,
      (inside) => inside`select from strongroom.archives for update`,
      () => ['a', 'b', 'c'].map((owner) => store.worker(owner, 4).claimDue(2, [])),
    )
    assert.equal(claimed.flat().length, 4)
    assert.equal(new Set(idsOf(claimed.flat())).size, 4)
  })

  test('take over what was changed after the claim began', async (t) => {
    const store = await postgresStore(t)
    const { sql } = store
    await archiveDue(store, 6)
    const left = await store.worker('dead').claimDue(6, [])
    assert.equal(left.length, 6)
    await store.elapse(LEASE_MS + 1_000)
    // Among millions of items each that was chosen is looked up by itself, while the next are not chosen yet.
    await withoutPlans(sql, ['hashjoin', 'mergejoin', 'seqscan', 'material'])
    const [claimed = []] = await overtaken(
      sql,
      async (inside) => {
        await inside`select from strongroom.archives for update`
        await inside`update strongroom.items set updated_at = clock_timestamp()`
      },
      () => [store.worker('heir', 9).claimDue(6, [])],
    )
    assert.deepEqual(idsOf(claimed), idsOf(left))
  })

  test('release exactly as many as the cap together', async (t) => {
    const store = await postgresStore(t)
    await archiveDue(store, 14)
    const releaseAll = async (owner: string) => {
      const items = store.worker(owner, 11)
      for (;;) {
        const due = await items.claimDue(2, [])
        if (due.length === 0) return
        for (const item of due) assert.ok(await items.released(item, 'deleted'))
      }
    }
    await Promise.all(['a', 'b', 'c', 'd'].map(releaseAll))
    assert.deepEqual(await releasesToday(store.database), { released: 11, releasing: 0 })
  })
})

/** For the product's connections, which are made anew. */
async function withoutPlans(sql: TestSql, plans: readonly string[]): Promise<void> {
  const [{ name } = { name: '' }] = await sql<{ name: string }[]>`select current_database() as name`
  for (const plan of plans)
    await sql`alter database ${sql(name)} set ${sql(`enable_${plan}`)} = off`
  await sql`
    select pg_terminate_backend(pid, 5000) from pg_stat_activity
    where datname = ${name} and application_name = 'strongroom'`
}
