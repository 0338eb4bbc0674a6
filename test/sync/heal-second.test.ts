import assert from 'node:assert/strict'
import { readFile, rm, writeFile } from 'node:fs/promises'
import { describe, type TestContext, test } from 'node:test'
import { secondCopyOf } from '../../src/db/second-files.ts'
import { recallFile } from '../../src/sync/recall.ts'
import { assertArchived, itemOf, type Medium } from '../support/media-rows.ts'
import { moveOnly, type Second, withReleased } from '../support/second.ts'
import { letReadingsAge, never, type Site, type Worker } from '../support/worker.ts'

interface Scene {
  site: Site
  worker: Worker
  second: Second
  medium: Medium
  path: string
  key: string
  scrub(): ReturnType<Worker['scrub']>
}

/** One medium whose source is gone, moved to the second bucket and brought back. */
async function withRecalled(t: TestContext): Promise<Scene> {
  const released = await withReleased(t)
  const { site, worker, second, media } = released
  const { file, ...places } = await moveOnly(released)
  const parts = { ...second.parts, space: worker.parts.space }
  assert.ok('bytes' in (await recallFile(parts, file, never)))
  const { bucket } = second.parts
  const copyOf = (item: number) => secondCopyOf(site.database, item, bucket.id)
  await letReadingsAge(site)
  return {
    site,
    worker,
    second,
    medium: media[0],
    ...places,
    scrub: () => worker.scrub({ second: { bucket, copyOf } }),
  }
}

const healed = { read: 1, damaged: 1, healed: 1, lost: 0 }
const lost = { read: 1, damaged: 1, healed: 0, lost: 1 }

describe('a file that was brought back from the second bucket', { concurrency: 2 }, () => {
  test('is healed from there when it rots or vanishes, and its copy stays', async (t) => {
    const { site, second, medium, path, scrub } = await withRecalled(t)
    for (const spoil of [() => writeFile(path, 'rotten'), () => rm(path)]) {
      await spoil()
      assert.deepEqual(await scrub(), healed)
      await assertArchived(site, medium)
      assert.equal((await itemOf(site, medium.mediaId)).state, 'released')
      assert.equal((await second.seen(medium)).there, true)
      await letReadingsAge(site)
    }
  })

  test('is healed from there although its source was in a bucket that is no longer configured', async (t) => {
    const { site, medium, path, scrub } = await withRecalled(t)
    await site.sql`update strongroom.items set bucket = 'former'`
    await writeFile(path, 'rotten')
    assert.deepEqual(await scrub(), healed)
    assert.deepEqual(await readFile(path), medium.bytes)
  })

  test('is lost where its copy is gone, too, or has other bytes; these are never put in its place', async (t) => {
    for (const spoil of [
      ({ second: { demo }, key }: Scene) => demo.admin.delete(key),
      ({ second: { demo }, key }: Scene) => demo.admin.put(key, 'short'),
      ({ second: { demo }, key, medium }: Scene) =>
        demo.admin.put(key, Buffer.alloc(medium.bytes.length)),
    ]) {
      const scene = await withRecalled(t)
      await spoil(scene)
      await writeFile(scene.path, 'rotten')
      assert.deepEqual(await scene.scrub(), lost)
      assert.equal((await itemOf(scene.site, scene.medium.mediaId)).state, 'lost')
      await assert.rejects(readFile(scene.path), { code: 'ENOENT' })
    }
  })

  test('is not lost while the second bucket is away', async (t) => {
    const { site, second, medium, path, scrub } = await withRecalled(t)
    await writeFile(path, 'rotten')
    second.fault = () => ({ kind: 'answer', status: 403, code: 'AccessDenied' })
    assert.deepEqual(await scrub(), { ...healed, healed: 0 })
    assert.equal((await itemOf(site, medium.mediaId)).state, 'released')
    second.fault = () => undefined
    await letReadingsAge(site)
    assert.deepEqual(await scrub(), healed)
    await assertArchived(site, medium)
  })
})
