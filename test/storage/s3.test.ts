import assert from 'node:assert/strict'
import { once } from 'node:events'
import { type AddressInfo, createServer, type Socket } from 'node:net'
import { type TestContext, test } from 'node:test'
import { inspect } from 'node:util'
import type { Fault, SeenRequest } from '../../src/demo/bucket.ts'
import { type ErrorCode, isAppError } from '../../src/errors.ts'
import type { Bucket } from '../../src/storage/bucket.ts'
import { openS3, type S3Options } from '../../src/storage/s3.ts'
import { afterwards } from '../support/afterwards.ts'
import { bytesOf } from '../support/bodies.ts'
import { closed, coded, type DemoBucket, openedS3, withDemoBucket } from '../support/demo-bucket.ts'

interface Faulty extends DemoBucket {
  bucket: Bucket
  etag: string
}

const BYTES = Buffer.alloc(1_000_000, 'strongroom')

/** A bucket with the object `a`; from then on `fault` meets every request it wants. */
async function faulty(
  t: TestContext,
  fault: (request: SeenRequest) => Fault | undefined,
  options: S3Options = {},
): Promise<Faulty> {
  let armed = false
  const demo = await withDemoBucket(t, {
    onRequest: (request) => (armed ? fault(request) : undefined),
  })
  const { etag } = await demo.admin.put('a', BYTES)
  armed = true
  return { ...demo, etag, bucket: openedS3(t, demo.config, options) }
}

const on = (operation: SeenRequest['operation'], fault: Fault) => (request: SeenRequest) =>
  request.operation === operation ? fault : undefined

