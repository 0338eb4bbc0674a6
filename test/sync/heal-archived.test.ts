import assert from 'node:assert/strict'
import { mkdir, readdir, readFile, rename, symlink, writeFile } from 'node:fs/promises'
import { basename, join } from 'node:path'
import { describe, type TestContext, test } from 'node:test'
import { damagedFiles } from '../../src/db/damaged.ts'
import { parseSidecar } from '../../src/sidecar.ts'
import { approveMedium, assertArchived, itemOf } from '../support/media-rows.ts'
import { letReadingsAge, openWorker, withSite } from '../support/worker.ts'

/** Its source was in a bucket that is not configured any more. */
async function withFormer(t: TestContext, { released }: { released: boolean }) {
  const archived = await withArchived(t, { released })
  await archived.site.sql`update strongroom.items set bucket = 'former'`
  return archived
}

/** One archived medium, due to be read again. */
async function withArchived(t: TestContext, { released }: { released: boolean }) {
  const site = await withSite(t)
  const worker = await openWorker(t, site, { releaseGraceMs: released ? 0 : 86_400_000 })
  const medium = await approveMedium(site)
  await worker.sync()
  await worker.release()
  const path = join(site.archiveDir, await assertArchived(site, medium))
  assert.equal((await itemOf(site, medium.mediaId)).state, released ? 'released' : 'archived')
  const [item] = await site.sql<{ id: number }[]>`select id from strongroom.items`
  await letReadingsAge(site)
  return {
    site,
    worker,
    medium,
    path,
    spoil: () => writeFile(path, Buffer.alloc(medium.bytes.length, 7)),
    /** The names of what lies in quarantine. */
    async aside() {
      const folder = join(site.archiveDir, '.strongroom/quarantine')
      const found = await readdir(folder, { recursive: true, withFileTypes: true })
      return found.filter((entry) => !entry.isDirectory()).map(({ name }) => name)
    },
    /** Sets the file aside as a reading does that finds other bytes. */
    async setAside() {
      const folder = join(site.archiveDir, `.strongroom/quarantine/${item?.id}.1`)
      await mkdir(folder, { recursive: true })
      for (const name of [path, `${path}.json`]) await rename(name, join(folder, basename(name)))
    },
  }
}

const healed = { read: 1, damaged: 1, healed: 1, lost: 0 }

describe('a scrub, of a file whose source was in another bucket', { concurrency: 2 }, () => {
  for (const released of [true, false]) {
    const which = released ? 'released' : 'still there'
    test(`puts back what lies whole in quarantine, the source being ${which}`, async (t) => {
      const { site, worker, medium, setAside } = await withFormer(t, { released })
      await setAside()
      assert.deepEqual(await worker.scrub(), healed)
      await assertArchived(site, medium)
      assert.deepEqual(await damagedFiles(site.database, 9), [])
    })

    test(`sets aside what rots, for nobody to be served it, the source being ${which}`, async (t) => {
      const { site, worker, medium, path, spoil } = await withFormer(t, { released })
      await spoil()
      assert.equal((await worker.scrub()).lost, released ? 1 : 0)
      await assert.rejects(readFile(path), { code: 'ENOENT' })
      assert.equal((await itemOf(site, medium.mediaId)).state, released ? 'lost' : 'archived')
      assert.equal((await damagedFiles(site.database, 9)).length, 1)
    })
  }

  test('fetches it again once that bucket is configured again', async (t) => {
    const { site, worker, medium, spoil } = await withFormer(t, { released: false })
    await spoil()
    await worker.scrub()
    await site.sql`update strongroom.items set bucket = ${worker.parts.bucket.name}`
    await letReadingsAge(site)
    assert.deepEqual(await worker.scrub(), healed)
    await assertArchived(site, medium)
  })
})

/** As "adopt --from-database" leaves what an older service archived. */
async function withLegacy(t: TestContext) {
  const archived = await withArchived(t, { released: true })
  await archived.site.sql`
    update strongroom.items set state = 'kept', released_at = null, etag = null, bucket = null,
      version_id = null, last_modified = null, proof = null`
  return archived
}

/** What no sidecar can be, put in the place of one. */
const noSidecars: { what: string; kept: boolean; put: (path: string) => Promise<unknown> }[] = [
  {
    what: 'a link',
    kept: false,
    async put(path) {
      await rename(`${path}.json`, `${path}.moved`)
      await symlink(`${path}.moved`, `${path}.json`)
    },
  },
  {
    what: 'a large file',
    kept: true,
    put: (path) => writeFile(`${path}.json`, Buffer.alloc(2 ** 21, 7)),
  },
]

describe('a scrub, of a file with what is no sidecar beside it', { concurrency: 2 }, () => {
  for (const { what, kept, put } of noSidecars)
    for (const [whose, archived] of [
      ['its own', (t: TestContext) => withArchived(t, { released: false })],
      ['an older service’s', withLegacy],
    ] as const)
      test(`takes ${what} away, never bytes, and writes the sidecar anew, of ${whose}`, async (t) => {
        const { site, worker, medium, path, aside } = await archived(t)
        await put(path)
        assert.deepEqual(await worker.scrub(), healed)
        assert.deepEqual(await readFile(path), medium.bytes)
        assert.equal(parseSidecar(await readFile(`${path}.json`)).media_id, medium.mediaId)
        assert.deepEqual(await aside(), kept ? [basename(`${path}.json`)] : [])
        assert.deepEqual(await damagedFiles(site.database, 9), [])
      })

  test('does not call the file missing', async (t) => {
    const { site, worker, path } = await withArchived(t, { released: false })
    for (const { put } of noSidecars.slice(0, 1)) await put(path)
    await site.archives.pauseHealing('too much')
    await worker.scrub()
    const [noted] = await damagedFiles(site.database, 9)
    assert.match(noted?.damage ?? '', /^sidecar: /)
  })
})

describe('a scrub, of a file that an older service archived', { concurrency: 2 }, () => {
  test('puts back what lies whole in quarantine, and writes its sidecar', async (t) => {
    const { site, worker, medium, path, setAside } = await withLegacy(t)
    await setAside()
    assert.deepEqual(await worker.scrub(), healed)
    assert.deepEqual(await readFile(path), medium.bytes)
    assert.equal(parseSidecar(await readFile(`${path}.json`)).media_id, medium.mediaId)
    assert.equal((await itemOf(site, medium.mediaId)).state, 'kept')
    assert.deepEqual(await damagedFiles(site.database, 9), [])
    await letReadingsAge(site)
    assert.deepEqual(await worker.scrub(), { ...healed, damaged: 0, healed: 0 })
  })

  test('takes it from there for one that rotted since, and back from lost', async (t) => {
    const { site, worker, medium, path, spoil, setAside } = await withLegacy(t)
    await setAside()
    await spoil()
    await site.sql`update strongroom.items set state = 'lost'`
    assert.deepEqual(await worker.scrub(), healed)
    assert.deepEqual(await readFile(path), medium.bytes)
    assert.equal((await itemOf(site, medium.mediaId)).state, 'kept')
  })

  test('takes no other bytes from there', async (t) => {
    const { site, worker, medium, path, spoil, setAside } = await withLegacy(t)
    await spoil()
    await setAside()
    assert.deepEqual(await worker.scrub(), { ...healed, healed: 0, lost: 1 })
    await assert.rejects(readFile(path), { code: 'ENOENT' })
    assert.equal((await itemOf(site, medium.mediaId)).state, 'lost')
  })
})
