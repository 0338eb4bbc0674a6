import assert from 'node:assert/strict'
import { test } from 'node:test'
import { AppError } from '../../src/errors.ts'
import type { Disk } from '../../src/storage/disk.ts'
import { MAX_ATTEMPTS } from '../../src/sync/failure.ts'
import { reconcile } from '../../src/sync/reconcile.ts'
import {
  approveMedium,
  assertArchived,
  itemOf,
  type Medium,
  sourceOf,
} from '../support/media-rows.ts'
import type { Scope } from '../support/scopes.ts'
import { expireLeases, openWorker, type Site, withSite } from '../support/worker.ts'

test('a recovery that the database refuses is tried once in a pass, however long that takes', async (t) => {
  const site = await withSite(t)
  const media = [await approveMedium(site), await approveMedium(site)]
  await site.sql.unsafe(`
    create function refuse() returns trigger language plpgsql as $$ begin
      if new.status = 'archived' then raise exception 'not yet'; end if; return new; end $$;
    create trigger refuse before update on media for each row execute function refuse()`)
  await (await openWorker(t, site)).sync()
  assert.equal((await itemOf(site, media[0]?.mediaId ?? 0)).state, 'publishing')
  await expireLeases(site)
  const stop = new AbortController()
  let hashed = 0
  const { parts } = await openWorker(t, site, {
    disk: (disk) => ({
      ...disk,
      async hash(path, signal) {
        hashed += 1
        if (hashed > 2) stop.abort()
        return disk.hash(path, signal)
      },
    }),
  })
  // As when to read the files takes longer than what failed waits for its next turn.
  const { items } = parts
  const yields: typeof items.yield = (item, to) => items.yield(item, { ...to, delayMs: 0 })
  const found = await reconcile({ ...parts, items: { ...items, yield: yields } }, stop.signal)
  assert.deepEqual([hashed, found.failed], [2, 2])
  await site.sql.unsafe('drop trigger refuse on media')
  assert.equal((await (await openWorker(t, site)).reconcile()).recorded, 2)
})

test('an item that fails each time it is published is tried so often and no more, and says why', async (t) => {
  const site = await withSite(t)
  const medium = await approveMedium(site)
  let downloads = 0
  site.fault = ({ operation }) => {
    if (operation === 'GetObject') downloads += 1
    return undefined
  }
  const worker = await openWorker(t, site, {
    // As file systems that join others do: links within a folder, where it was tried, and none to another one.
    disk: (disk) => ({
      ...disk,
      async link(from, to) {
        if (to.startsWith('.strongroom/')) return disk.link(from, to)
        throw new AppError('LINK_REFUSED', `cannot link ${from} as ${to} (EXDEV)`)
      },
    }),
  })
  for (let run = 0; run < MAX_ATTEMPTS + 2; run++) {
    await worker.reconcile()
    await worker.sync()
    await expireLeases(site)
  }
  const { state, error_code, error_message } = await itemOf(site, medium.mediaId)
  assert.deepEqual([downloads, state, error_code], [MAX_ATTEMPTS, 'held', 'ATTEMPTS_EXHAUSTED'])
  assert.match(error_message ?? '', /EXDEV/)
  assert.deepEqual(await sourceOf(site, medium.key), medium.bytes)
})

/** Media that were published when the power was cut, in the order of their items. */
async function withPublished(t: Scope, count: number) {
  const site = await withSite(t)
  const media: Medium[] = []
  for (let n = 0; n < count; n++) media.push(await approveMedium(site))
  const crashed = await openWorker(t, site, {
    reached: (point) => {
      if (point === 'published') throw new AppError('LEASE_LOST', 'the power is cut here')
    },
  })
  await crashed.sync()
  await expireLeases(site)
  return { site, media }
}

/** A disk that gives the filed copies of `media` to nobody, as they lie there now. */
async function withoutFilesOf(
  site: Site,
  media: readonly Medium[],
  code: 'DISK_SICK' | 'DISK_DENIED',
) {
  const rows = await site.sql<{ media_id: number; archive_path: string }[]>`
    select media_id::int, archive_path from strongroom.items`
  const ids = media.map(({ mediaId }) => mediaId)
  const paths = rows.filter((row) => ids.includes(row.media_id)).map((row) => row.archive_path)
  const refused = new Map<string, number | undefined>()
  return (disk: Disk): Disk => ({
    ...disk,
    async hash(path, signal) {
      const inode = (await disk.stat(path))?.inode
      if (paths.includes(path) && !refused.has(path)) refused.set(path, inode)
      // Another file under the same name lies on other sectors.
      if (refused.has(path) && refused.get(path) === inode)
        throw new AppError(code, `cannot read ${path}`)
      return disk.hash(path, signal)
    },
  })
}

test('a published file that the disk does not give is fetched anew, and holds up no other recovery', async (t) => {
  const { site, media } = await withPublished(t, 3)
  const [, bad] = media as [Medium, Medium, Medium]
  const worker = await openWorker(t, site, {
    disk: await withoutFilesOf(site, [bad], 'DISK_SICK'),
  })
  const found = await worker.reconcile()
  assert.deepEqual([found.recorded, found.restarted, found.failed], [2, 1, 0])
  await worker.sync()
  for (const medium of media) await assertArchived(site, medium)
})

test('two published files in a row that the disk does not give stop everything until a person has looked', async (t) => {
  const { site, media } = await withPublished(t, 3)
  const [, second, third] = media as [Medium, Medium, Medium]
  const worker = await openWorker(t, site, {
    disk: await withoutFilesOf(site, media, 'DISK_SICK'),
  })
  await assert.rejects(worker.reconcile(), { code: 'DISK_SICK' })
  assert.notEqual((await site.archives.find())?.sick, null)
  const { state, error_code } = await itemOf(site, second.mediaId)
  assert.deepEqual([state, error_code], ['publishing', 'DISK_SICK'], 'and it says why')
  assert.equal((await itemOf(site, third.mediaId)).state, 'publishing')
  assert.equal((await worker.sync()).reports.archived, 0)
})

test('a published file that may not be read waits for a person, and holds up no other recovery', async (t) => {
  const { site, media } = await withPublished(t, 3)
  const [bad] = media as [Medium, Medium, Medium]
  const worker = await openWorker(t, site, {
    disk: await withoutFilesOf(site, [bad], 'DISK_DENIED'),
  })
  const found = await worker.reconcile()
  assert.deepEqual([found.recorded, found.restarted, found.failed], [2, 0, 1])
  const { state, error_code } = await itemOf(site, bad.mediaId)
  assert.deepEqual([state, error_code], ['publishing', 'DISK_DENIED'])
  await expireLeases(site)
  assert.equal((await (await openWorker(t, site)).reconcile()).recorded, 1)
  await assertArchived(site, bad)
})