/** A server that says `text` to whatever it is asked, and then nothing. */
async function withTalker(t: TestContext, text: string): Promise<string> {
  const server = createServer((socket) => {
    socket.on('error', () => {}) // the client gives up, as it should
    socket.once('data', () => socket.write(text))
  })
  const sockets = new Set<Socket>()
  server.on('connection', (socket) => sockets.add(socket))
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  afterwards(t, async () => {
    for (const socket of sockets) socket.destroy()
    server.close()
    await once(server, 'close')
  })
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`
}

const access = { region: 'auto', bucket: 'media', accessKey: 'demo-key', secretKey: 'demo-secret' }

for (const afterBytes of [0, 1, 65_536, 999_999]) {
  test(`a body that goes mute after ${afterBytes} bytes is given up as stalled`, async (t) => {
    const stall = on('GetObject', { kind: 'stall', afterBytes })
    const { bucket, etag } = await faulty(t, stall, { stallMs: 60 })
    const { body } = await bucket.get('a', { ifMatch: etag })
    await assert.rejects(bytesOf(body), coded('TRANSFER_STALLED'))
  })

  for (const kind of ['reset', 'truncate'] as const) {
    test(`a body cut off by ${kind} after ${afterBytes} bytes is broken`, async (t) => {
      const { bucket, etag } = await faulty(t, on('GetObject', { kind, afterBytes }))
      const { body } = await bucket.get('a', { ifMatch: etag })
      await assert.rejects(bytesOf(body), coded('TRANSFER_BROKEN'))
    })
  }
}

test('a stalled body that is aborted counts as cancelled', async (t) => {
  const { bucket, etag } = await faulty(t, on('GetObject', { kind: 'stall', afterBytes: 10 }))
  const stop = new AbortController()
  const { body } = await bucket.get('a', { ifMatch: etag, signal: stop.signal })
  const reading = body.drain({ take: () => void stop.abort() })
  await assert.rejects(reading, coded('CANCELLED'))
})

const otherThanAsked: [what: string, fault: Fault][] = [
  ['the whole object', { kind: 'whole' }],
  ['an earlier range', contentRange('bytes 399999-999998/1000000')],
  ['a shorter range', contentRange('bytes 400000-999998/1000000')],
  ['a range of a larger object', contentRange('bytes 400000-999999/1000001')],
  ['a range of an object of unknown size', contentRange('bytes 400000-999999/*')],
  ['several ranges', contentRange('multipart/byteranges')],
  ['a refusal of all ranges', { kind: 'answer', status: 501, code: 'NotImplemented' }],
  ['a refusal of this range', { kind: 'answer', status: 416, code: 'InvalidRange' }],
]
for (const [what, fault] of otherThanAsked) {
  test(`a store that answers a range with ${what} gives the whole object and says so`, async (t) => {
    const { bucket, etag } = await faulty(t, ({ headers }) => (headers.range ? fault : undefined))
    const { body, ...head } = await bucket.get('a', { ifMatch: etag, from: 400_000 })
    assert.deepEqual(head, { sizeBytes: BYTES.length, from: 0, etag })
    assert.ok((await bytesOf(body)).equals(BYTES))
  })
}

function contentRange(value: string): Fault {
  return { kind: 'headers', headers: { 'content-range': value } }
}

test('a range of another version is not passed off by a store that ignores If-Match', async (t) => {
  const { bucket, etag } = await faulty(
    t,
    on('GetObject', { kind: 'headers', headers: { ETag: '"other"' } }),
  )
  const rest = bucket.get('a', { ifMatch: etag, from: 400_000 })
  await assert.rejects(rest, coded('OBJECT_CHANGED'))
})

for (const kind of ['reset', 'truncate'] as const) {
  test(`the rest of an object cut off by ${kind} is broken`, async (t) => {
    const { bucket, etag } = await faulty(t, on('GetObject', { kind, afterBytes: 65_536 }))
    const { body } = await bucket.get('a', { ifMatch: etag, from: 400_000 })
    await assert.rejects(bytesOf(body), coded('TRANSFER_BROKEN'))
  })
}

for (const from of [3, 5]) {
  test(`a sound range from byte ${from} is not passed off as the one from byte 4`, async (t) => {
    const body = 'strongroom'.slice(from)
    const head = `HTTP/1.1 206 OK\r\nETag: "x"\r\nContent-Length: ${body.length}\r\nContent-Range: bytes ${from}-9/10`
    const endpoint = await withTalker(t, `${head}\r\n\r\n${body}`)
    const rest = openedS3(t, { ...access, endpoint }).get('a', { ifMatch: 'x', from: 4 })
    await assert.rejects(rest, coded('BUCKET_UNAVAILABLE'))
  })
}

test('a part where the whole object was asked for is not begun', async (t) => {
  const text =
    'HTTP/1.1 206 OK\r\nETag: "x"\r\nContent-Length: 1\r\nContent-Range: bytes 0-0/1\r\n\r\na'
  const bucket = openedS3(t, { ...access, endpoint: await withTalker(t, text) })
  await assert.rejects(bucket.get('a', { ifMatch: 'x' }), coded('BUCKET_UNAVAILABLE'))
})

const everyVerb: [string, (bucket: Bucket) => Promise<unknown>][] = [
  ['head', (bucket) => bucket.head('a')],
  ['get', (bucket) => bucket.get('a', { ifMatch: 'x' })],
  ['partBytes', (bucket) => bucket.partBytes('a', 'x-2')],
  ['delete', (bucket) => bucket.delete('a')],
  ['put', (bucket) => bucket.put('b', Buffer.from('b'))],
  ['list', (bucket) => bucket.list()],
  ['check', (bucket) => bucket.check()],
]

const forAll: [status: number, code: string, means: ErrorCode][] = [
  [500, 'InternalError', 'BUCKET_UNAVAILABLE'],
  [502, 'BadGateway', 'BUCKET_UNAVAILABLE'],
  [503, 'ServiceUnavailable', 'BUCKET_UNAVAILABLE'],
  [504, 'GatewayTimeout', 'BUCKET_UNAVAILABLE'],
  [429, 'TooManyRequests', 'BUCKET_THROTTLED'],
  [401, 'Unauthorized', 'BUCKET_DENIED'],
  [403, 'SignatureDoesNotMatch', 'BUCKET_DENIED'],
  [403, 'InvalidAccessKeyId', 'BUCKET_DENIED'],
  [403, 'AccessDenied', 'BUCKET_DENIED'],
  [403, 'RequestTimeTooSkewed', 'BUCKET_UNAVAILABLE'],
  [404, 'NoSuchBucket', 'BUCKET_MISSING'],
]

for (const [status, word, means] of forAll) {
  test(`${status} ${word} to every request means ${means}, and each is sent once`, async (t) => {
    const { bucket, server } = await faulty(t, () => ({ kind: 'answer', status, code: word }))
    for (const [name, call] of everyVerb) {
      const before = server.requests.length
      await assert.rejects(call(bucket), coded(means), name)
      const sent = server.requests.slice(before)
      assert.equal(sent.filter(({ key }) => key !== null).length, sent[0]?.key === null ? 0 : 1)
    }
  })
}

const forOneKey: [status: number, code: string, call: string, means: ErrorCode][] = [
  [403, 'AccessDenied', 'head', 'OBJECT_DENIED'],
  [403, 'AccessDenied', 'get', 'OBJECT_DENIED'],
  [403, 'AccessDenied', 'delete', 'OBJECT_DENIED'],
  [400, 'InvalidRequest', 'get', 'OBJECT_DENIED'],
  [403, 'ObjectLockedByBucketPolicy', 'delete', 'OBJECT_LOCKED'],
  [409, 'ObjectLockedByBucketPolicy', 'delete', 'OBJECT_LOCKED'],
  [404, 'NoSuchKey', 'get', 'OBJECT_MISSING'],
  [412, 'PreconditionFailed', 'get', 'OBJECT_CHANGED'],
  [503, 'SlowDown', 'get', 'BUCKET_THROTTLED'],
]

for (const [status, word, name, means] of forOneKey) {
  test(`${status} ${word} to ${name} in a bucket that answers means ${means}`, async (t) => {
    const fault = { kind: 'answer', status, code: word } as const
    const { bucket } = await faulty(t, ({ key }) => (key === null ? undefined : fault))
    const call = everyVerb.find(([verb]) => verb === name)?.[1]
    await assert.rejects(call?.(bucket) ?? Promise.resolve(), coded(means))
  })
}

const toCondition: [status: number, code: string, outcome: string][] = [
  [412, 'PreconditionFailed', 'changed'],
  [400, 'InvalidArgument', 'refused'],
  [405, 'MethodNotAllowed', 'refused'],
  [409, 'ConditionalRequestConflict', 'refused'],
  [409, 'OperationAborted', 'refused'],
  [501, 'NotImplemented', 'refused'],
  [400, 'AuthorizationHeaderMalformed', 'BUCKET_DENIED'],
  [401, 'Unauthorized', 'BUCKET_DENIED'],
  [403, 'AccessDenied', 'OBJECT_DENIED'],
  [404, 'NoSuchKey', 'gone'],
  [408, 'RequestTimeout', 'BUCKET_UNAVAILABLE'],
  [409, 'ObjectLockedByBucketPolicy', 'OBJECT_LOCKED'],
  [429, 'TooManyRequests', 'BUCKET_THROTTLED'],
  [500, 'InternalError', 'BUCKET_UNAVAILABLE'],
]

for (const [status, word, outcome] of toCondition) {
  test(`${status} ${word} to a DELETE with a condition means ${outcome}`, async (t) => {
    const fault = { kind: 'answer', status, code: word } as const
    const { bucket, etag } = await faulty(t, on('DeleteObject', fault))
    const asked = bucket.delete('a', { ifMatch: etag })
    assert.equal(await asked.catch((error) => isAppError(error) && error.code), outcome)
    if (outcome === 'refused') await assert.rejects(bucket.delete('a'), isAppError)
  })
}

test('a 404 to head is no missing object while the bucket does not answer', async (t) => {
  const { bucket } = await faulty(t, ({ key }) => ({
    kind: 'answer',
    ...(key === null ? { status: 503, code: 'ServiceUnavailable' } : { status: 404, code: 'x' }),
  }))
  await assert.rejects(bucket.head('a'), coded('BUCKET_UNAVAILABLE'))
})

test('an answer to DELETE that is lost leaves the outcome open, and it is not sent again', async (t) => {
  const { bucket, server, admin } = await faulty(t, on('DeleteObject', { kind: 'lose-answer' }))
  await assert.rejects(bucket.delete('a'), coded('BUCKET_UNAVAILABLE'))
  assert.deepEqual(await admin.list(), [])
  assert.equal(server.requests.filter(({ method }) => method === 'DELETE').length, 1)
})

test('a connection that is dropped before any answer means that the bucket is down', async (t) => {
  const { bucket } = await faulty(t, () => ({ kind: 'drop' }))
  for (const [name, call] of everyVerb) {
    await assert.rejects(call(bucket), coded('BUCKET_UNAVAILABLE'), name)
  }
})

test('a server that never answers is given up at the deadline', async (t) => {
  const mute: Fault = { kind: 'delay', until: new Promise(() => {}) }
  const { bucket } = await faulty(t, () => mute, { requestTimeoutMs: 50 })
  for (const [name, call] of everyVerb) {
    await assert.rejects(call(bucket), coded('BUCKET_UNAVAILABLE'), name)
  }
})

test('a DELETE with a deadline of its own is broken off there, and its socket is gone', async (t) => {
  const mute: Fault = { kind: 'delay', until: new Promise(() => {}) }
  const { bucket } = await faulty(t, on('DeleteObject', mute), { requestTimeoutMs: 1_000_000 })
  await assert.rejects(bucket.delete('a', { withinMs: 50 }), coded('BUCKET_UNAVAILABLE'))
  await closed(bucket)
})

test('the deadline ends with the headers: a long download may take longer', async (t) => {
  const { bucket, etag } = await faulty(t, () => undefined, { stallMs: 1_000_000 })
  t.mock.timers.enable({ apis: ['setTimeout'] })
  const { body } = await bucket.get('a', { ifMatch: etag })
  t.mock.timers.tick(500_000)
  assert.equal((await bytesOf(body)).length, BYTES.length)
})

test('an error whose own body goes mute is given up at the deadline', async (t) => {
  const endpoint = await withTalker(t, 'HTTP/1.1 500 Oops\r\nContent-Length: 100\r\n\r\n<Err')
  const bucket = openedS3(t, { ...access, endpoint }, { requestTimeoutMs: 50 })
  await assert.rejects(bucket.get('a', { ifMatch: 'x' }), coded('BUCKET_UNAVAILABLE'))
})

test('a request that waits for its answer can be cancelled', async (t) => {
  const stop = new AbortController()
  const { bucket } = await faulty(t, () => {
    stop.abort()
    return { kind: 'delay', until: new Promise(() => {}) }
  })
  await assert.rejects(bucket.head('a', stop.signal), coded('CANCELLED'))
})

const unreachable: [endpoint: string, about: RegExp][] = [
  ['http://127.0.0.1:1', /ECONNREFUSED/],
  ['http://no-such-host.invalid', /ENOTFOUND|EAI_AGAIN/],
]
for (const [endpoint, about] of unreachable) {
  test(`nobody at ${endpoint} means that the bucket is down`, async (t) => {
    const bucket = openedS3(t, { ...access, endpoint })
    await assert.rejects(bucket.check(), (error) => {
      assert.ok(isAppError(error, 'BUCKET_UNAVAILABLE'), inspect(error))
      assert.match(error.message, about)
      assert.ok(error.hint)
      return true
    })
  })
}

test('https to a port that speaks http is explained', async (t) => {
  const { config } = await withDemoBucket(t)
  const endpoint = config.endpoint.replace('http:', 'https:')
  const bucket = openedS3(t, { ...config, endpoint })
  await assert.rejects(bucket.check(), (error) => {
    assert.ok(isAppError(error, 'BUCKET_UNAVAILABLE'), inspect(error))
    assert.match(String(error.hint), /https:\/\//)
    return true
  })
})

test('a wrong clock is named as the cause', async (t) => {
  const clock = () => new Date(Date.now() + 20 * 60_000)
  const { config } = await withDemoBucket(t, { clock })
  await assert.rejects(openedS3(t, config).check(), (error) => {
    assert.ok(isAppError(error, 'BUCKET_UNAVAILABLE'), inspect(error))
    assert.match(String(error.hint), /clock/)
    return true
  })
})

for (const [name, call] of everyVerb) {
  test(`a page that some portal answers with is no answer to ${name}`, async (t) => {
    const page = '<html><body>Please log in</body></html>'
    const { bucket } = await faulty(t, () => ({
      kind: 'answer',
      status: 200,
      code: '',
      text: page,
    }))
    if (name === 'partBytes') assert.equal(await call(bucket), null)
    else await assert.rejects(call(bucket), coded('BUCKET_UNAVAILABLE'))
  })
}

test('a store that ignores If-Match does not pass another version off', async (t) => {
  const body = 'other bytes'
  const head = `HTTP/1.1 200 OK\r\nETag: "other"\r\nContent-Length: ${body.length}\r\n\r\n`
  const bucket = openedS3(t, { ...access, endpoint: await withTalker(t, head + body) })
  await assert.rejects(bucket.get('a', { ifMatch: 'expected' }), coded('OBJECT_CHANGED'))
})

test('a download asks for its version, so that a store that can refuses another', async (t) => {
  const { bucket, server } = await faulty(t, () => undefined)
  await assert.rejects(bucket.get('a', { ifMatch: 'expected' }), coded('OBJECT_CHANGED'))
  const { status, headers } = server.requests.at(-1) ?? {}
  assert.deepEqual([status, headers?.['if-match']], [412, '"expected"'])
})

test('a download without a length is not begun', async (t) => {
  const text = 'HTTP/1.1 200 OK\r\nETag: "x"\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n'
  const endpoint = await withTalker(t, text)
  const bucket = openedS3(t, { ...access, endpoint })
  await assert.rejects(bucket.get('a', { ifMatch: 'x' }), coded('BUCKET_UNAVAILABLE'))
})

test('a store that refuses to be asked for checksums is asked without', async (t) => {
  const { bucket, server } = await faulty(t, ({ headers }) =>
    headers['x-amz-checksum-mode'] === undefined
      ? undefined
      : { kind: 'answer', status: 501, code: 'NotImplemented' },
  )
  assert.equal((await bucket.head('a'))?.crc64nvme, null)
  assert.equal((await bucket.head('a'))?.sizeBytes, BYTES.length)
  const asked = server.requests.filter(({ headers }) => headers['x-amz-checksum-mode'])
  assert.equal(asked.length, 1)
})

test('a composite checksum is not taken for one of the whole object', async (t) => {
  const composite = { 'x-amz-checksum-crc64nvme': 'AAAAAAAAAAA=-3' }
  const typed = { 'x-amz-checksum-type': 'COMPOSITE' }
  for (const headers of [composite, typed]) {
    const { bucket } = await faulty(t, on('HeadObject', { kind: 'headers', headers }))
    assert.equal((await bucket.head('a'))?.crc64nvme, null)
  }
})

const implausible: [what: string, headers: Record<string, string>][] = [
  ['another count of parts', { 'x-amz-mp-parts-count': '3' }],
  ['a total that the parts cannot make up', { 'content-range': 'bytes 0-9/21' }],
  ['a total that one part less makes up', { 'content-range': 'bytes 0-9/10' }],
  ['another ETag', { ETag: '"other-2"' }],
]
for (const [what, headers] of implausible) {
  test(`a part size that comes with ${what} is not believed`, async (t) => {
    let extra = {}
    const { admin, config } = await withDemoBucket(t, {
      minPartBytes: 1,
      onRequest: ({ query }) =>
        query.get('partNumber') === '1' && !query.has('uploadId')
          ? { kind: 'headers', headers: extra }
          : undefined,
    })
    const { etag } = await admin.putMultipart('m', [Buffer.alloc(10), Buffer.alloc(10)])
    const bucket = openedS3(t, config)
    assert.equal(await bucket.partBytes('m', etag), 10)
    extra = headers
    assert.equal(await bucket.partBytes('m', etag), null)
  })
}

test('no error shows the secret key or a signature', async (t) => {
  const faults: Fault[] = [
    { kind: 'drop' },
    { kind: 'answer', status: 403, code: 'AccessDenied' },
    { kind: 'answer', status: 500, code: 'InternalError' },
    { kind: 'answer', status: 200, code: '', text: '<html></html>' },
  ]
  for (const fault of faults) {
    const { bucket, config } = await faulty(t, () => fault)
    const error = await bucket.check().catch((error: unknown) => error)
    const text = inspect(error, { depth: 20 })
    assert.doesNotMatch(text, new RegExp(`${config.secretKey}|Signature=[0-9a-f]`))
  }
})

test('a bucket is identified by endpoint and name, never by a credential', () => {
  const bucket = openS3({ ...access, endpoint: 'https://user:pass@S3.example/base/' })
  assert.equal(bucket.id, 'https://s3.example/base/media')
  assert.equal(bucket.name, 'media')
  bucket.close()
})

test('no more sockets are open than allowed', async (t) => {
  const { config, admin } = await withDemoBucket(t)
  const { etag } = await admin.put('a', BYTES)
  const bucket = openedS3(t, config, { maxSockets: 2 })
  const bodies = Array.from({ length: 8 }, async () => {
    const { body } = await bucket.get('a', { ifMatch: etag })
    assert.ok(bucket.openSockets() <= 2)
    return (await bytesOf(body)).equals(BYTES)
  })
  assert.deepEqual(
    await Promise.all(bodies),
    Array.from({ length: 8 }, () => true),
  )
})
