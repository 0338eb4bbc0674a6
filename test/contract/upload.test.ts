import assert from 'node:assert/strict'
import { describe, type TestContext, test } from 'node:test'
import {
  CreateMultipartUploadCommand,
  GetObjectCommand,
  ListMultipartUploadsCommand,
} from '@aws-sdk/client-s3'
import type { BucketConfig } from '../../src/config.ts'
import type { NewObject, UploadBucket } from '../../src/storage/bucket.ts'
import { openS3ForUploads } from '../../src/storage/s3-upload.ts'
import { afterwards } from '../support/afterwards.ts'
import { closed, coded, withDemoBucket } from '../support/demo-bucket.ts'
import { type BucketAdmin, withBucket } from '../support/s3.ts'

const MIB = 2 ** 20
const PART = 5 * MIB
const never = new AbortController().signal

interface Store {
  name: string
  open(t: TestContext): Promise<{ config: BucketConfig; admin: BucketAdmin }>
  /** Uploads that were begun can be listed. */
  listsUploads: boolean
  /** PutObject is refused where an object is (If-None-Match: *); who asks another store has to look first. */
  honoursConditionalPut: boolean
}

const DEMO: Store = {
  name: 'the demo bucket',
  open: withDemoBucket,
  listsUploads: false,
  honoursConditionalPut: true,
}
const STORES: Store[] = [
  { name: 'Swift', open: withBucket, listsUploads: true, honoursConditionalPut: false },
  DEMO,
]

async function opened(
  t: TestContext,
  store: Store,
): Promise<{ admin: BucketAdmin; bucket: UploadBucket; bytesOf(key: string): Promise<Buffer> }> {
  const { config, admin } = await store.open(t)
  const bucket = openS3ForUploads(config, { partBytes: PART })
  afterwards(t, () => closed(bucket))
  const bytesOf = async (key: string) => {
    const { Body } = await admin.client.send(
      new GetObjectCommand({ Bucket: admin.bucket, Key: key }),
    )
    return Buffer.from((await Body?.transformToByteArray()) ?? [])
  }
  return { admin, bucket, bytesOf }
}

/** Chunks of odd sizes, in one buffer that is used again and again, as the disk gives them. */
function objectOf(bytes: Buffer, breakAfter = Number.POSITIVE_INFINITY): NewObject {
  return {
    sizeBytes: bytes.length,
    async *chunks() {
      const chunk = Buffer.alloc(700_001)
      for (let from = 0; from < bytes.length; from += chunk.length) {
        if (from >= breakAfter) throw new Error('the disk gives no more')
        const length = bytes.copy(chunk, 0, from, from + chunk.length)
        yield chunk.subarray(0, length)
      }
    },
  }
}

async function openUploads(admin: BucketAdmin): Promise<number> {
  const listed = await admin.client.send(new ListMultipartUploadsCommand({ Bucket: admin.bucket }))
  return listed.Uploads?.length ?? 0
}

function patterned(sizeBytes: number): Buffer {
  const bytes = Buffer.alloc(sizeBytes)
  for (let n = 0; n + 4 <= sizeBytes; n += 4) bytes.writeUInt32LE((n * 2_654_435_761) >>> 0, n)
  return bytes
}

