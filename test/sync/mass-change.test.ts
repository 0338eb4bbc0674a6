import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { MASS_CHANGE_LIMIT } from '../../src/sync/mass-change.ts'
import { coded } from '../support/demo-bucket.ts'
import { approveMedium, type Medium, statesOf } from '../support/media-rows.ts'
import type { Scope } from '../support/scopes.ts'
import { openWorker, withSite } from '../support/worker.ts'

/** `count` items, archived and due. */
async function withDue(t: Scope, count: number, releasesAtOnce = 1) {
  const site = await withSite(t)
  const worker = await openWorker(t, site, { policy: { releasesAtOnce } })
  const media: Medium[] = []
  for (let n = 0; n < count; n++) media.push(await approveMedium(site))
  await worker.sync()
  const reason = async () => (await site.archives.find())?.releasePaused?.reason ?? null
  return { site, worker, media, reason }
}

for (const atOnce of [1, 64])
  test(`more than 20 changed sources pause releases until a person resumes them, ${atOnce} at once`, async (t) => {
    const { site, worker, media, reason } = await withDue(t, 23, atOnce)
    for (const { key, bytes } of media) await site.admin.put(key, Buffer.concat([bytes, bytes]))
    await assert.rejects(worker.release(), coded('MASS_CHANGE'))
    assert.match((await reason()) ?? '', /^21 archived items .* in bucket "media"$/)
    assert.deepEqual(await statesOf(site), { source_differs: 20, releasing: 3 })

    const again = await openWorker(t, site)
    assert.equal((await again.release()).source_differs, 0)
    assert.deepEqual(await statesOf(site), { source_differs: 20, releasing: 3 })

    await site.archives.resumeRelease()
    assert.equal((await again.release()).source_differs, 3)
    assert.equal(await reason(), null)
  })

describe('sources that are gone', { concurrency: 2 }, () => {
  test('pause releases when they are many and nothing of ours is there: it is the wrong bucket', async (t) => {
    const { site, worker, media, reason } = await withDue(t, MASS_CHANGE_LIMIT + 3)
    for (const { key } of media) await site.admin.delete(key)
    await assert.rejects(worker.release(), coded('MASS_CHANGE'))
    assert.match((await reason()) ?? '', /^21 sources .* bucket "media"/)
    assert.deepEqual(await statesOf(site), { released: MASS_CHANGE_LIMIT, releasing: 3 })
  })

  test('pause releases although there is one that the bucket does not let us see', async (t) => {
    const { site, worker, media, reason } = await withDue(t, MASS_CHANGE_LIMIT + 3)
    const [unseen, ...gone] = media
    await site.sql`update strongroom.items set state = 'releasing' where media_id = ${unseen?.mediaId ?? 0}`
    site.fault = ({ key }) =>
      key === unseen?.key ? { kind: 'answer', status: 403, code: 'AccessDenied' } : undefined
    for (const { key } of gone) await site.admin.delete(key)
    await assert.rejects(worker.release(), coded('MASS_CHANGE'))
    assert.match((await reason()) ?? '', /^21 sources .* bucket "media"/)
  })

  test('are recorded however many they are, when one that is newer is there: they expired', async (t) => {
    const { site, worker, media } = await withDue(t, MASS_CHANGE_LIMIT + 3)
    for (const { key } of media) await site.admin.delete(key)
    const patient = await openWorker(t, site, { releaseGraceMs: 60_000 })
    await approveMedium(site)
    await patient.sync()
    assert.equal((await worker.release()).released, MASS_CHANGE_LIMIT + 3)
  })

  test('are recorded however many they are, beside one that was there', async (t) => {
    const { site, worker, media } = await withDue(t, MASS_CHANGE_LIMIT + 3)
    const [, ...gone] = media
    for (const { key } of gone) await site.admin.delete(key)
    assert.equal((await worker.release()).released, MASS_CHANGE_LIMIT + 3)
  })
})
