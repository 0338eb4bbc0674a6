import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { describe, test } from 'node:test'
import type { Fault } from '../../src/demo/bucket.ts'
import { closed, coded } from '../support/demo-bucket.ts'
import { uniqueMedia } from '../support/media-files.ts'
import { approveMedium, itemOf, sourceOf, statesOf } from '../support/media-rows.ts'
import type { Scope } from '../support/scopes.ts'
import { expireLeases, openWorker, type Site, type Worker, withSite } from '../support/worker.ts'

async function auditOf({ sql }: Site, mediaId: number): Promise<[string, string | null][]> {
  const rows = await sql<{ action: string; outcome: string | null }[]>`
    select action, details->>'outcome' as outcome from audit_logs where media_id = ${mediaId} order by id`
  return rows.map(({ action, outcome }) => [action, outcome])
}

/** A worker for whom the two seconds after a HEAD are nearly over as soon as it has its answer. */
async function hurried(t: Scope, site: Site): Promise<Worker> {
  let late = 0
  return openWorker(t, site, {
    now: () => performance.now() + late,
    reached(point) {
      if (point === 'source-seen') late += 1_900
      if (point === 'release-claimed') late = 0
    },
  })
}

describe('what comes up after the claim', { concurrency: 2 }, () => {
  for (const { what, comeUp } of [
    { what: 'a pause', comeUp: ({ archives }: Site) => archives.pauseRelease('by hand') },
    { what: 'a sick disk', comeUp: ({ archives }: Site) => archives.latchSick('EIO elsewhere') },
  ]) {
    test(`${what} holds at once, for every item of the batch`, async (t) => {
      const site = await withSite(t)
      const archiver = await openWorker(t, site)
      const media = []
      for (let n = 0; n < 5; n++) media.push(await approveMedium(site))
      await archiver.sync()
      let read = 0
      const worker = await openWorker(t, site, {
        async reached(point) {
          if (point === 'rehashed' && read++ === 0) await comeUp(site)
        },
      })
      const tally = await worker.release()
      assert.deepEqual([tally.released, tally.kept], [0, 5])
      assert.equal(read, 1, 'the others are not even read again')
      assert.deepEqual(await statesOf(site), { archived: 5 })
      for (const { key, bytes } of media) assert.deepEqual(await sourceOf(site, key), bytes)
      const own = new Set(media.map(({ key }) => key))
      const { requests } = site.demo.server
      assert.ok(!requests.some(({ method, key }) => method === 'DELETE' && own.has(key ?? '')))
    })
  }

  test('a row that needs the same object keeps it', async (t) => {
    const site = await withSite(t)
    const archiver = await openWorker(t, site)
    const first = await approveMedium(site)
    await archiver.sync()
    let second = first
    const worker = await openWorker(t, site, {
      async reached(point) {
        if (point !== 'rehashed' || second !== first) return
        const { key, bytes } = first
        second = await approveMedium(site, { key, bytes, uploaded: false })
      },
    })
    const tally = await worker.release()
    assert.deepEqual([tally.released, tally.kept], [0, 1])
    assert.equal((await itemOf(site, first.mediaId)).state, 'archived')
    assert.equal((await archiver.sync()).reports.archived, 1, 'the second row finds its object')
    assert.equal((await worker.release()).released, 2)
  })
})

