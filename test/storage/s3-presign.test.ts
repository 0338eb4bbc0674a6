import assert from 'node:assert/strict'
import { describe, type TestContext, test } from 'node:test'
import type { BucketConfig } from '../../src/config.ts'
import { presign } from '../../src/storage/s3-presign.ts'
import { withDemoBucket } from '../support/demo-bucket.ts'
import { hostileKeys } from '../support/hostile-keys.ts'
import { type BucketAdmin, withBucket } from '../support/s3.ts'

const base = { method: 'GET', expiresInSeconds: 60, overrides: {} } as const

interface Store {
  name: string
  open(t: TestContext): Promise<{ config: BucketConfig; admin: BucketAdmin }>
}
const STORES: Store[] = [
  { name: 'Swift', open: withBucket },
  { name: 'the demo bucket', open: withDemoBucket },
]

for (const { name, open } of STORES) {
  describe(`a presigned address of ${name}`, () => {
    test('opens its object, and nothing when anything of it is changed', async (t) => {
      const { config, admin } = await open(t)
      const now = new Date()
      await admin.put('a/b c.txt', 'the bytes')
      await admin.put('a/other', 'others')
      const address = presign(config, { ...base, key: 'a/b c.txt', now })
      const found = await fetch(address)
      assert.deepEqual([found.status, await found.text()], [200, 'the bytes'])
      for (const [from, to] of [
        ['b%20c.txt', 'other'],
        ['X-Amz-Expires=60', 'X-Amz-Expires=6000'],
        [/Signature=./, 'Signature=g'],
      ] as const) {
        const refused = await fetch(address.replace(from, to))
        assert.ok([400, 401, 403].includes(refused.status), `${refused.status}`)
        await refused.body?.cancel()
      }
      const deleted = await fetch(address, { method: 'DELETE' })
      assert.ok(deleted.status >= 400)
      await deleted.body?.cancel()
      assert.deepEqual((await admin.list()).sort(), ['a/b c.txt', 'a/other'])
    })

    test('is of one method, and answers ranges', async (t) => {
      const { config, admin } = await open(t)
      const now = new Date()
      await admin.put('k', '0123456789')
      const head = presign(config, { ...base, method: 'HEAD', key: 'k', now })
      const looked = await fetch(head, { method: 'HEAD' })
      assert.deepEqual([looked.status, looked.headers.get('content-length')], [200, '10'])
      const get = presign(config, { ...base, key: 'k', now })
      const part = await fetch(get, { headers: { Range: 'bytes=2-4' } })
      assert.deepEqual([part.status, await part.text()], [206, '234'])
    })

    test('is over when it has expired', async (t) => {
      const { config, admin } = await open(t)
      await admin.put('k', 'x')
      const now = new Date(Date.now() - 61_000)
      const late = await fetch(presign(config, { ...base, key: 'k', now }))
      assert.ok([400, 403].includes(late.status), `${late.status}`)
      await late.body?.cancel()
    })
  })
}

test('a presigned address is signed right whatever the key holds', async (t) => {
  const { config, admin } = await withDemoBucket(t)
  for (const key of hostileKeys) {
    // What `fetch` takes for a dot segment it cleans away before it asks.
    if (/(?:^|\/)\.{1,2}(?:\/|$)/.test(key)) continue
    await admin.put(key, key)
    const found = await fetch(presign(config, { ...base, key, now: new Date() }))
    assert.deepEqual([found.status, await found.text()], [200, key], JSON.stringify(key))
  }
})
