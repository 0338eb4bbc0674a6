import assert from 'node:assert/strict'
import { createHash, randomBytes } from 'node:crypto'
import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises'
import { request as httpRequest, type IncomingMessage } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import {
  AbortMultipartUploadCommand,
  CompleteMultipartUploadCommand,
  CopyObjectCommand,
  CreateMultipartUploadCommand,
  DeleteObjectCommand,
  GetBucketAclCommand,
  GetObjectCommand,
  type GetObjectCommandInput,
  HeadObjectCommand,
  ListObjectsV2Command,
  PutObjectCommand,
  UploadPartCommand,
} from '@aws-sdk/client-s3'
import fc from 'fast-check'
import type { Fault, VirtualObject } from '../../src/demo/bucket.ts'
import { afterwards } from '../support/afterwards.ts'
import { bytesOf } from '../support/bodies.ts'
import { coded, openedS3, withDemoBucket } from '../support/demo-bucket.ts'

const md5 = (bytes: Uint8Array | string) => createHash('md5').update(bytes).digest('hex')
const target = { Bucket: 'media', Key: 'a' }

/** For assert.rejects: the SDK's error of this status and, where there is a body, this code. */
const answered = (status: number, word?: string) => (error: unknown) => {
  const { name, $metadata } = error as { name: string; $metadata?: { httpStatusCode?: number } }
  assert.equal($metadata?.httpStatusCode, status, String(error))
  if (word !== undefined) assert.equal(name, word)
  return true
}

const TEN = '0123456789'
const ranges: [range: string, bytes: string, contentRange: string | undefined][] = [
  ['bytes=0-0', '0', 'bytes 0-0/10'],
  ['bytes=3-5', '345', 'bytes 3-5/10'],
  ['bytes=7-', '789', 'bytes 7-9/10'],
  ['bytes=7-99', '789', 'bytes 7-9/10'],
  ['bytes=-3', '789', 'bytes 7-9/10'],
  ['bytes=-99', TEN, 'bytes 0-9/10'],
  ['bytes=5-3', TEN, undefined],
  ['bytes=-', TEN, undefined],
  ['bytes=0-1,3-4', TEN, undefined],
  ['lines=1-2', TEN, undefined],
]
for (const [Range, bytes, contentRange] of ranges) {
  test(`range ${Range} of ten bytes gives ${bytes}`, async (t) => {
    const { admin } = await withDemoBucket(t)
    await admin.put('a', TEN)
    const output = await admin.client.send(new GetObjectCommand({ ...target, Range }))
    assert.equal(await output.Body?.transformToString(), bytes)
    assert.equal(output.ContentRange, contentRange)
    assert.equal(output.$metadata.httpStatusCode, contentRange === undefined ? 200 : 206)
  })
}

test('a range outside the object is not satisfiable', async (t) => {
  const { admin } = await withDemoBucket(t)
  await admin.put('a', TEN)
  await admin.put('empty', '')
  const get = (Key: string, Range: string) =>
    admin.client.send(new GetObjectCommand({ Bucket: 'media', Key, Range }))
  await assert.rejects(get('a', 'bytes=10-'), answered(416, 'InvalidRange'))
  await assert.rejects(get('a', 'bytes=-0'), answered(416, 'InvalidRange'))
  await assert.rejects(get('empty', 'bytes=0-'), answered(416, 'InvalidRange'))
})