for (const store of STORES) {
  describe(`an upload to ${store.name}`, () => {
    for (const [what, sizeBytes] of [
      ['nothing', 0],
      ['a byte', 1],
      ['exactly one part', PART],
      ['a byte more than a part', PART + 1],
      ['exactly two parts', 2 * PART],
      ['many parts', 3 * PART + 12_345],
    ] as const) {
      test(`of ${what} comes back byte by byte, under the ETag that it gave`, async (t) => {
        const { bucket, bytesOf } = await opened(t, store)
        const bytes = patterned(sizeBytes)
        const key = 'a/file with spaces ü.mp4'
        const uploaded = await bucket.upload(key, objectOf(bytes), never)
        assert.ok(uploaded !== 'taken')
        assert.equal((await bucket.head(key))?.etag, uploaded.etag)
        assert.ok((await bytesOf(key)).equals(bytes))
      })
    }

    for (const sizeBytes of store.honoursConditionalPut ? [10, PART + 1] : [PART + 1]) {
      test(`of ${sizeBytes} bytes leaves what lies under its key as it is`, async (t) => {
        const { admin, bucket, bytesOf } = await opened(t, store)
        await admin.put('key', 'somebody wrote this')
        assert.equal(await bucket.upload('key', objectOf(patterned(sizeBytes)), never), 'taken')
        assert.equal((await bytesOf('key')).toString(), 'somebody wrote this')
      })
    }

    test('that breaks off leaves no object and no parts', async (t) => {
      const { admin, bucket } = await opened(t, store)
      const upload = bucket.upload('key', objectOf(patterned(3 * PART), 2 * PART), never)
      await assert.rejects(upload, /the disk gives no more/)
      assert.deepEqual(await admin.list(), [])
      if (store.listsUploads) assert.equal(await openUploads(admin), 0)
    })

    test('that is cancelled leaves no object and no parts', async (t) => {
      const { admin, bucket } = await opened(t, store)
      const stop = new AbortController()
      const object = objectOf(patterned(3 * PART))
      const stopping: NewObject = {
        ...object,
        async *chunks() {
          for await (const chunk of object.chunks()) {
            yield chunk
            stop.abort()
          }
        },
      }
      await assert.rejects(bucket.upload('key', stopping, stop.signal), coded('CANCELLED'))
      assert.deepEqual(await admin.list(), [])
      if (store.listsUploads) assert.equal(await openUploads(admin), 0)
    })

    if (store.listsUploads) {
      test('removes what a dead one of the same key left, and nothing of another key', async (t) => {
        const { admin, bucket } = await opened(t, store)
        for (const Key of ['key', 'key', 'key 2'])
          await admin.client.send(new CreateMultipartUploadCommand({ Bucket: admin.bucket, Key }))
        assert.equal(await openUploads(admin), 3)
        await bucket.upload('key', objectOf(patterned(PART + 1)), never)
        const listed = await admin.client.send(
          new ListMultipartUploadsCommand({ Bucket: admin.bucket }),
        )
        assert.deepEqual(
          listed.Uploads?.map(({ Key }) => Key),
          ['key 2'],
        )
      })
    }
  })
}

test('an upload in parts needs no right to list those that were begun', async (t) => {
  const open = () =>
    withDemoBucket(t, {
      onRequest: ({ key, query }) =>
        key === null && query.has('uploads')
          ? { kind: 'answer', status: 403, code: 'AccessDenied' }
          : undefined,
    })
  const { bucket, bytesOf } = await opened(t, { ...DEMO, open })
  const bytes = patterned(PART + 1)
  assert.notEqual(await bucket.upload('key', objectOf(bytes), never), 'taken')
  assert.ok((await bytesOf('key')).equals(bytes))
})

describe('an upload between whose look and writing somebody wrote under its key', () => {
  for (const [status, code] of [
    [400, 'RequestTimeout'],
    [400, 'BadDigest'],
    [400, 'InvalidArgument'],
    [501, 'NotImplemented'],
  ] as const)
    test(`leaves that as it is, although the store first says ${code}`, async (t) => {
      let refused = 0
      const open = () =>
        withDemoBucket(t, {
          onRequest: ({ operation, headers }) =>
            operation === 'PutObject' && headers['if-none-match'] && refused++ === 0
              ? { kind: 'answer', status, code }
              : undefined,
        })
      const { admin, bucket, bytesOf } = await opened(t, { ...DEMO, open })
      await admin.put('key', 'somebody wrote this')
      assert.equal(await bucket.upload('key', objectOf(patterned(10)), never), 'taken')
      assert.equal((await bytesOf('key')).toString(), 'somebody wrote this')
    })
})
