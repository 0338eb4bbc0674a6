import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import type { Item } from '../../src/media.ts'
import {
  EPOCH_MS,
  GRACE_MS,
  intentFor,
  type MediaChange,
  postgresStore,
  type Store,
  simulatedStore,
} from './items-stores.ts'

/** Item 1, archived and due. */
async function archiveDue(store: Store): Promise<void> {
  await store.addMedia(1)
  const items = store.worker('archiver')
  const [item] = (await items.claim(1, [])) as [Item]
  await items.commitIntent(item, intentFor(item, 'folder/clip.mp4'))
  assert.equal(await items.record(item), 'archived')
  await store.elapse(GRACE_MS + 1_000)
}

const unsettled: { what: string; change: MediaChange }[] = [
  { what: 'approved as it was', change: { status: 'approved' } },
  { what: 'approved anew', change: { status: 'approved', approvedAt: EPOCH_MS + 60_000 } },
  { what: 'pending', change: { status: 'pending' } },
]

for (const [what, open] of [
  ['the SQL on PostgreSQL', postgresStore],
  ['the simulated database', simulatedStore],
] as const) {
  describe(`a claim for release: ${what}`, () => {
    for (const { what, change } of unsettled) {
      test(`leaves a source whose own row is ${what}`, async (t) => {
        const store = await open(t)
        await archiveDue(store)
        await store.changeMedia(1, change)
        assert.deepEqual(await store.worker('a').claimDue(9, []), [])
        await store.changeMedia(1, { status: 'archived' })
        assert.equal((await store.worker('a').claimDue(9, [])).length, 1)
      })
    }

    test('takes a source whose own row now names another object', async (t) => {
      const store = await open(t)
      await archiveDue(store)
      await store.changeMedia(1, { status: 'approved', objectKey: 'another' })
      assert.equal((await store.worker('a').claimDue(9, [])).length, 1)
    })

    test('takes a source whose own row is deleted', async (t) => {
      const store = await open(t)
      await archiveDue(store)
      await store.changeMedia(1, { status: 'pending', deleted: true })
      assert.equal((await store.worker('a').claimDue(9, [])).length, 1)
    })
  })
}

test('a live row without any status protects its object', async (t) => {
  const store = await postgresStore(t)
  await store.sql`alter table media alter column status drop not null`
  await archiveDue(store)
  await store.addMedia(2)
  await store.sql`update media set status = null where id = 2`
  assert.deepEqual(await store.worker('a').claimDue(9, []), [])
  await store.sql`update media set deleted_at = now() where id = 2`
  assert.equal((await store.worker('a').claimDue(9, [])).length, 1)
})