describe('a DELETE that is not answered within two seconds of its HEAD', { concurrency: 2 }, () => {
  test('is broken off, and an upload that came since is never deleted', async (t) => {
    const site = await withSite(t)
    const worker = await hurried(t, site)
    const medium = await approveMedium(site)
    await worker.sync()
    site.fault = onDelete(medium.key, { kind: 'delay', until: forever })
    assert.deepEqual((await worker.release()).kept, 1)
    await closed(worker.parts.bucket)
    const { state, lease_owner, error_code } = await itemOf(site, medium.mediaId)
    assert.deepEqual([state, lease_owner, error_code], ['releasing', null, 'BUCKET_UNAVAILABLE'])
    assert.deepEqual(await auditOf(site, medium.mediaId), [['archived', null]])

    site.fault = () => undefined
    const fresh = uniqueMedia('image', 31_337)
    await site.admin.put(medium.key, fresh)
    await expireLeases(site)
    const next = await openWorker(t, site)
    assert.equal((await next.release()).source_differs, 1)
    assert.deepEqual(await sourceOf(site, medium.key), fresh)
    assert.deepEqual(await auditOf(site, medium.mediaId), [['archived', null]])
  })

  test('and was carried out after all is recorded as what the next look finds', async (t) => {
    const { site, worker, medium } = await withLostAnswer(t)
    assert.deepEqual((await worker.release()).kept, 1)
    assert.equal((await itemOf(site, medium.mediaId)).state, 'releasing')
    assert.deepEqual(await auditOf(site, medium.mediaId), [['archived', null]])

    site.fault = () => undefined
    await expireLeases(site)
    assert.equal((await worker.release()).released, 1)
    assert.deepEqual(await auditOf(site, medium.mediaId), [
      ['archived', null],
      ['source_deleted', 'already_gone'],
    ])
  })

  test('stays unknown, and is not called kept, while the object cannot be looked at', async (t) => {
    const { site, worker, medium } = await withLostAnswer(t)
    await worker.release()
    site.fault = refusing(medium)
    await expireLeases(site)
    assert.deepEqual((await worker.release()).kept, 1)
    const { state, lease_owner, error_code } = await itemOf(site, medium.mediaId)
    assert.deepEqual([state, lease_owner, error_code], ['releasing', null, 'OBJECT_DENIED'])

    site.fault = () => undefined
    await expireLeases(site)
    assert.equal((await worker.release()).released, 1)
  })

  test('stays unknown, and is not called kept, when releases are paused before the next look', async (t) => {
    const { site, worker, medium } = await withLostAnswer(t)
    await worker.release()
    site.fault = () => undefined
    await expireLeases(site)
    const next = await openWorker(t, site, {
      reached: async (point) => {
        if (point === 'release-claimed') await site.archives.pauseRelease('by hand')
      },
    })
    assert.equal((await next.release()).kept, 1)
    const { state, lease_owner } = await itemOf(site, medium.mediaId)
    assert.deepEqual([state, lease_owner], ['releasing', null])

    await site.archives.resumeRelease()
    assert.equal((await worker.release()).released, 1)
  })

  test('and objects that cannot be looked at, however many, hold up no other release', async (t) => {
    const site = await withSite(t)
    const worker = await openWorker(t, site)
    const unseen = []
    for (let n = 0; n < 4; n++) unseen.push(await approveMedium(site))
    await worker.sync()
    await site.sql`update strongroom.items set state = 'releasing'`
    await approveMedium(site)
    await worker.sync()
    site.fault = refusing(...unseen)
    const tally = await worker.release()
    assert.deepEqual([tally.released, tally.kept], [1, 4])
    assert.deepEqual(await statesOf(site), { releasing: 4, released: 1 })
  })

  test('holds up no other release', async (t) => {
    const site = await withSite(t)
    const worker = await openWorker(t, site)
    const bad = await approveMedium(site)
    const good = [await approveMedium(site), await approveMedium(site)]
    await worker.sync()
    site.fault = onDelete(bad.key, { kind: 'answer', status: 500, code: 'InternalError' })
    const tally = await worker.release()
    assert.deepEqual([tally.kept, tally.released], [1, 2])
    assert.notEqual(await sourceOf(site, bad.key), null)
    for (const { key } of good) assert.equal(await sourceOf(site, key), null)
  })

  test('ends the pass when it is the third in a row', async (t) => {
    const site = await withSite(t)
    const worker = await openWorker(t, site)
    for (let n = 0; n < 5; n++) await approveMedium(site)
    await worker.sync()
    let asked = 0
    site.fault = ({ operation, key }) => {
      if (operation !== 'DeleteObject' || !key?.startsWith('uploads/')) return undefined
      asked += 1
      return { kind: 'answer', status: 500, code: 'InternalError' }
    }
    await assert.rejects(worker.release(), coded('BUCKET_UNAVAILABLE'))
    assert.equal(asked, 3)
    assert.equal((await site.admin.list()).length, 5)
  })
})

describe('a DELETE under way', { concurrency: 2 }, () => {
  test('whose lease another worker took ends with its item alone', async (t) => {
    const site = await withSite(t)
    const worker = await openWorker(t, site)
    const taken = await approveMedium(site)
    const others = [await approveMedium(site), await approveMedium(site)]
    await worker.sync()
    const losing = async () => {
      await site.sql`
        update strongroom.items set epoch = epoch + 1, lease_owner = 'another' where media_id = ${taken.mediaId}`
      await worker.parts.leases.beat()
      return forever
    }
    site.fault = (request) => {
      if (request.operation !== 'DeleteObject' || request.key !== taken.key) return undefined
      return { kind: 'delay', until: losing() }
    }
    const tally = await worker.release()
    assert.deepEqual([tally.stale, tally.released], [1, 2])
    for (const { key } of others) assert.equal(await sourceOf(site, key), null)
    assert.deepEqual(await auditOf(site, taken.mediaId), [['archived', null]])
  })

  test('is waited for by a run that is told to stop, and recorded as what it did', async (t) => {
    const site = await withSite(t)
    const worker = await openWorker(t, site)
    const media = [await approveMedium(site), await approveMedium(site)]
    await worker.sync()
    const stop = new AbortController()
    site.fault = ({ operation, key }) => {
      if (operation !== 'DeleteObject' || !media.some((medium) => medium.key === key))
        return undefined
      stop.abort()
      return { kind: 'delay', until: Promise.resolve() }
    }
    const tally = await worker.release(stop.signal)
    assert.deepEqual([tally.released, tally.kept], [1, 0])
    assert.equal((await site.admin.list()).length, 1, 'the other one was not begun')
    const outcomes = await Promise.all(media.map(({ mediaId }) => auditOf(site, mediaId)))
    assert.deepEqual(
      outcomes.flat().filter(([action]) => action === 'source_deleted'),
      [['source_deleted', 'deleted']],
    )
  })
})

