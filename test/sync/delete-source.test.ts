import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { approveMedium, itemOf, sourceOf, statesOf } from '../support/media-rows.ts'
import { openWorker, type Site, withSite } from '../support/worker.ts'

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
