import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { describe, type TestContext, test } from 'node:test'
import type { BucketConfig } from '../../src/config.ts'
import type { AccessKey } from '../../src/demo/bucket.ts'
import { isAppError } from '../../src/errors.ts'
import type { Bucket } from '../../src/storage/bucket.ts'
import { openS3, type S3Options } from '../../src/storage/s3.ts'
import { afterwards } from '../support/afterwards.ts'
import { bytesOf } from '../support/bodies.ts'
import { closed, coded, withDemoBucket } from '../support/demo-bucket.ts'
import { hostileKeys } from '../support/hostile-keys.ts'
import { type BucketAdmin, withBucket } from '../support/s3.ts'

interface Opened {
  config: BucketConfig
  admin: BucketAdmin
}

/** What the product may meet: where two honest stores differ, and nowhere else. */
interface Store {
  name: string
  open(t: TestContext): Promise<Opened>
  /** Credentials that may only read, where the store has such. */
  readOnlyKey: AccessKey | null
  /** DELETE with If-Match of another version is refused. R2 documents nothing, so the demo ignores it. */
  honoursConditionalDelete: boolean
  /** HEAD gives a CRC-64/NVME of the whole object. */
  givesCrc64: boolean
  /** `HEAD ?partNumber=1` is answered. */
  tellsPartBytes: boolean
  /** Two spellings of one name (NFC, NFD) are one object. */
  nfcEqualKeysAreOne: boolean
}

const READ_ONLY = { accessKey: 'read-key', secretKey: 'read-secret' }

const STORES: Store[] = [
  {
    name: 'Swift',
    open: withBucket,
    readOnlyKey: null,
    honoursConditionalDelete: true,
    givesCrc64: false,
    tellsPartBytes: false,
    nfcEqualKeysAreOne: false,
  },
  {
    name: 'the demo bucket',
    open: (t) => withDemoBucket(t, { readOnlyKey: READ_ONLY }),
    readOnlyKey: READ_ONLY,
    honoursConditionalDelete: false,
    givesCrc64: true,
    tellsPartBytes: true,
    nfcEqualKeysAreOne: true,
  },
]

/** Opens the store's bucket through the product; afterwards no socket may be in use. */
async function opened(
  t: TestContext,
  store: Store,
  options: S3Options = {},
): Promise<Opened & { bucket: Bucket; with(change: Partial<BucketConfig>): Bucket }> {
  const made = await store.open(t)
  const buckets: Bucket[] = []
  const open = (change: Partial<BucketConfig>) => {
    const bucket = openS3({ ...made.config, ...change }, options)
    buckets.push(bucket)
    return bucket
  }
  afterwards(t, async () => {
    for (const bucket of buckets) await closed(bucket)
  })
  return { ...made, bucket: open({}), with: open }
}

async function download(bucket: Bucket, key: string): Promise<Buffer> {
  const facts = await bucket.head(key)
  assert.ok(facts, `no object ${JSON.stringify(key)}`)
  const { body, sizeBytes, etag } = await bucket.get(key, { ifMatch: facts.etag })
  assert.equal(sizeBytes, facts.sizeBytes)
  assert.equal(etag, facts.etag)
  return bytesOf(body)
}

const md5 = (bytes: Uint8Array | string) => createHash('md5').update(bytes).digest('hex')

