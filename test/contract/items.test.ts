import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { AppError } from '../../src/errors.ts'
import type { DueItem, Item } from '../../src/media.ts'
import {
  EPOCH_MS,
  GRACE_MS,
  implementations,
  intentFor,
  LEASE_MS,
  type Store,
} from './items-stores.ts'

const failure = new AppError('TRANSFER_BROKEN', 'it broke')
const refused = { reason: 'r', report: 'p', sha256: 'ef'.repeat(32), sizeBytes: 5 }
const later = { state: 'waiting', error: failure, delayMs: 5_000, burn: true } as const

async function claimOne(store: Store, owner = 'a'): Promise<Item> {
  const [item] = await store.worker(owner).claim(1, [])
  assert.ok(item)
  return item
}

async function publishOne(store: Store, owner = 'a', path = '2026/01/1/clip.mp4'): Promise<Item> {
  const item = await claimOne(store, owner)
  assert.equal(await store.worker(owner).commitIntent(item, intentFor(item, path)), 'committed')
  return item
}

async function archiveOne(store: Store, path?: string): Promise<Item> {
  const item = await publishOne(store, 'a', path)
  assert.equal(await store.worker('a').record(item), 'archived')
  return item
}

/** What was archived last, once its grace is over. */
async function releaseOne(store: Store): Promise<Item> {
  await store.elapse(GRACE_MS + 1_000)
  const [due] = await store.worker('a').claimDue(9, [])
  assert.ok(due && (await store.worker('a').released(due, 'deleted')))
  return due
}

async function missOne(store: Store): Promise<void> {
  const error = new AppError('OBJECT_MISSING', 'gone')
  const missing = { state: 'missing', error, delayMs: 0, burn: false } as const
  assert.ok(await store.worker('a').putBack(await claimOne(store), missing))
}

async function itemSeen(store: Store, id = 1) {
  const found = (await store.seen()).items.find((row) => row.id === id)
  assert.ok(found)
  return found
}