const etag = `"${md5(TEN)}"`
const MODIFIED = new Date('2026-01-02T03:04:05Z')
const before = new Date('2026-01-02T03:04:04Z')
const conditions: [Partial<GetObjectCommandInput>, status: number][] = [
  [{ IfMatch: etag }, 200],
  [{ IfMatch: '*' }, 200],
  [{ IfMatch: `"x", ${etag}` }, 200],
  [{ IfMatch: '"x"' }, 412],
  [{ IfMatch: `W/${etag}` }, 412],
  [{ IfNoneMatch: etag }, 304],
  [{ IfNoneMatch: `W/${etag}` }, 304],
  [{ IfNoneMatch: '*' }, 304],
  [{ IfNoneMatch: '"x"' }, 200],
  [{ IfUnmodifiedSince: before }, 412],
  [{ IfUnmodifiedSince: MODIFIED }, 200],
  [{ IfMatch: etag, IfUnmodifiedSince: before }, 200],
  [{ IfModifiedSince: MODIFIED }, 304],
  [{ IfModifiedSince: before }, 200],
  [{ IfNoneMatch: '"x"', IfModifiedSince: MODIFIED }, 200],
  [{ IfMatch: '"x"', IfNoneMatch: etag }, 412],
]
for (const [given, status] of conditions) {
  test(`GET and HEAD with ${JSON.stringify(given)} answer ${status}`, async (t) => {
    const { admin, server } = await withDemoBucket(t)
    await admin.put('a', TEN)
    server.setLastModified('a', MODIFIED)
    for (const Command of [GetObjectCommand, HeadObjectCommand]) {
      const sent = admin.client
        .send(new Command({ ...target, ...given }) as GetObjectCommand)
        .then(async (output) => {
          await output.Body?.transformToByteArray()
          return output
        })
      if (status === 200) await sent
      else await assert.rejects(sent, answered(status))
    }
  })
}

test('PUT holds to If-None-Match and If-Match', async (t) => {
  const { admin } = await withDemoBucket(t)
  const { etag } = await admin.put('a', '1', { IfNoneMatch: '*' })
  await assert.rejects(admin.put('a', '2', { IfNoneMatch: '*' }), answered(412))
  await assert.rejects(admin.put('a', '2', { IfMatch: '"x"' }), answered(412))
  await assert.rejects(admin.put('b', '2', { IfMatch: '"x"' }), answered(412))
  await admin.put('a', '2', { IfMatch: `"${etag}"` })
})

test('of many PUTs that want to be the first, exactly one is', async (t) => {
  const { admin } = await withDemoBucket(t)
  const tries = Array.from({ length: 10 }, (_, n) => admin.put('a', `${n}`, { IfNoneMatch: '*' }))
  const done = await Promise.allSettled(tries)
  assert.equal(done.filter(({ status }) => status === 'fulfilled').length, 1)
})

test('DELETE ignores If-Match and is fine with a missing object', async (t) => {
  const { admin } = await withDemoBucket(t)
  await admin.put('a', TEN)
  const remove = new DeleteObjectCommand({ ...target, IfMatch: '"x"' })
  assert.equal((await admin.client.send(remove)).$metadata.httpStatusCode, 204)
  assert.equal((await admin.client.send(remove)).$metadata.httpStatusCode, 204)
  assert.deepEqual(await admin.list(), [])
})

const wrongDigests = [
  { ContentMD5: 'AAAAAAAAAAAAAAAAAAAAAA==' },
  { ChecksumSHA256: 'AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=' },
  { ChecksumSHA1: 'AAAAAAAAAAAAAAAAAAAAAAAAAAA=' },
  { ChecksumCRC32: 'AAAAAA==' },
  { ChecksumCRC64NVME: 'AAAAAAAAAAA=' },
]
for (const digest of wrongDigests) {
  test(`a body that contradicts ${Object.keys(digest)[0]} is not stored`, async (t) => {
    const { admin, dir } = await withDemoBucket(t)
    const put = new PutObjectCommand({ ...target, Body: Buffer.from(TEN), ...digest })
    await assert.rejects(admin.client.send(put), answered(400, 'BadDigest'))
    assert.deepEqual(await admin.list(), [])
    assert.deepEqual(await readdir(join(dir, 'objects')), [])
  })
}

test('what comes with an upload comes back with the object', async (t) => {
  const { admin } = await withDemoBucket(t)
  const Metadata = { owner: 'someone' }
  const more = { ContentType: 'video/mp4', CacheControl: 'no-cache', Metadata }
  await admin.client.send(new PutObjectCommand({ ...target, Body: Buffer.from(TEN), ...more }))
  const head = await admin.client.send(new HeadObjectCommand(target))
  assert.equal(head.ContentType, 'video/mp4')
  assert.equal(head.CacheControl, 'no-cache')
  assert.deepEqual(head.Metadata, Metadata)
})

