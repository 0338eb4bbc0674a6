import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import type { Item } from '../../src/media.ts'
import { implementations, intentFor, LEASE_MS, type Store } from './items-stores.ts'

async function claimOne(store: Store): Promise<Item> {
  const [item] = await store.worker('a').claim(1, [])
  assert.ok(item)
  return item
}

for (const { name, open } of implementations) {
  describe(name, () => {
    for (const change of [{ status: 'pending' }, { deleted: true }]) {
      test(`an open item nobody works on is closed when its row is ${JSON.stringify(change)}`, async (t) => {
        const store = await open(t)
        await store.addMedia(1)
        const item = await claimOne(store)
        await store.changeMedia(1, change)
        const items = store.worker('a')
        assert.deepEqual(await items.closeUnapproved(), [], 'its worker may still be at it')
        await store.elapse(LEASE_MS + 1_000)
        assert.deepEqual(await items.closeUnapproved(), [1])
        assert.deepEqual(await items.closeUnapproved(), [])
        assert.equal(await items.commitIntent(item, intentFor(item, 'x/clip.mp4')), 'stale')
        const { items: rows } = await store.seen()
        assert.deepEqual(
          rows.map(({ state, epoch, owner }) => [state, epoch, owner]),
          [['withdrawn', 2, null]],
        )
      })
    }

    test('a withdrawn row that is approved again opens a generation', async (t) => {
      const store = await open(t)
      await store.addMedia(1)
      const item = await claimOne(store)
      const intent = intentFor(item, 'x/clip.mp4')
      assert.equal(await store.worker('a').commitIntent(item, intent), 'committed')
      await store.changeMedia(1, { status: 'pending' })
      assert.equal(await store.worker('a').record(item), 'withdrawing')
      await store.worker('a').finishWithdrawal(item, 'aside')
      assert.deepEqual(await store.worker('a').claim(9, []), [])
      await store.changeMedia(1, { status: 'approved' })
      const next = await claimOne(store)
      assert.deepEqual([next.id, next.generation, next.epoch], [2, 2, 1])
    })
  })
}