for (const { name, open } of implementations) {
  describe(name, () => {
    test('approved rows are claimed once, oldest approval first', async (t) => {
      const store = await open(t)
      await store.addMedia(1, { approvedAt: EPOCH_MS + 1, objectKey: 'late' })
      await store.addMedia(2, { objectKey: 'early', fileSize: 0 })
      await store.addMedia(3, { status: 'pending' })
      await store.addMedia(4, { deleted: true })
      await store.addMedia(5, { approvedAt: null })
      const first = await store.worker('a').claim(1, [])
      assert.deepEqual(
        first.map(({ media, generation, epoch, state, intent }) => [
          media.mediaId,
          media.declaredBytes,
          generation,
          epoch,
          state,
          intent,
        ]),
        [[2, null, 1, 1, 'claimed', null]],
      )
      const rest = await store.worker('b').claim(9, [])
      assert.deepEqual(
        rest.map(({ media }) => media.mediaId),
        [1],
      )
      assert.deepEqual(await store.worker('c').claim(9, []), [])
    })

    test('a lease that ran out is taken over with a higher epoch and burns an attempt', async (t) => {
      const store = await open(t)
      await store.addMedia(1)
      const mine = await claimOne(store)
      await store.elapse(LEASE_MS + 1_000)
      const theirs = await claimOne(store, 'b')
      assert.deepEqual([theirs.id, theirs.epoch, theirs.attempts], [mine.id, 2, 1])
    })

    test('a claim whose answer was lost is claimed again by its own worker only', async (t) => {
      const store = await open(t)
      await store.addMedia(1)
      const lost = await claimOne(store)
      assert.deepEqual(await store.worker('a').claim(9, [lost]), [])
      assert.deepEqual(await store.worker('b').claim(9, []), [])
      const again = await claimOne(store)
      assert.deepEqual([again.epoch, again.attempts], [2, 0])
    })

    test('a heartbeat keeps a lease and tells which are gone', async (t) => {
      const store = await open(t)
      await store.addMedia(1)
      const item = await claimOne(store)
      await store.elapse(LEASE_MS - 1_000)
      const beat = await store.worker('a').heartbeat([item, { id: 99, epoch: 1 }])
      assert.deepEqual([...beat.alive], [item.id])
      await store.elapse(LEASE_MS - 1_000)
      assert.deepEqual(await store.worker('b').claim(9, []), [])
      await store.elapse(2_000)
      await claimOne(store, 'b')
      assert.equal((await store.worker('a').heartbeat([item])).alive.size, 0)
      const none = await store.worker('a').heartbeat([])
      assert.ok(none.alive.size === 0 && Number.isFinite(none.databaseTimeMs))
    })

    test('an intent is committed before publishing, may change its path, and owns it', async (t) => {
      const store = await open(t)
      await store.addMedia(1)
      await store.addMedia(2, { objectKey: 'other' })
      const [one, two] = (await store.worker('a').claim(2, [])) as [Item, Item]
      const items = store.worker('a')
      assert.equal(await items.commitIntent(one, intentFor(one, 'x/clip.mp4')), 'committed')
      assert.equal(await items.commitIntent(two, intentFor(two, 'x/clip.mp4')), 'taken')
      assert.equal(await items.commitIntent(one, intentFor(one, 'y/clip.mp4')), 'committed')
      assert.equal(await items.commitIntent(two, intentFor(two, 'x/clip.mp4')), 'committed')
      assert.equal((await itemSeen(store)).archivePath, 'y/clip.mp4')
    })

    test('recording sets item, media row and audit row at once, and once', async (t) => {
      const store = await open(t)
      await store.addMedia(1)
      const item = await publishOne(store)
      assert.equal(await store.worker('a').record(item), 'archived')
      assert.equal(await store.worker('a').record(item), 'archived')
      const { items, media, audit } = await store.seen()
      assert.deepEqual(
        items.map(({ state, owner, archived, releaseDue }) => [state, owner, archived, releaseDue]),
        [['archived', null, true, false]],
      )
      const sha256 = 'ab'.repeat(32)
      const archivePath = '2026/01/1/clip.mp4'
      assert.deepEqual(media, [{ id: 1, status: 'archived', archivePath, checksum: sha256 }])
      const source = { bucket: 'uploads', object_key: 'uploads/clip.mp4', etag: 'cd'.repeat(16) }
      const details = { archive_path: archivePath, sha256, bytes: 5, ...source, item: 1 }
      assert.deepEqual(audit, [{ mediaId: 1, action: 'archived', details }])
    })

    for (const [what, change] of [
      ['was un-approved', { status: 'pending' }],
      ['was deleted', { deleted: true }],
      ['has another key', { objectKey: 'other' }],
      ['was approved anew', { approvedAt: EPOCH_MS + 1 }],
    ] as const) {
      test(`a media row that ${what} is not recorded; the copy is withdrawn`, async (t) => {
        const store = await open(t)
        await store.addMedia(1)
        const item = await publishOne(store)
        await store.changeMedia(1, change)
        assert.equal(await store.worker('a').record(item), 'withdrawing')
        assert.equal(await store.worker('a').record(item), 'withdrawing')
        assert.deepEqual(await store.worker('b').claim(9, []), [])
        assert.deepEqual((await store.seen()).audit, [])
        assert.equal(await store.worker('a').finishWithdrawal(item, 'aside'), true)
        assert.equal(await store.worker('a').finishWithdrawal(item, 'aside'), true)
        const { state, archivePath, owner } = await itemSeen(store)
        assert.deepEqual([state, archivePath, owner], ['withdrawn', null, null])
      })
    }

    test('every write of an older epoch is refused and changes nothing', async (t) => {
      const store = await open(t)
      await store.addMedia(1)
      const old = await publishOne(store)
      await store.elapse(LEASE_MS + 1_000)
      const [mine] = await store.worker('b').claimAbandoned(9, [])
      assert.equal(mine?.epoch, 2)
      assert.equal(mine?.intent?.archivePath, '2026/01/1/clip.mp4')
      const before = await store.seen()
      const items = store.worker('a')
      assert.equal(await items.commitIntent(old, intentFor(old, 'z')), 'stale')
      assert.equal(await items.record(old), 'stale')
      assert.equal(await items.reject(old, refused), 'stale')
      assert.equal(await items.putBack(old, later), false)
      assert.equal(await items.restart(old), false)
      assert.equal(await items.yield(old, { error: failure, delayMs: 0 }), false)
      assert.equal(await items.finishWithdrawal(old, 'x'), false)
      assert.equal(await items.released(old, 'deleted'), false)
      const to = { state: 'archived', error: failure, delayMs: 0 } as const
      assert.equal(await items.keepSource(old, to), false)
      assert.deepEqual(await store.seen(), before)
    })

    test('a write that the state does not allow is refused even for the holder', async (t) => {
      const store = await open(t)
      await store.addMedia(1)
      const item = await claimOne(store)
      const items = store.worker('a')
      assert.equal(await items.record(item), 'stale')
      assert.equal(await items.released(item, 'deleted'), false)
      assert.equal(await items.finishWithdrawal(item, 'x'), false)
      assert.equal(await items.restart(item), false)
      assert.equal(await items.yield(item, { error: null, delayMs: 0 }), false)
      await items.commitIntent(item, intentFor(item, 'p'))
      assert.equal(await items.putBack(item, later), false)
      assert.equal(await items.reject(item, refused), 'stale')
    })

    test('what failed waits for its delay, and a repeated answer burns one attempt', async (t) => {
      const store = await open(t)
      await store.addMedia(1)
      const item = await claimOne(store)
      assert.equal(await store.worker('a').putBack(item, later), true)
      assert.equal(await store.worker('a').putBack(item, later), true)
      const { state, attempts, error, due } = await itemSeen(store)
      assert.deepEqual([state, attempts, error, due], ['waiting', 1, 'TRANSFER_BROKEN', false])
      assert.deepEqual(await store.worker('b').claim(9, []), [])
      await store.elapse(5_000)
      assert.equal((await claimOne(store, 'b')).epoch, 2)
    })

    test('a held or rejected version is claimed again only as another version', async (t) => {
      const store = await open(t)
      await store.addMedia(1)
      await store.addMedia(2, { objectKey: 'other' })
      const [one, two] = (await store.worker('a').claim(2, [])) as [Item, Item]
      await store.worker('a').putBack(one, { state: 'held', error: failure })
      const verdict = { ...refused, reason: 'no picture', report: 'r.json' }
      assert.equal(await store.worker('a').reject(two, verdict), 'rejected')
      assert.equal(await store.worker('a').reject(two, verdict), 'rejected')
      const { audit, media } = await store.seen()
      assert.deepEqual(audit, [
        {
          mediaId: 2,
          action: 'rejected',
          details: { reason: 'no picture', report: 'r.json', object_key: 'other', item: 2 },
        },
      ])
      assert.deepEqual([...new Set(media.map(({ status }) => status))], ['approved'])
      assert.deepEqual(await store.worker('a').claim(9, []), [])
      await store.changeMedia(1, { approvedAt: EPOCH_MS + 1 })
      await store.changeMedia(2, { fileSize: 6 })
      const again = await store.worker('a').claim(9, [])
      assert.deepEqual(
        again.map(({ media, generation, epoch }) => [media.mediaId, generation, epoch]),
        [
          [2, 2, 1],
          [1, 2, 1],
        ],
      )
    })

    test('what was being published goes back to the start, or is left to recovery', async (t) => {
      const store = await open(t)
      await store.addMedia(1)
      const item = await publishOne(store)
      assert.equal(await store.worker('a').yield(item, { error: failure, delayMs: 1_000 }), true)
      assert.deepEqual(await store.worker('a').claimAbandoned(9, []), [])
      assert.deepEqual(await store.worker('a').claim(9, []), [])
      await store.elapse(1_000)
      const [mine] = await store.worker('a').claimAbandoned(9, [])
      assert.ok(mine)
      assert.deepEqual(await store.worker('a').claimAbandoned(9, [mine]), [])
      assert.equal(await store.worker('a').restart(mine), true)
      assert.equal(await store.worker('a').restart(mine), true)
      assert.equal((await itemSeen(store)).archivePath, null)
      assert.equal((await claimOne(store)).epoch, 3)
    })

    test('what failed while it was published remembers how often, and why', async (t) => {
      const store = await open(t)
      await store.addMedia(1)
      const to = { error: failure, delayMs: 0 }
      await store.worker('a').yield(await publishOne(store), { ...to, attempts: 1 })
      const [second] = await store.worker('a').claimAbandoned(9, [])
      assert.ok(second)
      assert.deepEqual([second.attempts, second.lastError], [1, failure.message])
      await store.worker('a').yield(second, to)
      const [third] = await store.worker('a').claimAbandoned(9, [])
      assert.ok(third)
      await store.worker('a').restart(third)
      const { attempts, lastError } = await claimOne(store)
      assert.deepEqual([attempts, lastError], [1, failure.message])
    })

    test('a source is due after its grace, and gone is recorded once', async (t) => {
      const store = await open(t)
      await store.addMedia(1)
      await archiveOne(store)
      assert.deepEqual(await store.worker('a').claimDue(9, []), [])
      await store.elapse(GRACE_MS + 1_000)
      const [due] = await store.worker('a').claimDue(9, [])
      assert.deepEqual([due?.state, due?.epoch], ['releasing', 2])
      assert.ok(due?.archivedAt instanceof Date)
      assert.deepEqual(await store.worker('b').claimDue(9, []), [])
      assert.equal(await store.worker('a').released(due, 'deleted'), true)
      assert.equal(await store.worker('a').released(due, 'deleted'), true)
      const { items, audit } = await store.seen()
      assert.deepEqual(
        items.map(({ state, owner, released }) => [state, owner, released]),
        [['released', null, true]],
      )
      const source = { bucket: 'uploads', object_key: 'uploads/clip.mp4', etag: 'cd'.repeat(16) }
      assert.deepEqual(audit[1], {
        mediaId: 1,
        action: 'source_deleted',
        details: { outcome: 'deleted', ...source, item: 1 },
      })
    })

    test('what a pass puts back is not due by the time that it began', async (t) => {
      const store = await open(t)
      for (const id of [1, 2]) await store.addMedia(id, { objectKey: `${id}` })
      await archiveOne(store)
      await publishOne(store, 'a', '2026/01/2/clip.mp4')
      await store.elapse(GRACE_MS + LEASE_MS + 1_000)
      const items = store.worker('a')
      const begunAt = new Date((await items.heartbeat([])).databaseTimeMs - 1)
      const [due] = (await items.claimDue(9, [], begunAt)) as [DueItem]
      const [left] = (await items.claimAbandoned(9, [], begunAt)) as [Item]
      await items.keepSource(due, { state: 'archived', error: failure, delayMs: 5_000 })
      await items.yield(left, { error: failure, delayMs: 5_000 })
      await store.elapse(5_000)
      assert.deepEqual(await items.claimDue(9, [], begunAt), [])
      assert.deepEqual(await items.claimAbandoned(9, [], begunAt), [])
      assert.equal((await items.claimDue(9, [])).length, 1)
      assert.equal((await items.claimAbandoned(9, [])).length, 1)
    })

    test('a release that was given up is due again after its delay', async (t) => {
      const store = await open(t)
      await store.addMedia(1)
      await archiveOne(store)
      await store.elapse(GRACE_MS + 1_000)
      const items = store.worker('a')
      const [due] = (await items.claimDue(9, [])) as [DueItem]
      const to = { state: 'archived', error: failure, delayMs: 5_000 } as const
      assert.equal(await items.keepSource(due, to), true)
      assert.equal(await items.keepSource(due, to), true)
      assert.deepEqual(await items.claimDue(9, []), [])
      await store.elapse(5_000)
      const [again] = (await items.claimDue(9, [])) as [DueItem]
      assert.deepEqual([again.epoch, again.begun], [3, false])
      await items.yield(again, { error: null, delayMs: 0 })
      const [third] = (await items.claimDue(9, [])) as [DueItem]
      assert.deepEqual([third.epoch, third.begun], [4, true], 'its DELETE may have been sent')
      await items.keepSource(third, { state: 'source_differs', error: failure, delayMs: 0 })
      assert.deepEqual(await items.claimDue(9, []), [])
      assert.equal((await itemSeen(store)).state, 'source_differs')
    })

    test('nothing is due while releases pause, and nothing is claimed on a sick disk', async (t) => {
      const store = await open(t)
      await store.addMedia(1)
      await store.addMedia(2, { objectKey: 'two' })
      await archiveOne(store)
      const abandoned = await publishOne(store, 'a', 'two')
      await store.worker('a').yield(abandoned, { error: null, delayMs: 0 })
      await store.addMedia(3, { objectKey: 'three' })
      await store.elapse(GRACE_MS + 1_000)
      const counts = async () => [
        (await store.worker('b').claim(9, [])).length,
        (await store.worker('b').claimAbandoned(9, [])).length,
        (await store.worker('b').claimDue(9, [])).length,
      ]
      await store.archives.latchSick('fsync failed')
      await store.archives.latchSick('again')
      assert.equal((await store.archives.find())?.sick?.reason, 'fsync failed')
      assert.deepEqual(await counts(), [0, 0, 0])
      await store.archives.clearSick()
      await store.archives.pauseRelease('by hand')
      assert.deepEqual((await store.archives.find())?.releasePaused?.reason, 'by hand')
      assert.deepEqual(await counts(), [1, 1, 0])
      await store.archives.resumeRelease()
      assert.deepEqual(await counts(), [1, 1, 1], 'what is its own is claimed again')
    })

    for (const [how, key] of [
      ['composed', 'caf\u00e9.mp4'],
      ['decomposed', 'cafe\u0301.mp4'],
    ] as const) {
      test(`a source stays while another row needs it under its ${how} name`, async (t) => {
        const store = await open(t)
        await store.addMedia(1, { objectKey: 'cafe\u0301.mp4' })
        await archiveOne(store, 'one')
        await store.addMedia(2, { objectKey: key, status: 'pending' })
        await store.elapse(GRACE_MS + 1_000)
        assert.deepEqual(await store.worker('a').claimDue(9, []), [])
        await store.changeMedia(2, { status: 'approved' })
        assert.deepEqual(await store.worker('a').claimDue(9, []), [])
        await archiveOne(store, 'two')
        assert.equal((await store.worker('a').claimDue(9, [])).length, 1)
      })
    }

    test('a row approved again as it was is archived again; a changed one opens a generation', async (t) => {
      const store = await open(t)
      await store.addMedia(1)
      await archiveOne(store)
      await store.changeMedia(1, { status: 'approved' })
      assert.deepEqual(await store.worker('a').claim(9, []), [])
      assert.deepEqual(await store.worker('a').markReapproved(), [1])
      assert.equal((await store.seen()).media[0]?.status, 'archived')
      await store.changeMedia(1, { status: 'approved', approvedAt: EPOCH_MS + 1 })
      assert.deepEqual(await store.worker('a').markReapproved(), [])
      const next = await claimOne(store)
      assert.deepEqual([next.id, next.generation, next.epoch], [2, 2, 1])
    })

    test('a row approved anew after we released its source is archived as it was', async (t) => {
      const store = await open(t)
      await store.addMedia(1)
      await archiveOne(store)
      const { intent } = await releaseOne(store)
      await store.changeMedia(1, { status: 'approved', approvedAt: EPOCH_MS + 1 })
      assert.deepEqual(
        await store.worker('a').markReleasedBefore(),
        [],
        'not before it was looked for',
      )
      await missOne(store)
      assert.deepEqual(await store.worker('a').markReleasedBefore(), [1])
      const { media, items } = await store.seen()
      assert.deepEqual(media, [
        { id: 1, status: 'archived', archivePath: intent?.archivePath, checksum: 'ab'.repeat(32) },
      ])
      assert.deepEqual(
        items.map(({ state }) => state),
        ['released', 'withdrawn'],
      )
      assert.deepEqual(await store.worker('a').claim(9, []), [])
      assert.deepEqual(await store.worker('a').markReleasedBefore(), [])
      // And once more: the generation that was only looked for says nothing.
      await store.changeMedia(1, { status: 'approved', approvedAt: EPOCH_MS + 2 })
      await missOne(store)
      assert.deepEqual(await store.worker('a').markReleasedBefore(), [1])
    })

    test('a missing object that is of another size, or that we did not release, stays missing', async (t) => {
      for (const change of [{ fileSize: 6 }, {}]) {
        const store = await open(t)
        await store.addMedia(1)
        await archiveOne(store)
        if ('fileSize' in change) await releaseOne(store)
        await store.changeMedia(1, { status: 'approved', approvedAt: EPOCH_MS + 1, ...change })
        await missOne(store)
        assert.deepEqual(await store.worker('a').markReleasedBefore(), [])
      }
    })

    for (const [became, take] of [
      ['archived', (store) => archiveOne(store, 'second')],
      ['rejected', async (store) => store.worker('a').reject(await claimOne(store), refused)],
      [
        'held',
        async (store) =>
          store.worker('a').putBack(await claimOne(store), { state: 'held', error: failure }),
      ],
      [
        'withdrawn',
        async (store) => {
          const item = await publishOne(store, 'a', 'second')
          await store.changeMedia(1, { status: 'pending' })
          assert.equal(await store.worker('a').record(item), 'withdrawing')
          await store.worker('a').finishWithdrawal(item, 'aside')
        },
      ],
      [
        'lost before it was recorded',
        async (store) => {
          const item = await publishOne(store, 'a', 'second')
          await store.worker('a').restart(item)
        },
      ],
    ] as [string, (store: Store) => Promise<unknown>][])
      test(`what we released is not what is missing where what came under its key was ${became} since`, async (t) => {
        const store = await open(t)
        await store.addMedia(1, { fileSize: 0 })
        await archiveOne(store)
        await releaseOne(store)
        await store.changeMedia(1, { status: 'approved', approvedAt: EPOCH_MS + 1 })
        await take(store)
        await store.changeMedia(1, { status: 'approved', approvedAt: EPOCH_MS + 2 })
        await missOne(store)
        assert.deepEqual(await store.worker('a').markReleasedBefore(), [])
        assert.equal((await store.seen()).media[0]?.status, 'approved')
      })

    test('what we released under another key than the one in between is what is missing', async (t) => {
      const store = await open(t)
      await store.addMedia(1)
      await archiveOne(store)
      await releaseOne(store)
      const other = { objectKey: 'other.mp4', approvedAt: EPOCH_MS + 1 }
      await store.changeMedia(1, { status: 'approved', ...other })
      await archiveOne(store, 'other')
      const back = { objectKey: 'uploads/clip.mp4', approvedAt: EPOCH_MS + 2 }
      await store.changeMedia(1, { status: 'approved', ...back })
      await missOne(store)
      assert.deepEqual(await store.worker('a').markReleasedBefore(), [1])
    })

    test('epochs, states and running leases are told for the sweep', async (t) => {
      const store = await open(t)
      await store.addMedia(1)
      await store.addMedia(2, { objectKey: 'two' })
      const [one, two] = (await store.worker('a').claim(2, [])) as [Item, Item]
      await store.worker('a').putBack(two, later)
      const current = await store.worker('a').current([one.id, two.id, 99])
      assert.deepEqual([...current].sort(), [
        [1, { epoch: 1, state: 'claimed', leased: true }],
        [2, { epoch: 1, state: 'waiting', leased: false }],
      ])
      await store.elapse(LEASE_MS + 1_000)
      assert.deepEqual(
        await store.worker('a').current([1]),
        new Map([[1, { epoch: 1, state: 'claimed', leased: false }]]),
      )
      assert.deepEqual(await store.worker('a').current([]), new Map())
    })

    test('the archive row is made once, and what a bucket honours is remembered', async (t) => {
      const { archives, archiveId, ...store } = await open(t)
      await archives.insert(crypto.randomUUID())
      await archives.markInitialised(crypto.randomUUID())
      const fresh = {
        id: archiveId,
        initialised: false,
        sick: null,
        releasePaused: null,
        healPaused: null,
      }
      assert.deepEqual(await archives.find(), fresh)
      await archives.markInitialised(archiveId)
      assert.equal((await archives.find())?.initialised, true)
      assert.equal(await archives.conditionalDelete('b'), null)
      await archives.rememberConditionalDelete('b', true)
      await archives.rememberConditionalDelete('b', false)
      assert.equal(await archives.conditionalDelete('b'), false)
      await store.addMedia(1)
      await archives.accept(crypto.randomUUID())
      assert.deepEqual(await store.worker('a').claim(9, []), [], 'the old id no longer counts')
    })
  })
}
