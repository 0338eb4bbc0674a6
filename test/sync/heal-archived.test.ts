import assert from 'node:assert/strict'
import { mkdir, readFile, rename, writeFile } from 'node:fs/promises'
import { basename, join } from 'node:path'
import { describe, type TestContext, test } from 'node:test'
import { damagedFiles } from '../../src/db/damaged.ts'
import { approveMedium, assertArchived, itemOf } from '../support/media-rows.ts'
import { letReadingsAge, openWorker, withSite } from '../support/worker.ts'

/** One archived medium, due to be read again, whose source was in a bucket that is not configured any more. */
async function withFormer(t: TestContext, { released }: { released: boolean }) {
  const site = await withSite(t)
  const worker = await openWorker(t, site, { releaseGraceMs: released ? 0 : 86_400_000 })
  const medium = await approveMedium(site)
  await worker.sync()
  await worker.release()
  const path = join(site.archiveDir, await assertArchived(site, medium))
  assert.equal((await itemOf(site, medium.mediaId)).state, released ? 'released' : 'archived')
  const [item] = await site.sql<{ id: number }[]>`
    update strongroom.items set bucket = 'former' returning id`
  await letReadingsAge(site)
  return {
    site,
    worker,
    medium,
    path,
    spoil: () => writeFile(path, Buffer.alloc(medium.bytes.length, 7)),
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