test('a bucket too slow to be looked at in two seconds is an outage, and nothing is deleted', async (t) => {
  const site = await withSite(t)
  let late = 0
  const worker = await openWorker(t, site, {
    now: () => performance.now() + late,
    reached(point) {
      if (point === 'source-seen') late += 3_000
    },
  })
  const medium = await approveMedium(site)
  await worker.sync()
  await assert.rejects(worker.release(), coded('BUCKET_UNAVAILABLE'))
  assert.deepEqual(await sourceOf(site, medium.key), medium.bytes)
})

describe('a DELETE whose condition is refused', { concurrency: 2 }, () => {
  for (const [status, code] of [
    [412, 'PreconditionFailed'],
    [409, 'ConditionalRequestConflict'],
    [501, 'NotImplemented'],
  ] as const) {
    test(`with ${status} is not sent without one: somebody may be writing the key`, async (t) => {
      const site = await withSite(t)
      const worker = await openWorker(t, site)
      const medium = await approveMedium(site)
      await worker.sync()
      await site.archives.rememberConditionalDelete(worker.parts.bucket.id, true)
      site.fault = onDelete(medium.key, { kind: 'answer', status, code })
      assert.deepEqual((await worker.release()).kept, 1)
      assert.deepEqual(deletesOf(site), [`"${md5Of(medium.bytes)}"`])
      assert.equal((await itemOf(site, medium.mediaId)).state, 'archived')
      const fresh = uniqueMedia('image', 31_338)
      await site.admin.put(medium.key, fresh)
      await expireLeases(site)
      assert.equal((await worker.release()).source_differs, 1)
      assert.deepEqual(await sourceOf(site, medium.key), fresh)
    })
  }

  test('for an unchanged multipart object, as Swift does, is sent again without it', async (t) => {
    const { site, worker, medium } = await withMultipart(t)
    assert.deepEqual((await worker.release()).released, 1)
    assert.equal(await sourceOf(site, medium.key), null)
    const [first, second] = deletesOf(site)
    assert.match(first ?? '', /^"[0-9a-f]{32}-1"$/)
    assert.equal(second, null)
  })

  test('for a multipart object that was written again is not sent without it', async (t) => {
    const { site, worker, medium } = await withMultipart(t)
    site.demo.server.setLastModified(medium.key, new Date(Date.now() + 5_000))
    assert.deepEqual((await worker.release()).kept, 1)
    assert.deepEqual(await sourceOf(site, medium.key), medium.bytes)
    assert.equal(deletesOf(site).length, 1)
  })
})

/** A multipart object that is archived and due, in a bucket that answers 412 to every condition. */
async function withMultipart(t: Scope) {
  const site = await withSite(t)
  const worker = await openWorker(t, site)
  const medium = await approveMedium(site)
  await site.admin.putMultipart(medium.key, [medium.bytes])
  await worker.sync()
  await site.archives.rememberConditionalDelete(worker.parts.bucket.id, true)
  site.fault = ({ operation, headers }) =>
    operation === 'DeleteObject' && headers['if-match'] !== undefined
      ? { kind: 'answer', status: 412, code: 'PreconditionFailed' }
      : undefined
  return { site, worker, medium }
}

/** The conditions of all DELETEs so far. */
function deletesOf({ demo }: Site): (string | null)[] {
  return demo.server.requests
    .filter(({ operation }) => operation === 'DeleteObject')
    .map(({ headers }) => headers['if-match'] ?? null)
}

function md5Of(bytes: Buffer): string {
  return createHash('md5').update(bytes).digest('hex')
}

const forever = new Promise<never>(() => {})

/** An archived medium whose source is due, and a bucket that deletes it and does not say so. */
async function withLostAnswer(t: Scope) {
  const site = await withSite(t)
  const worker = await openWorker(t, site)
  const medium = await approveMedium(site)
  await worker.sync()
  site.fault = onDelete(medium.key, { kind: 'lose-answer' })
  return { site, worker, medium }
}

function refusing(...media: { key: string }[]): Site['fault'] {
  const keys = media.map(({ key }) => key)
  return ({ key }) =>
    keys.includes(key ?? '') ? { kind: 'answer', status: 403, code: 'AccessDenied' } : undefined
}

function onDelete(key: string, fault: Fault): Site['fault'] {
  return (request) =>
    request.operation === 'DeleteObject' && request.key === key ? fault : undefined
}
