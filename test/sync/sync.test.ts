import assert from 'node:assert/strict'
import { describe, type TestContext, test } from 'node:test'
import { AppError } from '../../src/errors.ts'
import { createSpace } from '../../src/sync/space.ts'
import {
  approveMedium,
  assertArchived,
  assertKept,
  itemOf,
  sourceOf,
  statesOf,
} from '../support/media-rows.ts'
import { openWorker, withSite, withWorker } from '../support/worker.ts'

const MIB = 2 ** 20

/** An archive on a disk of 10 MiB of which 5 are free, and 1 is to stay so. */
async function withHalfFull(t: TestContext) {
  const room = { freeBytes: 5 * MIB, totalBytes: 10 * MIB }
  const worker = await withWorker(t, {
    policy: { batchSize: 2, concurrency: 2 },
    space: (disk) => createSpace({ ...disk, room: async () => room }, { minBytesOf: () => MIB }),
  })
  return { worker, room }
}

describe('a run', { concurrency: 2 }, () => {
  test('archives batch after batch until nothing is claimable, oldest approval first', async (t) => {
    const worker = await withWorker(t, { policy: { batchSize: 2, concurrency: 1 } })
    const media = []
    for (const hoursAgo of [1, 3, 2, 5, 4]) {
      const approvedAt = new Date(Date.now() - hoursAgo * 3_600_000)
      const medium = await approveMedium(worker, { approvedAt })
      worker.demo.server.setLastModified(medium.key, approvedAt)
      media.push(medium)
    }
    const run = await worker.sync()
    assert.deepEqual([run.reports.archived, run.stoppedBy], [5, null])
    assert.equal(
      run.bytes,
      media.reduce((sum, { bytes }) => sum + bytes.length, 0),
    )
    for (const medium of media) await assertArchived(worker, medium)
    assert.deepEqual(
      worker.reports.map(({ item }) => item.media.mediaId),
      [4, 5, 2, 3, 1],
    )
    assert.deepEqual(worker.parts.leases.held(), [])
    assert.equal((await worker.sync()).reports.archived, 0)
  })

  test('begins what comes after a batch while a slow item of it is still in hand', async (t) => {
    const othersAreDone = Promise.withResolvers<void>()
    const worker = await withWorker(t, {
      policy: { batchSize: 2, concurrency: 2 },
      async reached(point, { id }) {
        if (point === 'downloaded' && id === 1) await othersAreDone.promise
        if (point === 'recorded' && id === 5) othersAreDone.resolve()
      },
    })
    for (let n = 0; n < 5; n++) await approveMedium(worker)
    assert.equal((await worker.sync()).reports.archived, 5)
  })

  test('claims nothing again that is still being put back', async (t) => {
    const worker = await withWorker(t, { policy: { batchSize: 1, concurrency: 2 } })
    await approveMedium(worker, { uploaded: false })
    const { items } = worker.parts
    const puttingBack = Promise.withResolvers<void>()
    const lookedAgain = Promise.withResolvers<void>()
    let claims = 0
    worker.parts.items = {
      ...items,
      async claim(limit) {
        claims += 1
        if (claims === 2) await puttingBack.promise
        const claimed = await items.claim(limit, worker.parts.leases.held())
        if (claims === 2) lookedAgain.resolve()
        return claimed
      },
      async putBack(item, to) {
        puttingBack.resolve()
        await lookedAgain.promise
        return items.putBack(item, to)
      },
    }
    const { reports } = await worker.sync()
    assert.equal(reports.missing, 1)
    assert.equal(reports.left, 0)
  })

  test('gives each item its own fate', async (t) => {
    const worker = await withWorker(t)
    const good = await approveMedium(worker)
    const bad = await approveMedium(worker, { bytes: Buffer.from('no picture') })
    const gone = await approveMedium(worker, { uploaded: false })
    const late = await approveMedium(worker, { approvedAt: new Date(Date.now() - 3_600_000) })
    const { reports } = await worker.sync()
    assert.deepEqual(reports, {
      archived: 1,
      rejected: 1,
      withdrawn: 0,
      held: 1,
      missing: 1,
      waiting: 0,
      left: 0,
    })
    await assertArchived(worker, good)
    await assertKept(worker, bad)
    await assertKept(worker, late)
    assert.equal((await itemOf(worker, gone.mediaId)).state, 'missing')
    const told = worker.reports.find(({ outcome }) => outcome === 'rejected')
    assert.match(told?.reason ?? '', /not readable as media/)
  })

  test('is ended by an outage: nothing more is claimed, and no attempt is lost', async (t) => {
    const worker = await withWorker(t, { policy: { batchSize: 2 } })
    for (let n = 0; n < 5; n++) await approveMedium(worker)
    worker.fault = () => ({ kind: 'answer', status: 500, code: 'InternalError' })
    const run = await worker.sync()
    assert.equal(run.stoppedBy?.code, 'BUCKET_UNAVAILABLE')
    assert.deepEqual(await statesOf(worker), { waiting: 2 })
    const rows = await worker.sql<{ attempts: number; lease_owner: string | null }[]>`
      select attempts, lease_owner from strongroom.items`
    for (const row of rows) assert.deepEqual({ ...row }, { attempts: 0, lease_owner: null })
    worker.fault = () => undefined
    assert.equal((await worker.sync()).reports.archived, 5)
  })

  for (const operation of ['HeadObject', 'GetObject']) {
    test(`goes on when ${operation} fails for one key alone`, async (t) => {
      const worker = await withWorker(t, { policy: { concurrency: 1 } })
      const bad = await approveMedium(worker)
      for (let n = 0; n < 3; n++) await approveMedium(worker)
      worker.fault = (request) =>
        request.operation === operation && request.key === bad.key
          ? { kind: 'answer', status: 500, code: 'InternalError' }
          : undefined
      const run = await worker.sync()
      assert.deepEqual([run.stoppedBy, run.reports.archived, run.reports.waiting], [null, 3, 1])
      const { attempts, error_code } = await itemOf(worker, bad.mediaId)
      assert.deepEqual([attempts, error_code], [0, 'OBJECT_UNAVAILABLE'])
    })
  }

  test('is ended when objects fail one after the other, whatever the bucket says of itself', async (t) => {
    const worker = await withWorker(t, { policy: { concurrency: 1 } })
    for (let n = 0; n < 8; n++) await approveMedium(worker)
    worker.fault = ({ operation }) =>
      operation === 'GetObject' ? { kind: 'answer', status: 500, code: 'InternalError' } : undefined
    const run = await worker.sync()
    assert.equal(run.stoppedBy?.code, 'BUCKET_UNAVAILABLE')
    assert.deepEqual([run.reports.waiting, run.reports.left], [5, 3])
  })

  test('archives all others before it waits for the room of one object, which loses no attempt', async (t) => {
    const { worker, room } = await withHalfFull(t)
    const large = await approveMedium(worker, { bytes: Buffer.alloc(6 * MIB, 1) })
    for (let n = 0; n < 5; n++) await approveMedium(worker)
    for (let run = 0; run < 2; run++) {
      const { stoppedBy } = await worker.sync()
      assert.equal(stoppedBy?.code, 'DISK_LOW')
      assert.deepEqual(await statesOf(worker), { archived: 5, waiting: 1 })
    }
    const { attempts, error_code, lease_owner } = await itemOf(worker, large.mediaId)
    assert.deepEqual([attempts, error_code, lease_owner], [0, 'DISK_LOW', null])
    room.freeBytes = 9 * MIB
    assert.equal((await worker.sync()).stoppedBy, null)
    assert.deepEqual(await statesOf(worker), { archived: 5, rejected: 1 })
  })

  test('holds an object that is larger than the disk, and goes on', async (t) => {
    const { worker } = await withHalfFull(t)
    const large = await approveMedium(worker, { bytes: Buffer.alloc(20 * MIB, 1) })
    for (let n = 0; n < 5; n++) await approveMedium(worker)
    assert.equal((await worker.sync()).stoppedBy, null)
    assert.deepEqual(await statesOf(worker), { archived: 5, held: 1 })
    assert.equal((await itemOf(worker, large.mediaId)).error_code, 'OBJECT_TOO_LARGE')
    assert.equal((await worker.parts.space.state()).neededBytes, 0)
  })

  for (const [what, change] of [
    ['id', 'id = 1234567890123456789'],
    ['id of 0', 'id = 0'],
    ['time of approval', "approved_at = '12000-01-01'"],
    ['title', "title = repeat('x', 140000)"],
  ] as const) {
    test(`holds a row of whose ${what} no sidecar could tell`, async (t) => {
      const worker = await withWorker(t)
      const medium = await approveMedium(worker)
      await worker.sql.unsafe(`update media set ${change}`)
      assert.equal((await worker.sync()).reports.held, 1)
      assert.deepEqual(await statesOf(worker), { held: 1 })
      const [item] = await worker.sql<{ error_code: string }[]>`
        select error_code from strongroom.items`
      assert.equal(item?.error_code, 'ROW_INVALID')
      assert.deepEqual(await sourceOf(worker, medium.key), medium.bytes)
    })
  }

  test('takes a user id or a size that means nothing for none', async (t) => {
    const worker = await withWorker(t)
    for (const nonsense of [0, -1]) {
      const medium = await approveMedium(worker, { fileSize: nonsense })
      await worker.sql`update media set user_id = ${nonsense} where id = ${medium.mediaId}`
      assert.equal((await worker.sync()).reports.archived, 1)
      await assertArchived(worker, medium)
      assert.equal((await worker.release()).released, 1)
    }
  })

  test('that is drained finishes what is in hand and gives the rest back', async (t) => {
    const drain = new AbortController()
    const worker = await withWorker(t, {
      policy: { concurrency: 1 },
      reached: (point) => {
        if (point === 'validated') drain.abort()
      },
    })
    const first = await approveMedium(worker)
    await approveMedium(worker)
    await approveMedium(worker)
    const run = await worker.sync({ drain: drain.signal })
    assert.deepEqual([run.reports.archived, run.reports.left], [1, 2])
    await assertArchived(worker, first)
    assert.deepEqual(await statesOf(worker), { archived: 1, waiting: 2 })
    assert.equal((await worker.sync()).reports.archived, 2)
  })

  test('that is aborted gives the item in hand back untouched', async (t) => {
    const abort = new AbortController()
    const worker = await withWorker(t, {
      reached: (point) => {
        if (point === 'downloaded') abort.abort(new AppError('CANCELLED', 'stopped'))
      },
    })
    const medium = await approveMedium(worker)
    const run = await worker.sync({ drain: abort.signal, abort: abort.signal })
    assert.equal(run.reports.left, 1)
    await assertKept(worker, medium)
    assert.deepEqual(
      { ...(await itemOf(worker, medium.mediaId)) },
      { state: 'waiting', attempts: 0, lease_owner: null, error_code: null, error_message: null },
    )
    const left = await worker.parts.disk.list('.strongroom/tmp')
    assert.deepEqual(left.length, 1, 'what was fetched serves the next claim')
  })

  test('leaves an item alone whose lease another worker took', async (t) => {
    const site = await withSite(t)
    const other = await openWorker(t, site)
    const worker = await openWorker(t, site, {
      // Another lane, looking for work, might claim what the test sets free.
      policy: { concurrency: 1 },
      reached: async (point) => {
        if (point !== 'downloaded') return
        await site.sql`update strongroom.items set lease_until = now() - interval '1 second'`
        assert.equal((await other.sync()).reports.archived, 1)
      },
    })
    const medium = await approveMedium(site)
    const run = await worker.sync()
    assert.deepEqual([run.reports.left, run.reports.archived, run.stoppedBy], [1, 0, null])
    await assertArchived(site, medium)
    const audit = await site.sql`select 1 from audit_logs where action = 'archived'`
    assert.equal(audit.length, 1)
  })

  test('whose lease may be over publishes nothing', async (t) => {
    const worker = await withWorker(t, {
      reached: async (point, item) => {
        if (point !== 'sidecar-written') return
        // Nobody took it over, but this worker cannot know that any more.
        worker.parts.leases.drop(item)
      },
    })
    const medium = await approveMedium(worker)
    assert.equal((await worker.sync()).reports.left, 1)
    await assertKept(worker, medium)
    assert.deepEqual(await worker.parts.disk.list(String(medium.mediaId)), [])
  })

  test('claims nothing while the archive is not there', async (t) => {
    const worker = await withWorker(t)
    await approveMedium(worker)
    await worker.parts.disk.unlink('.strongroom/archive.json')
    const run = await worker.sync()
    assert.equal(run.stoppedBy?.code, 'VOLUME_MISSING')
    assert.deepEqual(await statesOf(worker), {})
  })

  test('records nothing while the archive is not there', async (t) => {
    const worker = await withWorker(t, {
      reached: async (point) => {
        if (point === 'published') await worker.parts.disk.unlink('.strongroom/archive.json')
      },
    })
    const medium = await approveMedium(worker)
    const run = await worker.sync()
    assert.equal(run.stoppedBy?.code, 'VOLUME_MISSING')
    await assertKept(worker, medium)
    assert.equal((await itemOf(worker, medium.mediaId)).state, 'publishing')
  })

  test('does not record a file that lies on another file system than the marker', async (t) => {
    const worker = await withWorker(t, {
      disk: (disk) => ({
        ...disk,
        async stat(path) {
          const facts = await disk.stat(path)
          const elsewhere = facts !== null && /^\d+\/[^/]+\.png$/.test(path)
          return elsewhere ? { ...facts, device: facts.device + 1 } : facts
        },
      }),
    })
    const medium = await approveMedium(worker)
    const run = await worker.sync()
    assert.equal(run.stoppedBy?.code, 'VOLUME_MISSING')
    assert.match(run.stoppedBy?.message ?? '', /not on the archive volume/)
    await assertKept(worker, medium)
  })

  test('after a second write failure in a row latches the disk, and nothing is claimed', async (t) => {
    const failing = async () => {
      throw new AppError('DISK_SICK', 'cannot write: the disk failed')
    }
    const worker = await withWorker(t, {
      policy: { concurrency: 1 },
      disk: (disk) => ({
        ...disk,
        create: (path) => (path.endsWith('.part') ? failing() : disk.create(path)),
      }),
    })
    for (let n = 0; n < 4; n++) await approveMedium(worker)
    const run = await worker.sync()
    assert.equal(run.stoppedBy?.code, 'DISK_SICK')
    assert.match((await worker.archives.find())?.sick?.reason ?? '', /the disk failed/)
    assert.equal((await worker.parts.items.claim(10, [])).length, 0)
    assert.deepEqual(await statesOf(worker), { waiting: 4 })
  })

  test('goes on without the database only until it is asked: the lease runs out', async (t) => {
    const worker = await withWorker(t)
    await approveMedium(worker)
    worker.parts.items.commitIntent = async () => {
      throw new AppError('DB_UNKNOWN', 'no answer')
    }
    const run = await worker.sync()
    assert.equal(run.stoppedBy?.code, 'DB_UNKNOWN')
    assert.equal(run.reports.left, 1)
    assert.deepEqual(await statesOf(worker), { claimed: 1 })
  })
})
