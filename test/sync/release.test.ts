import assert from 'node:assert/strict'
import { rm, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, type TestContext, test } from 'node:test'
import { readHealth } from '../../src/db/health.ts'
import type { Held } from '../../src/db/items.ts'
import { AppError } from '../../src/errors.ts'
import type { Disk } from '../../src/storage/disk.ts'
import { createLeases } from '../../src/sync/leases.ts'
import { releaseDue } from '../../src/sync/release.ts'
import { openedS3, withDemoBucket } from '../support/demo-bucket.ts'
import {
  approveMedium,
  assertArchived,
  itemOf,
  type Medium,
  sourceOf,
  statesOf,
} from '../support/media-rows.ts'
import { adminOf } from '../support/s3.ts'
import type { Scope } from '../support/scopes.ts'
import { LEASE_MS, never, openWorker, type Site, withSite } from '../support/worker.ts'

describe('an archived file that the disk cannot read', { concurrency: 2 }, () => {
  test('is fetched again, and holds up no other release', async (t) => {
    const { site, bad, good, unreadable } = await withBadSector(t)
    const worker = await openWorker(t, site, { disk: unreadable })
    const tally = await worker.release()
    assert.deepEqual([tally.healed, tally.released], [1, 1])
    await assertArchived(site, bad)
    assert.deepEqual(await sourceOf(site, bad.key), bad.bytes)
    assert.equal(await sourceOf(site, good.key), null)
    const item = await itemOf(site, bad.mediaId)
    assert.deepEqual([item.state, item.error_code], ['archived', 'DISK_SICK'])
  })

  test('is not called lost although its source is gone: the disk may get well', async (t) => {
    const { site, bad, unreadable } = await withBadSector(t)
    await site.admin.delete(bad.key)
    const sick = await openWorker(t, site, { disk: unreadable })
    const tally = await sick.release()
    assert.deepEqual([tally.kept, tally.lost], [1, 0])
    assert.equal((await itemOf(site, bad.mediaId)).state, 'archived')

    await site.sql`update strongroom.items set release_due = now() where state = 'archived'`
    const well = await openWorker(t, site)
    assert.equal((await well.release()).released, 1)
    await assertArchived(site, bad)
  })
})

describe('an archived file that may not be read', { concurrency: 2 }, () => {
  test('keeps its source, is told of, and holds up no other release', async (t) => {
    const { site, bad, good, path } = await withBadSector(t)
    const disk = (one: Disk): Disk => ({
      ...one,
      hash: (asked, signal) => (asked === path ? refuse(asked) : one.hash(asked, signal)),
    })
    const worker = await openWorker(t, site, { disk })
    const tally = await worker.release()
    assert.deepEqual([tally.kept, tally.released], [1, 1])
    assert.deepEqual(await sourceOf(site, bad.key), bad.bytes)
    assert.equal(await sourceOf(site, good.key), null)
    const { state, error_code } = await itemOf(site, bad.mediaId)
    assert.deepEqual([state, error_code], ['archived', 'DISK_DENIED'])
    const health = await readHealth(site.database, 'sync')
    assert.equal(health.damaged?.archivePath, path)

    await site.sql`update strongroom.items set release_due = now() where state = 'archived'`
    assert.equal((await (await openWorker(t, site)).release()).released, 1)
    await assertArchived(site, bad)
  })

  test('ends the pass where the marker of the archive may not be read either', async (t) => {
    const { site } = await withBadSector(t)
    let refused = false
    const disk = (one: Disk): Disk => ({
      ...one,
      async hash(asked) {
        refused = true
        return refuse(asked)
      },
      read: (asked, most) => (refused ? refuse(asked) : one.read(asked, most)),
    })
    const worker = await openWorker(t, site, { disk })
    await assert.rejects(worker.release(), { code: 'DISK_DENIED' })
    assert.deepEqual(await statesOf(site), { releasing: 2 })
    assert.equal((await (await openWorker(t, site)).release()).released, 2)
  })

  for (const code of ['DISK_DENIED', 'DISK_SICK'] as const)
    test(`is no such file when it is only the sidecar, which is written anew (${code})`, async (t) => {
      const { site, bad, path } = await withBadSector(t)
      const inode = (await stat(join(site.archiveDir, `${path}.json`))).ino
      const disk = (one: Disk): Disk => ({
        ...one,
        async read(asked, most) {
          if (asked === `${path}.json` && (await one.stat(asked))?.inode === inode)
            refuse(asked, code)
          return one.read(asked, most)
        },
      })
      assert.equal((await (await openWorker(t, site, { disk })).release()).released, 2)
      await assertArchived(site, bad)
    })
})

function refuse(path: string, code: 'DISK_DENIED' | 'DISK_SICK' = 'DISK_DENIED'): never {
  throw new AppError(code, `cannot read ${path}`)
}

