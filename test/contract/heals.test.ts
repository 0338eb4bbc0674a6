import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { AppError } from '../../src/errors.ts'
import type { Item } from '../../src/media.ts'
import { GRACE_MS, implementations, intentFor, LEASE_MS, type Store } from './items-stores.ts'

const gone = new AppError('FILE_MISSING', 'it is gone')
const lost = { outcome: 'lost', damage: 'gone', error: gone } as const

/** One archived item. */
async function withArchived(store: Store): Promise<Item> {
  const items = store.worker('a')
  await store.addMedia(1)
  const [item] = await items.claim(1, [])
  assert.ok(item)
  await items.commitIntent(item, intentFor(item, 'clip.mp4'))
  assert.equal(await items.record(item), 'archived')
  return item
}

async function seen(store: Store) {
  const [item] = (await store.seen()).items
  assert.ok(item)
  const { state, epoch, leased, damage, error } = item
  return { state, epoch, leased, damage, error }
}

for (const { name, open } of implementations) {
  describe(name, { concurrency: 2 }, () => {
    test('what is being healed is nobody else’s, to heal or to release, until the lease is over', async (t) => {
      const store = await open(t)
      const { id } = await withArchived(store)
      await store.elapse(GRACE_MS + 1_000)
      const mine = await store.worker('scrub').claimFiled(id, [])
      assert.deepEqual([mine?.state, mine?.epoch], ['archived', 2])
      assert.equal(await store.worker('other').claimFiled(id, []), null)
      assert.deepEqual(await store.worker('a').claimDue(9, []), [])
      assert.equal((await store.worker('scrub').claimFiled(id, []))?.epoch, 3, 'a lost answer')
      assert.equal(await store.worker('scrub').claimFiled(id, [{ id, epoch: 3 }]), null)
      await store.elapse(LEASE_MS + 1_000)
      assert.equal((await store.worker('other').claimFiled(id, []))?.epoch, 4)
      assert.equal(await store.worker('scrub').settleHeal({ id, epoch: 3 }, lost), false)
      assert.equal(
        await store.worker('other').settleHeal({ id, epoch: 4 }, { outcome: 'whole' }),
        true,
      )
      assert.equal((await store.worker('a').claimDue(9, [])).length, 1)
    })

    test('what was noted of damage stays until the file is whole', async (t) => {
      const store = await open(t)
      const { id } = await withArchived(store)
      const items = store.worker('scrub')
      const settle = async (verdict: Parameters<typeof items.settleHeal>[1]) => {
        const item = await items.claimFiled(id, [])
        assert.ok(item && (await items.settleHeal(item, verdict)))
        return (await seen(store)).damage
      }
      assert.equal(await settle({ outcome: 'damaged', damage: 'flipped' }), 'flipped')
      assert.equal(await settle({ outcome: 'damaged', damage: 'later' }), 'flipped')
      assert.equal(await settle({ outcome: 'whole' }), null)
    })

    test('what was lost and is there again goes on as it was', async (t) => {
      for (const released of [false, true]) {
        const store = await open(t)
        const { id } = await withArchived(store)
        await store.elapse(GRACE_MS + 1_000)
        const items = store.worker('a')
        if (released) {
          const [due] = await items.claimDue(1, [])
          assert.ok(due && (await items.released(due, 'deleted')))
        }
        const bad = await items.claimFiled(id, [])
        assert.ok(bad && (await items.settleHeal(bad, lost)))
        const now = await seen(store)
        assert.deepEqual(
          [now.state, now.damage, now.error, now.leased],
          ['lost', 'gone', 'FILE_MISSING', false],
        )
        assert.deepEqual(await items.claimDue(1, []), [])
        const back = await items.claimFiled(id, [])
        assert.ok(back && (await items.settleHeal(back, { outcome: 'whole' })))
        const then = await seen(store)
        assert.deepEqual(
          [then.state, then.damage, then.error],
          [released ? 'released' : 'archived', null, null],
        )
        assert.equal((await items.claimDue(1, [])).length, released ? 0 : 1)
      }
    })

    test('nothing is healed on a sick disk, while healing is paused, or before it is archived', async (t) => {
      const store = await open(t)
      const { id } = await withArchived(store)
      const items = store.worker('a')
      const claims = async () => (await items.claimFiled(id, [])) !== null
      const { archives } = store
      assert.deepEqual(
        [await archives.pauseHealing('too many'), await archives.pauseHealing('again')],
        [true, false],
      )
      assert.equal((await archives.find())?.healPaused?.reason, 'too many')
      assert.equal(await claims(), false)
      await archives.resumeHealing()
      await archives.latchSick('fsync')
      assert.equal(await claims(), false)
      await archives.clearSick()
      assert.equal(await claims(), true)
      await store.addMedia(2, { objectKey: 'two' })
      const [fresh] = await items.claim(1, [])
      assert.equal(await items.claimFiled(fresh?.id ?? 0, []), null)
      assert.equal(await items.claimFiled(99, []), null)
    })

    test('a release that heals says whether the file is damaged still', async (t) => {
      const store = await open(t)
      await withArchived(store)
      await store.elapse(GRACE_MS + 1_000)
      const items = store.worker('a')
      for (const damage of ['flipped', null]) {
        const [due] = await items.claimDue(1, [])
        assert.ok(due)
        await items.keepSource(due, { state: 'archived', error: gone, delayMs: 0, damage })
        assert.equal((await seen(store)).damage, damage)
      }
    })
  })
}
