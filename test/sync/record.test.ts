import assert from 'node:assert/strict'
import { test } from 'node:test'
import { acceptVolume } from '../../src/sync/volume.ts'
import { approveMedium, assertArchived, assertKept, itemOf } from '../support/media-rows.ts'
import { expireLeases, openWorker, withSite } from '../support/worker.ts'

test('a worker records nothing after another one saw the disk fail, until the volume is accepted again', async (t) => {
  const site = await withSite(t)
  const worker = await openWorker(t, site, {
    reached: async (point) => {
      if (point === 'published') await site.archives.latchSick('another node’s fsync failed')
    },
  })
  const medium = await approveMedium(site)
  const run = await worker.sync()
  assert.equal(run.stoppedBy?.code, 'DISK_SICK')
  await assertKept(site, medium)
  const item = await itemOf(site, medium.mediaId)
  assert.deepEqual([item.state, item.attempts, item.lease_owner], ['publishing', 0, null])
  assert.equal((await worker.reconcile()).recorded, 0)

  await acceptVolume({ ...worker.parts, fileSystem: 'disk' })
  await expireLeases(site)
  assert.equal((await worker.reconcile()).recorded, 1)
  await assertArchived(site, medium)
})