const refusals = [
  { code: 'OBJECT_LOCKED', answer: 'ObjectLockedByBucketPolicy' },
  { code: 'OBJECT_DENIED', answer: 'AccessDenied' },
]

describe('sources that the bucket does not let go', { concurrency: 2 }, () => {
  for (const { code, answer } of refusals)
    test(`are asked for once in a pass, however long that takes (${code})`, async (t) => {
      const { site, media, worker } = await withReleasable(t, { items: 3, atOnce: 1 })
      const stop = new AbortController()
      const asked = refuseDeletes(site, { media: media.slice(0, 2), answer }, () => {
        if (asked.deletes > 2) stop.abort()
      })
      // As when to read the archived files takes longer than what stays waits for its next turn.
      const { items } = worker.parts
      const keepSource: typeof items.keepSource = (item, to) =>
        items.keepSource(item, { ...to, delayMs: 0 })
      const tally = await releaseDue(
        { ...worker.parts, items: { ...items, keepSource } },
        stop.signal,
      )
      assert.equal(asked.deletes, 2)
      assert.deepEqual([tally.kept, tally.released], [2, 1])
      assert.equal((await itemOf(site, media[0]?.mediaId ?? 0)).error_code, code)
    })

  test('are asked for ever more seldom, and go once it does', async (t) => {
    const { site, media, worker } = await withReleasable(t, { items: 1, atOnce: 1 })
    refuseDeletes(site, { media, answer: 'ObjectLockedByBucketPolicy' })
    for (const [age, next] of [
      ['1 second', 60],
      ['1 hour', 900],
      ['30 days', 86_400],
    ] as const) {
      await site.sql`update strongroom.items set archived_at = clock_timestamp() - ${age}::interval,
        release_due = clock_timestamp() - interval '1 second'`
      assert.equal((await worker.release()).kept, 1)
      const [row] = await site.sql<{ seconds: number }[]>`
        select extract(epoch from release_due - clock_timestamp())::float8 as seconds from strongroom.items`
      const share = (row?.seconds ?? 0) / next
      assert.ok(share > 0.75 && share < 1.25, `${age}: ${row?.seconds} s`)
    }
    site.fault = () => undefined
    await site.sql`update strongroom.items set release_due = clock_timestamp()`
    assert.equal((await worker.release()).released, 1)
  })
})

/** @param seen called at each of the counted DELETEs */
function refuseDeletes(
  site: Site,
  { media, answer }: { media: readonly Medium[]; answer: string },
  seen = () => {},
) {
  const asked = { deletes: 0 }
  site.fault = ({ operation, key }) => {
    if (operation !== 'DeleteObject' || !media.some((medium) => medium.key === key))
      return undefined
    asked.deletes += 1
    seen()
    return { kind: 'answer', status: 403, code: answer }
  }
  return asked
}

describe('sources in another bucket than the configured one', { concurrency: 2 }, () => {
  test('stay, are told of by both names, and keep no other source from going', async (t) => {
    const site = await withSite(t)
    const [first, second] = [await approveMedium(site), await approveMedium(site)]
    await (await openWorker(t, site)).sync()
    const vault = await withDemoBucket(t, { bucket: 'vault' })
    const moved = await openWorker(t, site, {
      bucket: () => openedS3(t, { ...vault.config, bucket: 'vault' }),
    })
    const mirror = adminOf(vault.admin.client, 'vault')
    await mirror.put(second.key, second.bytes)
    const third = await approveMedium({ sql: site.sql, admin: mirror })
    await moved.sync()
    assert.equal((await moved.release()).released, 1)
    assert.deepEqual(await mirror.list(), [second.key], 'the third is gone, the equal one is not')
    for (const { mediaId, key, bytes } of [first, second]) {
      assert.deepEqual(await sourceOf(site, key), bytes)
      assert.equal((await itemOf(site, mediaId)).state, 'archived')
    }
    assert.equal((await itemOf(site, third.mediaId)).state, 'released')
    const told = moved.lines.filter(({ level }) => level === 'warn').map(({ message }) => message)
    assert.deepEqual(told, [
      '2 sources in bucket "media" are due, but R2_BUCKET is "vault": they stay where they are',
    ])
  })

  test('are not fetched from the wrong one, nor called lost, when their file is damaged', async (t) => {
    const site = await withSite(t)
    const medium = await approveMedium(site)
    await (await openWorker(t, site)).sync()
    await rm(join(site.archiveDir, await assertArchived(site, medium)))
    const vault = await withDemoBucket(t, { bucket: 'vault' })
    const moved = await openWorker(t, site, {
      bucket: () => openedS3(t, { ...vault.config, bucket: 'vault' }),
    })
    assert.equal((await moved.release()).lost, 0)
    assert.equal((await itemOf(site, medium.mediaId)).state, 'archived')
    assert.equal((await (await openWorker(t, site)).release()).healed, 1)
  })
})