test('a listing is paged and grouped by a delimiter', async (t) => {
  const { admin } = await withDemoBucket(t)
  for (const key of ['a', 'b/1', 'b/2', 'c/1', 'd']) await admin.put(key, key)
  const pages: string[][] = []
  let ContinuationToken: string | undefined
  do {
    const more = ContinuationToken === undefined ? {} : { ContinuationToken }
    const page = await admin.client.send(
      new ListObjectsV2Command({ Bucket: 'media', Delimiter: '/', MaxKeys: 2, ...more }),
    )
    const prefixes = (page.CommonPrefixes ?? []).map(({ Prefix }) => Prefix ?? '')
    pages.push([...(page.Contents ?? []).map(({ Key }) => Key ?? ''), ...prefixes])
    ContinuationToken = page.NextContinuationToken
  } while (ContinuationToken !== undefined)
  assert.deepEqual(pages, [
    ['a', 'b/'],
    ['d', 'c/'],
  ])
})

test('a multipart upload is checked when it is completed', async (t) => {
  const { admin } = await withDemoBucket(t)
  const { client } = admin
  const { UploadId } = await client.send(new CreateMultipartUploadCommand(target))
  const part = async (PartNumber: number, Body: Buffer) => {
    const stored = await client.send(
      new UploadPartCommand({ ...target, UploadId, PartNumber, Body }),
    )
    return { PartNumber, ETag: stored.ETag ?? '' }
  }
  const complete = (Parts: { PartNumber: number; ETag: string }[]) =>
    client.send(
      new CompleteMultipartUploadCommand({ ...target, UploadId, MultipartUpload: { Parts } }),
    )
  const small = await part(1, Buffer.alloc(10))
  const last = await part(2, Buffer.alloc(10))
  await assert.rejects(complete([small, last]), answered(400, 'EntityTooSmall'))
  await assert.rejects(complete([last, small]), answered(400, 'InvalidPartOrder'))
  await assert.rejects(complete([{ ...small, ETag: '"x"' }]), answered(400, 'InvalidPart'))
  const big = await part(1, Buffer.alloc(5 << 20))
  await assert.rejects(complete([small, last]), answered(400, 'InvalidPart'))
  await complete([big, last])
  await assert.rejects(complete([big, last]), answered(404, 'NoSuchUpload'))
  assert.deepEqual(await admin.list(), ['a'])
})

test('an aborted multipart upload leaves nothing', async (t) => {
  const { admin, dir } = await withDemoBucket(t)
  const { UploadId } = await admin.client.send(new CreateMultipartUploadCommand(target))
  const Body = Buffer.alloc(10)
  await admin.client.send(new UploadPartCommand({ ...target, UploadId, PartNumber: 1, Body }))
  await admin.client.send(new AbortMultipartUploadCommand({ ...target, UploadId }))
  assert.deepEqual(await readdir(join(dir, 'uploads')), [])
  assert.deepEqual(await readdir(join(dir, 'objects')), [])
})

test('an upload id cannot name a folder of ours', async (t) => {
  const { admin } = await withDemoBucket(t)
  for (const UploadId of ['../objects', '..', 'x'.repeat(36)]) {
    const abort = new AbortMultipartUploadCommand({ ...target, UploadId })
    await assert.rejects(admin.client.send(abort), answered(404, 'NoSuchUpload'))
  }
})

test('what it does not know it says so instead of guessing', async (t) => {
  const { admin } = await withDemoBucket(t)
  await admin.put('a', TEN)
  const copy = new CopyObjectCommand({ ...target, Key: 'b', CopySource: 'media/a' })
  await assert.rejects(admin.client.send(copy), answered(501, 'NotImplemented'))
  const acl = new GetBucketAclCommand({ Bucket: 'media' })
  await assert.rejects(admin.client.send(acl), answered(501, 'NotImplemented'))
  assert.deepEqual(await admin.list(), ['a'])
})