for (const store of STORES) {
  describe(`a bucket on ${store.name}`, () => {
    test('head tells size, MD5 ETag and time of an object', async (t) => {
      const { bucket, admin } = await opened(t, store)
      const before = Date.now()
      await admin.put('a.mp4', 'twelve bytes')
      const facts = await bucket.head('a.mp4')
      assert.equal(facts?.sizeBytes, 12)
      assert.equal(facts?.etag, md5('twelve bytes'))
      assert.equal(facts?.versionId, null)
      const age = before - (facts?.lastModified.getTime() ?? 0)
      assert.ok(Math.abs(age) < 60_000, `Last-Modified is ${age} ms off`)
    })

    test('head gives a CRC-64/NVME exactly where the store keeps one', async (t) => {
      const { bucket, admin } = await opened(t, store)
      await admin.put('a', '123456789')
      const check = Buffer.from('ae8b14860a799888', 'hex').toString('base64')
      assert.equal((await bucket.head('a'))?.crc64nvme, store.givesCrc64 ? check : null)
    })

    test('get brings the whole object', async (t) => {
      const { bucket, admin } = await opened(t, store)
      const bytes = Buffer.alloc(3_000_001, 'strongroom')
      await admin.put('a', bytes)
      assert.ok((await download(bucket, 'a')).equals(bytes))
    })

    test('an object of no bytes is an object', async (t) => {
      const { bucket, admin } = await opened(t, store)
      await admin.put('empty', '')
      assert.equal((await bucket.head('empty'))?.sizeBytes, 0)
      assert.equal((await download(bucket, 'empty')).length, 0)
    })

    test('get of another version is refused as changed', async (t) => {
      const { bucket, admin } = await opened(t, store)
      const { etag } = await admin.put('a', 'one')
      await admin.put('a', 'two')
      await assert.rejects(bucket.get('a', { ifMatch: etag }), coded('OBJECT_CHANGED'))
    })

    for (const from of [1, 65_536, 2_700_000, 3_000_000]) {
      test(`get from byte ${from} on brings the rest of the very version asked for`, async (t) => {
        const { bucket, admin } = await opened(t, store)
        const bytes = Buffer.alloc(3_000_001, 'strongroom')
        const { etag } = await admin.put('a', bytes)
        const { body, ...head } = await bucket.get('a', { ifMatch: etag, from })
        assert.deepEqual(head, { sizeBytes: bytes.length, from, etag })
        assert.ok((await bytesOf(body)).equals(bytes.subarray(from)))
        await admin.put('a', 'replaced')
        await assert.rejects(bucket.get('a', { ifMatch: etag, from }), coded('OBJECT_CHANGED'))
        await admin.delete('a')
        await assert.rejects(bucket.get('a', { ifMatch: etag, from }), coded('OBJECT_MISSING'))
      })
    }

    test('get from the middle of a multipart object brings its rest', async (t) => {
      const { bucket, admin } = await opened(t, store)
      const parts = [Buffer.alloc(5 << 20, 1), Buffer.alloc(5 << 20, 2), Buffer.from('rest')]
      const { etag } = await admin.putMultipart('big', parts)
      const from = (5 << 20) + 12_345
      const { body, ...head } = await bucket.get('big', { ifMatch: etag, from })
      assert.deepEqual(head, { sizeBytes: (10 << 20) + 4, from, etag })
      assert.ok((await bytesOf(body)).equals(Buffer.concat(parts).subarray(from)))
    })

    test('a part is exactly the bytes that were asked for, or nothing', async (t) => {
      const { bucket, admin } = await opened(t, store)
      const { etag } = await admin.put('a', '0123456789')
      for (const [from, to, bytes] of [
        [0, 4, '0123'],
        [3, 4, '3'],
        [4, 10, '456789'],
      ] as const) {
        const part = await bucket.getPart('a', { ifMatch: etag, from, to })
        assert.deepEqual([part?.sizeBytes, part?.from, part?.etag], [10, from, etag])
        assert.equal(part && (await bytesOf(part.body)).toString(), bytes)
      }
      assert.equal(await bucket.getPart('a', { ifMatch: etag, from: 4, to: 11 }), null)
      assert.equal(await bucket.getPart('a', { ifMatch: etag, from: 12, to: 14 }), null)
      const other = bucket.getPart('a', { ifMatch: 'other', from: 0, to: 4 })
      await assert.rejects(other, coded('OBJECT_CHANGED'))
      assert.equal(bucket.openSockets(), 0)
    })

    test('get from beyond the end brings the whole object, which then tells its length', async (t) => {
      const { bucket, admin } = await opened(t, store)
      const { etag } = await admin.put('a', 'short')
      const { body, ...head } = await bucket.get('a', { ifMatch: etag, from: 9 })
      assert.deepEqual(head, { sizeBytes: 5, from: 0, etag })
      assert.equal((await bytesOf(body)).toString(), 'short')
    })

    test('a missing object is null to head, missing to get, gone or deleted to delete', async (t) => {
      const { bucket } = await opened(t, store)
      assert.equal(await bucket.head('nothing'), null)
      await assert.rejects(bucket.get('nothing', { ifMatch: 'x' }), coded('OBJECT_MISSING'))
      assert.match(await bucket.delete('nothing'), /^(deleted|gone)$/)
    })

    test('a missing bucket is never taken for a missing object', async (t) => {
      const stranger = (await opened(t, store)).with({ bucket: 'no-such-bucket-here' })
      await assert.rejects(stranger.head('a'), coded('BUCKET_MISSING'))
      await assert.rejects(stranger.get('a', { ifMatch: 'x' }), coded('BUCKET_MISSING'))
      await assert.rejects(stranger.delete('a'), coded('BUCKET_MISSING'))
      await assert.rejects(stranger.list(), coded('BUCKET_MISSING'))
      await assert.rejects(stranger.check(), (error) => {
        coded('BUCKET_MISSING')(error)
        assert.match(isAppError(error) ? String(error.hint) : '', /\.eu\..*\.fedramp\./)
        return true
      })
    })

    for (const change of [{ secretKey: 'wrong' }, { accessKey: 'test:nobody' }]) {
      test(`a wrong ${Object.keys(change)[0]} is a refusal of the bucket, not of an object`, async (t) => {
        const { admin, with: open } = await opened(t, store)
        await admin.put('a', 'a')
        const stranger = open(change)
        await assert.rejects(stranger.check(), coded('BUCKET_DENIED'))
        await assert.rejects(stranger.head('a'), coded('BUCKET_DENIED'))
        await assert.rejects(stranger.get('a', { ifMatch: md5('a') }), coded('BUCKET_DENIED'))
        await assert.rejects(stranger.delete('a'), coded('BUCKET_DENIED'))
        await assert.rejects(stranger.put('b', Buffer.from('b')), coded('BUCKET_DENIED'))
        assert.deepEqual(await admin.list(), ['a'])
      })
    }

    const { readOnlyKey } = store
    if (readOnlyKey)
      test('a key that may only read is refused the object, not the bucket', async (t) => {
        const { admin, with: open } = await opened(t, store)
        await admin.put('a', 'a')
        const reader = open(readOnlyKey)
        await reader.check()
        assert.equal((await download(reader, 'a')).toString(), 'a')
        await assert.rejects(reader.delete('a'), coded('OBJECT_DENIED'))
        await assert.rejects(reader.put('b', Buffer.from('b')), coded('OBJECT_DENIED'))
        assert.deepEqual(await admin.list(), ['a'])
      })

    test('delete removes the object', async (t) => {
      const { bucket, admin } = await opened(t, store)
      const { etag } = await admin.put('a', 'a')
      assert.equal(await bucket.delete('a'), 'deleted')
      assert.equal(await bucket.head('a'), null)
      await admin.put('a', 'a')
      assert.equal(await bucket.delete('a', { ifMatch: etag }), 'deleted')
      assert.equal(await bucket.head('a'), null)
    })

    test('delete of another version is refused exactly where the store honours it', async (t) => {
      const { bucket, admin } = await opened(t, store)
      await admin.put('a', 'new')
      const outcome = await bucket.delete('a', { ifMatch: md5('old') })
      assert.equal(outcome, store.honoursConditionalDelete ? 'changed' : 'deleted')
      assert.equal((await bucket.head('a')) !== null, store.honoursConditionalDelete)
    })

    test('put stores small bytes and tells their ETag', async (t) => {
      const { bucket } = await opened(t, store)
      assert.deepEqual(await bucket.put('probe', Buffer.from('probe')), { etag: md5('probe') })
      assert.equal((await download(bucket, 'probe')).toString(), 'probe')
    })

    test('list gives keys in the order of their bytes, by prefix and from a point on', async (t) => {
      const { bucket, admin } = await opened(t, store)
      for (const key of ['b', 'a/2', 'a/1', '\u{1f3ac}', '\uff5e']) await admin.put(key, key)
      const keys = async (range?: { prefix?: string; after?: string }) =>
        (await bucket.list(range)).map((object) => object.key)
      assert.deepEqual(await keys(), ['a/1', 'a/2', 'b', '\uff5e', '\u{1f3ac}'])
      assert.deepEqual(await keys({ prefix: 'a/' }), ['a/1', 'a/2'])
      assert.deepEqual(await keys({ after: 'a/2' }), ['b', '\uff5e', '\u{1f3ac}'])
      const [first] = await bucket.list({ prefix: 'b' })
      assert.deepEqual(first, { key: 'b', etag: md5('b'), sizeBytes: 1 })
    })

    test('hostile keys name their own object and no other', async (t) => {
      const { bucket, admin } = await opened(t, store)
      for (const key of hostileKeys) await admin.put(key, key)
      const listed = (await bucket.list()).map((object) => object.key)
      assert.deepEqual(new Set(listed), new Set(hostileKeys))
      for (const key of hostileKeys) {
        assert.equal((await download(bucket, key)).toString(), key)
        assert.equal(await bucket.delete(key), 'deleted')
        assert.equal(await bucket.head(key), null)
      }
      assert.deepEqual(await admin.list(), [])
    })

    test('two spellings of one name are one object exactly where the store says so', async (t) => {
      const { bucket, admin } = await opened(t, store)
      await admin.put('caf\u00e9', 'composed')
      const other = await bucket.head('cafe\u0301')
      assert.equal(other !== null, store.nfcEqualKeysAreOne)
    })

    for (const key of ['', 'nul\0', '\ud800 half a character', 'x'.repeat(1025)]) {
      test(`the impossible key ${JSON.stringify(key.slice(0, 12))} is said to be missing`, async (t) => {
        const { bucket } = await opened(t, store)
        await assert.rejects(bucket.head(key), coded('OBJECT_MISSING'))
        await assert.rejects(bucket.get(key, { ifMatch: 'x' }), coded('OBJECT_MISSING'))
      })
    }

    test('a multipart object has a -N ETag, its bytes, and part sizes where the store tells', async (t) => {
      const { bucket, admin } = await opened(t, store)
      const parts = [Buffer.alloc(5 << 20, 1), Buffer.alloc(5 << 20, 2), Buffer.from('rest')]
      const { etag } = await admin.putMultipart('big', parts)
      const digests = Buffer.concat(parts.map((part) => createHash('md5').update(part).digest()))
      assert.equal(etag, `${md5(digests)}-3`)
      assert.equal((await bucket.head('big'))?.etag, etag)
      assert.equal(await bucket.partBytes('big', etag), store.tellsPartBytes ? 5 << 20 : null)
      assert.ok((await download(bucket, 'big')).equals(Buffer.concat(parts)))
    })

    test('an object that was uploaded whole has no part size', async (t) => {
      const { bucket, admin } = await opened(t, store)
      const { etag } = await admin.put('a', 'a')
      assert.equal(await bucket.partBytes('a', etag), null)
    })

    test('an aborted download ends at once and gives its socket back', async (t) => {
      const { bucket, admin } = await opened(t, store)
      const { etag } = await admin.put('a', Buffer.alloc(20 << 20))
      const stop = new AbortController()
      const { body } = await bucket.get('a', { ifMatch: etag, signal: stop.signal })
      const reading = body.drain({ take: () => void stop.abort() })
      await assert.rejects(reading, coded('CANCELLED'))
    })

    test('a download that nobody wants any more gives its socket back', async (t) => {
      const { bucket, admin } = await opened(t, store)
      const { etag } = await admin.put('a', Buffer.alloc(20 << 20))
      const { body } = await bucket.get('a', { ifMatch: etag })
      assert.equal(bucket.openSockets(), 1)
      body.destroy()
    })

    test('a signal that was given before stops every call before it is sent', async (t) => {
      const { bucket, admin } = await opened(t, store)
      await admin.put('a', 'a')
      const signal = AbortSignal.abort()
      await assert.rejects(bucket.head('a', signal), coded('CANCELLED'))
      await assert.rejects(bucket.get('a', { ifMatch: md5('a'), signal }), coded('CANCELLED'))
      await assert.rejects(bucket.delete('a', { signal }), coded('CANCELLED'))
      await assert.rejects(bucket.check(signal), coded('CANCELLED'))
      assert.deepEqual(await admin.list(), ['a'])
    })
  })
}
