import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import type { Items } from '../../src/db/items.ts'
import type { DueItem, Item } from '../../src/media.ts'
import {
  EPOCH_MS,
  GRACE_MS,
  implementations,
  intentFor,
  LEASE_MS,
  type MediaChange,
  postgresStore,
  type Store,
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

const objections: {
  what: string
  speakAgainst(store: Store): Promise<void>
  takeBack(store: Store): Promise<void>
}[] = [
  {
    what: 'releases pause',
    speakAgainst: ({ archives }) => archives.pauseRelease('by hand'),
    takeBack: ({ archives }) => archives.resumeRelease(),
  },
  {
    what: 'the disk is sick',
    speakAgainst: ({ archives }) => archives.latchSick('fsync failed'),
    takeBack: ({ archives }) => archives.clearSick(),
  },
  {
    what: 'another row needs the object',
    speakAgainst: (store) => store.addMedia(2, { status: 'pending' }),
    takeBack: (store) => store.changeMedia(2, { deleted: true }),
  },
  {
    what: 'its own row is approved again',
    speakAgainst: (store) => store.changeMedia(1, { status: 'approved' }),
    takeBack: (store) => store.changeMedia(1, { status: 'archived' }),
  },
]

for (const { name, open } of implementations) {
  describe(`a claim for release: ${name}`, () => {
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

  describe(`a source in another bucket than the configured one: ${name}`, () => {
    test('is not claimed, and is counted with its bucket', async (t) => {
      const store = await open(t)
      await archiveDue(store)
      const [here, before, after] = [null, 'another', 'vault'].map((bucket) =>
        store.worker('a', null, bucket ?? undefined),
      ) as [Items, Items, Items]
      const uploads = [{ bucket: 'uploads', items: 1 }]
      assert.deepEqual(await before.dueElsewhere(), uploads)
      assert.deepEqual(await after.dueElsewhere(), uploads)
      assert.deepEqual(await before.claimDue(9, []), [])
      assert.deepEqual(await after.claimDue(9, []), [])
      assert.deepEqual(await here.dueElsewhere(), [])
      assert.equal((await here.claimDue(9, [])).length, 1)
    })

    test('is not taken over from a dead worker either', async (t) => {
      const store = await open(t)
      await archiveDue(store)
      const [due] = (await store.worker('a').claimDue(9, [])) as [DueItem]
      await store.elapse(LEASE_MS + 1_000)
      const elsewhere = store.worker('b', null, 'vault')
      assert.deepEqual(await elsewhere.claimDue(9, []), [])
      assert.deepEqual(await elsewhere.dueElsewhere(), [{ bucket: 'uploads', items: 1 }])
      assert.equal(await elsewhere.confirmRelease(due), 'refused')
    })

    test('is not counted before its grace is over', async (t) => {
      const store = await open(t)
      await archiveDue(store)
      await store.elapse(-GRACE_MS)
      assert.deepEqual(await store.worker('a', null, 'vault').dueElsewhere(), [])
    })

    test('and the newest source that is still to go are told apart', async (t) => {
      const store = await open(t)
      const items = store.worker('a')
      assert.equal(await items.newestSource(), null)
      await archiveDue(store)
      await store.addMedia(2, { objectKey: 'newer', approvedAt: EPOCH_MS + 1 })
      const [item] = (await items.claim(1, [])) as [Item]
      await items.commitIntent(item, intentFor(item, 'folder/newer.mp4'))
      await items.record(item)
      assert.equal(await items.newestSource(), 'newer')
      assert.equal(await store.worker('a', null, 'vault').newestSource(), null)
    })
  })

  describe(`the last question before a DELETE: ${name}`, () => {
    test('is answered with yes as long as nothing speaks against it, and changes nothing', async (t) => {
      const store = await open(t)
      await archiveDue(store)
      const items = store.worker('a')
      const [due] = (await items.claimDue(9, [])) as [DueItem]
      const before = await store.seen()
      assert.equal(await items.confirmRelease(due), 'confirmed')
      assert.equal(await items.confirmRelease(due), 'confirmed')
      assert.deepEqual(await store.seen(), before)
    })

    for (const { what, speakAgainst, takeBack } of objections) {
      test(`gives back as begun what another worker began, when ${what}`, async (t) => {
        const store = await open(t)
        await archiveDue(store)
        const items = store.worker('a')
        const [left] = (await store.worker('dead').claimDue(9, [])) as [DueItem]
        await store.worker('dead').yield(left, { error: null, delayMs: 0 })
        const [due] = (await items.claimDue(9, [])) as [DueItem]
        await speakAgainst(store)
        for (const asked of ['once', 'again after a lost answer'])
          assert.equal(await items.confirmRelease(due), 'refused', asked)
        const [seen] = (await store.seen()).items
        assert.deepEqual([seen?.state, seen?.owner, seen?.leased], ['releasing', null, false])
        await takeBack(store)
        assert.equal(await items.confirmRelease(due), 'refused', 'it is in nobody’s hands')
        const [again] = (await items.claimDue(9, [])) as [DueItem]
        assert.equal(again.begun, true)
      })

      test(`gives the item back when ${what}`, async (t) => {
        const store = await open(t)
        await archiveDue(store)
        const items = store.worker('a')
        const [due] = (await items.claimDue(9, [])) as [DueItem]
        await speakAgainst(store)
        assert.equal(await items.confirmRelease(due), 'refused')
        assert.equal(await items.confirmRelease(due), 'refused', 'asked again after a lost answer')
        const [seen] = (await store.seen()).items
        assert.deepEqual(
          [seen?.state, seen?.owner, seen?.leased, seen?.releaseDue],
          ['archived', null, false, true],
        )
        assert.equal(await items.released(due, 'deleted'), false)
        assert.deepEqual(await items.claimDue(9, []), [])
        await takeBack(store)
        const [again] = (await items.claimDue(9, [])) as [DueItem]
        assert.equal(await items.confirmRelease(again), 'confirmed')
      })
    }

    test('is refused to whoever no longer holds the item, and leaves it to the holder', async (t) => {
      const store = await open(t)
      await archiveDue(store)
      const [old] = (await store.worker('a').claimDue(9, [])) as [DueItem]
      await store.elapse(LEASE_MS + 1_000)
      const [mine] = (await store.worker('b').claimDue(9, [])) as [DueItem]
      await store.archives.pauseRelease('by hand')
      assert.equal(await store.worker('a').confirmRelease(old), 'stale')
      const [seen] = (await store.seen()).items
      assert.deepEqual([seen?.state, seen?.owner, seen?.leased], ['releasing', 'b', true])
      await store.archives.resumeRelease()
      assert.equal(await store.worker('b').confirmRelease(mine), 'confirmed')
      assert.equal(await store.worker('b').released(mine, 'deleted'), true)
      assert.equal(await store.worker('b').confirmRelease(mine), 'stale')
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
