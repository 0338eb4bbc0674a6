import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import type { Fault, SeenRequest } from '../../src/demo/bucket.ts'
import { coded } from '../support/demo-bucket.ts'
import { approveMedium } from '../support/media-rows.ts'
import type { Scope } from '../support/scopes.ts'
import { openWorker, withSite } from '../support/worker.ts'

/** One archived item that is due, in a bucket that was never asked what it honours. */
async function oneDue(t: Scope) {
  const site = await withSite(t)
  const worker = await openWorker(t, site)
  await approveMedium(site)
  await worker.sync()
  const known = () => site.archives.conditionalDelete(worker.parts.bucket.id)
  return { site, worker, known }
}

const isConditional = ({ operation, headers }: SeenRequest) =>
  operation === 'DeleteObject' && headers['if-match'] !== undefined

const answer = (status: number, code: string): Fault => ({ kind: 'answer', status, code })

describe('a bucket that is asked whether DELETE honours If-Match', { concurrency: 2 }, () => {
  for (const [status, code] of [
    [400, 'InvalidArgument'],
    [405, 'MethodNotAllowed'],
    [409, 'ConditionalRequestConflict'],
    [501, 'NotImplemented'],
  ] as const) {
    test(`and answers ${status} honours none: HEAD and DELETE it is, and no probe is left`, async (t) => {
      const { site, worker, known } = await oneDue(t)
      site.fault = (request) => (isConditional(request) ? answer(status, code) : undefined)
      assert.equal((await worker.release()).released, 1)
      assert.equal(await known(), false)
      assert.deepEqual(await site.admin.list(), [])
    })
  }

  test('and deletes the probe honours none', async (t) => {
    const { site, worker, known } = await oneDue(t)
    assert.equal((await worker.release()).released, 1)
    assert.equal(await known(), false)
    assert.deepEqual(await site.admin.list(), [])
  })

  test('and answers 412 does honour it, and no probe is left', async (t) => {
    const { site, worker, known } = await oneDue(t)
    site.fault = (request) =>
      isConditional(request) && request.key?.startsWith('.strongroom-probe-')
        ? answer(412, 'PreconditionFailed')
        : undefined
    assert.equal((await worker.release()).released, 1)
    assert.equal(await known(), true)
    assert.deepEqual(await site.admin.list(), [])
  })

  test('is asked once, however many sources go at the same time', async (t) => {
    const { site, worker } = await oneDue(t)
    for (let n = 1; n < 5; n++) await approveMedium(site)
    await worker.sync()
    let asked = 0
    site.fault = ({ operation }) => {
      if (operation === 'PutObject') asked += 1
      return undefined
    }
    assert.equal((await worker.release()).released, 5)
    assert.equal(asked, 1)
  })

  test('and is down is asked again another time, and no probe is left', async (t) => {
    const { site, worker, known } = await oneDue(t)
    site.fault = (request) =>
      isConditional(request) ? answer(503, 'ServiceUnavailable') : undefined
    await assert.rejects(worker.release(), coded('BUCKET_UNAVAILABLE'))
    assert.equal(await known(), null)
    assert.equal((await site.admin.list()).length, 1, 'the source and nothing else')
  })

  test('and asks for patience between two writes of a key is given it', async (t) => {
    const { site, worker, known } = await oneDue(t)
    const throttled = new Set<boolean>()
    site.fault = (request) => {
      const { operation, key } = request
      if (operation !== 'DeleteObject' || !key?.startsWith('.strongroom-probe-')) return undefined
      if (throttled.has(isConditional(request))) return undefined
      throttled.add(isConditional(request))
      return answer(429, 'TooManyRequests')
    }
    assert.equal((await worker.release()).released, 1)
    assert.equal(await known(), false)
    assert.equal(throttled.size, 2)
    assert.deepEqual(await site.admin.list(), [])
  })

  test('with a key that may not write is asked for no condition', async (t) => {
    const { site, worker, known } = await oneDue(t)
    site.fault = ({ operation }) =>
      operation === 'PutObject' ? answer(403, 'AccessDenied') : undefined
    assert.equal((await worker.release()).released, 1)
    assert.equal(await known(), false)
    assert.ok(!worker.lines.some(({ message }) => message.includes('probe')), 'there was none')
  })

  test('and keeps the probe is told of by name', async (t) => {
    const { site, worker } = await oneDue(t)
    site.fault = ({ operation, key }) =>
      operation === 'DeleteObject' && key?.startsWith('.strongroom-probe-')
        ? answer(403, 'ObjectLockedByBucketPolicy')
        : undefined
    assert.equal((await worker.release()).released, 1)
    const [probe = ''] = (await site.admin.list()).filter((key) => key.startsWith('.strongroom'))
    const line = worker.lines.find(({ message }) => message.includes('probe'))
    assert.deepEqual([line?.level, line?.key], ['warn', probe])
  })
})
