/** Large files are compared with what the disk gives back while they come, and need not be read again a moment later. */
import assert from 'node:assert/strict'
import { appendFile, rename, stat, truncate, utimes, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import { DIRECT_BYTES } from '../../src/storage/direct.ts'
import type { Disk } from '../../src/storage/disk.ts'
import type { FileFacts } from '../../src/storage/file-io.ts'
import { createReadBacks } from '../../src/sync/read-back.ts'
import { knowsDirect } from '../support/direct.ts'
import { uniqueMedia } from '../support/media-files.ts'
import { approveMedium, itemOf, sourceOf } from '../support/media-rows.ts'
import type { Scope } from '../support/scopes.ts'
import { openWorker, type Site, type WorkerOptions, withSite } from '../support/worker.ts'

const file: FileFacts = {
  kind: 'file',
  sizeBytes: 100,
  device: 1,
  inode: 2,
  links: 1,
  changedMs: 5.25,
}

describe('what was read back', () => {
  const noted = (now = () => 0) => {
    const readBacks = createReadBacks(now)
    readBacks.note(file, 'abc', 0)
    return readBacks
  }

  test('is the file that was noted', () => {
    assert.equal(noted().covers({ ...file }, 'abc'), true)
  })

  for (const [name, change] of Object.entries({
    'is on another device': { device: 2 },
    'is another file': { inode: 3 },
    'is longer': { sizeBytes: 101 },
    'was changed, even by a fraction of a millisecond later': { changedMs: 5.5 },
  }))
    test(`is not one that ${name}`, () => {
      assert.equal(noted().covers({ ...file, ...change }, 'abc'), false)
    })

  test('is not what should have another hash', () => {
    assert.equal(noted().covers(file, 'abd'), false)
  })

  test('counts for ten minutes since it began to come', () => {
    let now = 0
    const readBacks = noted(() => now)
    now = 600_000
    assert.equal(readBacks.covers(file, 'abc'), true)
    now += 1
    assert.equal(readBacks.covers(file, 'abc'), false)
  })
})

/** @returns a worker, and the paths of what it reads to its end */
async function openNoting(t: Scope, site: Site, options: WorkerOptions) {
  const hashed: string[] = []
  const noting = (disk: Disk): Disk => ({
    ...disk,
    async hash(path, signal) {
      hashed.push(path)
      return disk.hash(path, signal)
    },
  })
  return { worker: await openWorker(t, site, { disk: noting, ...options }), hashed }
}

/** Archives one file of more than 64 MiB, whose source is due at once. */
async function archiveLarge(t: Scope, options: WorkerOptions = { readsBack: true }) {
  const site = await withSite(t)
  const bytes = uniqueMedia('video', 1, DIRECT_BYTES + 12_345)
  const { mediaId, key } = await approveMedium(site, {
    kind: 'video',
    bytes,
    filename: 'large.mp4',
  })
  const { worker, hashed } = await openNoting(t, site, options)
  assert.equal((await worker.sync()).reports.archived, 1)
  const path = `${mediaId}/large.mp4`
  return { site, worker, hashed, key, mediaId, path, absolute: join(site.archiveDir, path) }
}

describe('a source that goes at once', { concurrency: 2 }, () => {
  test('goes without another reading of its large file', async (t) => {
    const { site, worker, hashed, key } = await archiveLarge(t)
    if (!(await knowsDirect(site.archiveDir))) return t.skip('no way past the page cache here')
    assert.equal((await worker.release()).released, 1)
    assert.deepEqual(hashed, [])
    assert.equal(await sourceOf(site, key), null)
  })

  test('goes after another reading in another process', async (t) => {
    const { site, path } = await archiveLarge(t)
    const { worker: another, hashed } = await openNoting(t, site, { readsBack: true })
    assert.equal((await another.release()).released, 1)
    assert.deepEqual(hashed, [path])
  })

  test('goes after another reading where sources stay for a while', async (t) => {
    const { worker, hashed, path } = await archiveLarge(t, {})
    assert.equal((await worker.release()).released, 1)
    assert.deepEqual(hashed, [path])
  })

  test('goes after another reading of a file that took longer than that to come', async (t) => {
    let now = 0
    const { worker, hashed, path } = await archiveLarge(t, {
      readsBack: true,
      now: () => now,
      reached: (point) => {
        if (point === 'downloaded') now = 600_001
      },
    })
    assert.equal((await worker.release()).released, 1)
    assert.deepEqual(hashed, [path])
  })

  test('goes after another reading of a file that a reading found damaged meanwhile', async (t) => {
    const { site, worker, hashed, path } = await archiveLarge(t)
    await site.sql`update strongroom.items set damage = 'one bit', damaged_at = now()`
    assert.equal((await worker.release()).released, 1)
    assert.deepEqual(hashed, [path])
  })

  test('goes after another reading of a file that was touched', async (t) => {
    const { worker, hashed, path, absolute } = await archiveLarge(t)
    const { atime, mtime } = await stat(absolute)
    await utimes(absolute, atime, mtime)
    assert.equal((await worker.release()).released, 1)
    assert.deepEqual(hashed, [path])
  })

  test('stays, and heals a file that somebody writes to', async (t) => {
    const { site, worker, key, mediaId, absolute } = await archiveLarge(t)
    const { size } = await stat(absolute)
    await truncate(absolute, size - 1)
    await appendFile(absolute, 'x')
    const tally = await worker.release()
    assert.deepEqual([tally.healed, tally.released], [1, 0])
    assert.notEqual(await sourceOf(site, key), null)
    assert.equal((await itemOf(site, mediaId)).state, 'archived')
  })

  test('stays, and heals a file that somebody replaces', async (t) => {
    const { site, worker, key, absolute } = await archiveLarge(t)
    await writeFile(`${absolute}.new`, 'another')
    await rename(`${absolute}.new`, absolute)
    assert.equal((await worker.release()).healed, 1)
    assert.notEqual(await sourceOf(site, key), null)
  })
})