test('objects and open uploads survive a restart, leftovers do not', async (t) => {
  const dir = await mkdtemp(join(tmpdir(), 'strongroom-bucket-'))
  afterwards(t, () => rm(dir, { recursive: true }))
  const first = await withDemoBucket(t, { dir })
  await first.admin.put('a', TEN)
  const upload = await first.admin.client.send(new CreateMultipartUploadCommand(target))
  await writeFile(join(dir, 'objects', `${'0'.repeat(32)}.bin`), 'torn')
  const { admin } = await withDemoBucket(t, { dir })
  const output = await admin.client.send(new GetObjectCommand(target))
  assert.equal(await output.Body?.transformToString(), TEN)
  assert.equal(output.ETag, etag)
  const abort = new AbortMultipartUploadCommand({ ...target, UploadId: upload.UploadId })
  await admin.client.send(abort)
  assert.equal((await readdir(join(dir, 'objects'))).length, 2)
})

test('a reader gets one whole version while the object is replaced again and again', async (t) => {
  const { admin, config } = await withDemoBucket(t)
  const bucket = openedS3(t, config)
  const versions = Array.from({ length: 10 }, () => randomBytes(200_000))
  const known = new Map(versions.map((bytes) => [md5(bytes), bytes]))
  await admin.put('a', versions[0] ?? '')
  let writing = true
  let read = 0
  const reader = async () => {
    while (writing) {
      const facts = await bucket.head('a')
      try {
        const { body, etag } = await bucket.get('a', { ifMatch: facts?.etag ?? '' })
        assert.ok(known.get(etag)?.equals(await bytesOf(body)))
        read++
      } catch (error) {
        coded('OBJECT_CHANGED')(error) // replaced between HEAD and GET
      }
    }
  }
  const readers = [reader(), reader()]
  for (const bytes of versions) await admin.put('a', bytes)
  writing = false
  await Promise.all(readers)
  assert.ok(read > 0)
})

test('an upload that breaks off changes nothing', async (t) => {
  const { admin, config, dir, server } = await withDemoBucket(t)
  await admin.put('a', TEN)
  const stop = new AbortController()
  const { client } = admin
  const slow = async function* () {
    yield Buffer.alloc(1000)
    stop.abort()
    await new Promise(() => {})
  }
  const body = { Body: slow() as never, ContentLength: 5000 }
  const put = client.send(new PutObjectCommand({ ...target, ...body }), {
    abortSignal: stop.signal,
  })
  await assert.rejects(put)
  assert.equal((await openedS3(t, config).head('a'))?.sizeBytes, 10)
  await server.close()
  assert.deepEqual(
    (await readdir(join(dir, 'objects'))).filter((n) => n.endsWith('.bin')).length,
    1,
  )
})

const GIB = 1 << 30
/** Byte n of a virtual object is n modulo 251. */
function made(sizeBytes: number): VirtualObject {
  return {
    sizeBytes,
    etag: 'made-on-the-fly',
    lastModified: MODIFIED,
    read: (offset, length) => Buffer.from(Array.from({ length }, (_, n) => (offset + n) % 251)),
  }
}

test('an object of 8 GiB needs no disk', async (t) => {
  const virtual = new Map([['big', made(8 * GIB)]])
  const { admin, dir } = await withDemoBucket(t, { virtual })
  const big = { Bucket: 'media', Key: 'big' }
  const head = await admin.client.send(new HeadObjectCommand(big))
  assert.deepEqual([head.ContentLength, head.LastModified], [8 * GIB, MODIFIED])
  const Range = `bytes=${8 * GIB - 2}-`
  const tail = await admin.client.send(new GetObjectCommand({ ...big, Range }))
  const expected = [8 * GIB - 2, 8 * GIB - 1].map((n) => n % 251)
  assert.deepEqual([...((await tail.Body?.transformToByteArray()) ?? [])], expected)
  assert.deepEqual(await admin.list(), ['big'])
  await admin.delete('big')
  assert.deepEqual([await admin.list(), virtual.size], [[], 0])
  assert.deepEqual(await readdir(join(dir, 'objects')), [])
})

test('one flipped bit changes one bit', async (t) => {
  const fault: Fault = { kind: 'flip', atByte: 5 }
  const virtual = new Map([['a', made(10)]])
  const { admin } = await withDemoBucket(t, { virtual, onRequest: () => fault })
  const output = await admin.client.send(new GetObjectCommand(target))
  const bytes = (await output.Body?.transformToByteArray()) ?? []
  assert.deepEqual([...bytes], [0, 1, 2, 3, 4, 4, 6, 7, 8, 9])
})