/** Two archived media, due for release, and a disk that cannot read the first one's file. */
async function withBadSector(t: Scope) {
  const site = await withSite(t)
  const worker = await openWorker(t, site)
  const bad: Medium = await approveMedium(site)
  const good = await approveMedium(site)
  await worker.sync()
  const [row] = await site.sql<{ archive_path: string }[]>`
    select archive_path from strongroom.items where media_id = ${bad.mediaId}`
  const path = row?.archive_path
  assert.ok(path)
  const inode = (await worker.parts.disk.stat(path))?.inode
  const unreadable = (disk: Disk): Disk => ({
    ...disk,
    async hash(asked, signal) {
      // Another file under the same name lies on other sectors.
      if (asked === path && (await disk.stat(path))?.inode === inode)
        throw new AppError('DISK_SICK', `cannot read ${path}: input/output error`)
      return disk.hash(asked, signal)
    },
  })
  return { site, bad, good, path, unreadable }
}

/** Archived media whose sources may go, and a worker that releases several of them at once. */
async function withReleasable(
  t: TestContext,
  { items, atOnce }: { items: number; atOnce: number },
) {
  const site = await withSite(t)
  const media: Medium[] = []
  for (let n = 0; n < items; n++) media.push(await approveMedium(site))
  await (await openWorker(t, site)).sync()
  const worker = await openWorker(t, site, { policy: { releasesAtOnce: atOnce } })
  return { site, media, worker }
}

test('what a database clock that jumped since the last run calls due stays until the clock is back', async (t) => {
  const site = await withSite(t)
  const { parts, ...worker } = await openWorker(t, site, { releaseGraceMs: 24 * 3_600_000 })
  await Promise.all([approveMedium(site), approveMedium(site)])
  await worker.sync()
  const twoDaysMs = 48 * 3_600_000
  let aheadMs = 0
  const items = {
    ...parts.items,
    async heartbeat(held: readonly Held[]) {
      const { alive, databaseTimeMs } = await parts.items.heartbeat(held)
      return { alive, databaseTimeMs: databaseTimeMs + aheadMs }
    },
  }
  const leases = createLeases({ items, log: parts.log, leaseMs: LEASE_MS, beatMs: 0 })
  const release = async () => (await releaseDue({ ...parts, items, leases }, never)).released
  assert.equal(await release(), 0)
  aheadMs = twoDaysMs
  await site.sql`update strongroom.items set release_due = release_due - ${twoDaysMs} * interval '1 ms'`
  assert.equal(await release(), 0)
  assert.deepEqual(await statesOf(site), { archived: 2 })
  aheadMs = 0
  assert.equal(await release(), 2)
})

describe('several sources', { concurrency: 2 }, () => {
  test('are released at once, no more than the policy allows', async (t) => {
    const { site, media, worker } = await withReleasable(t, { items: 7, atOnce: 3 })
    let underWay = 0
    let most = 0
    const meeting = Promise.withResolvers<void>()
    site.fault = ({ operation, key }) => {
      if (operation !== 'DeleteObject' || !media.some((medium) => medium.key === key))
        return undefined
      underWay += 1
      most = Math.max(most, underWay)
      // Would never be answered by a pass that waits for one before the next.
      if (underWay === 3) meeting.resolve()
      return { kind: 'delay', until: meeting.promise.then(() => (underWay -= 1)) }
    }
    assert.equal((await worker.release()).released, 7)
    assert.equal(most, 3)
    for (const { key } of media) assert.equal(await sourceOf(site, key), null)
  })

  test('of which one meets an outage end the pass, and what is in hand is finished first', async (t) => {
    const { site, media, worker } = await withReleasable(t, { items: 6, atOnce: 2 })
    const failed = Promise.withResolvers<void>()
    const [first] = media
    let answered = 0
    site.fault = ({ operation, key }) => {
      if (!media.some((medium) => medium.key === key)) return undefined
      if (operation === 'HeadObject' && key === first?.key) {
        failed.resolve()
        return { kind: 'answer', status: 401, code: 'InvalidAccessKeyId' }
      }
      if (operation !== 'DeleteObject') return undefined
      answered += 1
      return { kind: 'delay', until: failed.promise }
    }
    await assert.rejects(worker.release(), (error) => error instanceof AppError)
    assert.deepEqual(await sourceOf(site, first?.key ?? ''), first?.bytes)
    const states = await statesOf(site)
    assert.deepEqual(states, { released: answered, releasing: 6 - answered })
    site.fault = () => undefined
    assert.equal((await worker.release()).released, 6 - answered)
  })
})