test('a wrong Content-Range is sent as ordered', async (t) => {
  const headers = { 'Content-Range': 'bytes 1-3/10' }
  const { admin } = await withDemoBucket(t, {
    virtual: new Map([['a', made(10)]]),
    onRequest: () => ({ kind: 'headers', headers }),
  })
  const output = await admin.client.send(new GetObjectCommand({ ...target, Range: 'bytes=0-2' }))
  assert.equal(output.ContentRange, 'bytes 1-3/10')
  assert.equal((await output.Body?.transformToByteArray())?.length, 3)
})

test('a delayed request is done when its promise resolves', async (t) => {
  const { promise, resolve } = Promise.withResolvers<void>()
  const arrived = Promise.withResolvers<void>()
  const { admin, server } = await withDemoBucket(t, {
    onRequest: ({ method }) => {
      if (method !== 'PUT') return undefined
      arrived.resolve()
      return { kind: 'delay', until: promise }
    },
  })
  const put = admin.put('a', TEN)
  await arrived.promise
  assert.deepEqual(await admin.list(), [])
  assert.equal(server.requests[0]?.status, null)
  resolve()
  await put
  assert.deepEqual(await admin.list(), ['a'])
})

test('the log tells method, key, status and conditions, never a credential', async (t) => {
  const { server, config } = await withDemoBucket(t)
  const bucket = openedS3(t, config)
  await bucket.put('köy', Buffer.from('x'))
  await bucket.delete('köy', { ifMatch: 'abc' })
  const [put, remove] = server.requests
  assert.deepEqual([put?.method, put?.key, put?.status], ['PUT', 'köy', 200])
  assert.deepEqual([remove?.operation, remove?.status], ['DeleteObject', 204])
  assert.equal(remove?.headers['if-match'], '"abc"')
  assert.doesNotMatch(JSON.stringify(server.requests), /Signature|demo-secret/)
})

test('a port that is in use is named', async (t) => {
  const { server, dir } = await withDemoBucket(t)
  await assert.rejects(withDemoBucket(t, { dir, port: server.port }), coded('PORT_TAKEN'))
})

test('whatever bytes are asked for, the answer is an S3 error and the server lives', async (t) => {
  const { server, admin } = await withDemoBucket(t)
  const piece = fc.string({ unit: fc.constantFrom(...'/%.?&=+aé:;20uploadId'), maxLength: 30 })
  const method = fc.constantFrom('GET', 'HEAD', 'PUT', 'POST', 'DELETE', 'PATCH')
  await fc.assert(
    fc.asyncProperty(method, piece, async (method, text) => {
      const path = `/${encodeURI(text).replace(/%25/g, '%')}`
      const status = await new Promise((resolve, reject) => {
        const asked = httpRequest({ host: '127.0.0.1', port: server.port, method, path })
        asked.on('error', reject)
        asked.on('response', (response: IncomingMessage) => {
          response.resume().on('end', () => resolve(response.statusCode))
        })
        asked.end()
      })
      assert.ok(status === 400 || status === 401, `${method} ${path} was answered ${status}`)
    }),
  )
  await admin.put('a', TEN)
})

test('any key that UTF-8 can spell finds its way back', async (t) => {
  const { config } = await withDemoBucket(t)
  const bucket = openedS3(t, config)
  const key = fc
    .string({ unit: 'binary', minLength: 1, maxLength: 100 })
    .filter((text) => text.isWellFormed() && !text.includes('\0'))
    .map((text) => text.normalize('NFC'))
  await fc.assert(
    fc.asyncProperty(key, async (key) => {
      await bucket.put(key, Buffer.from(key))
      const [listed] = await bucket.list()
      assert.equal(listed?.key, key)
      assert.equal((await bucket.head(key))?.etag, md5(key))
      assert.equal(await bucket.delete(key), 'deleted')
      assert.deepEqual(await bucket.list(), [])
    }),
    { numRuns: 60 },
  )
})
