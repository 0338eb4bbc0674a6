import assert from 'node:assert/strict'
import { once } from 'node:events'
import { request as ask, type IncomingMessage } from 'node:http'
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net'
import { describe, type TestContext, test } from 'node:test'
import { setImmediate } from 'node:timers/promises'
import * as tls from 'node:tls'
import fc from 'fast-check'
import type { Body } from '../../src/storage/bucket.ts'
import type { Answer, Peer } from '../../src/storage/http-connection.ts'
import { openPool, type Pool } from '../../src/storage/http-pool.ts'
import { afterwards } from '../support/afterwards.ts'
import { bytesOf } from '../support/bodies.ts'
import { withCertificate } from '../support/certificates.ts'
import { coded } from '../support/demo-bucket.ts'

/** More by hand: FUZZ_ANSWERS=1000000. */
const HOSTILE_ANSWERS = Number(process.env.FUZZ_ANSWERS ?? 10_000)
const never = new AbortController().signal
type Method = 'GET' | 'HEAD'

interface Talker {
  peer: Peer
  /** How many connections were opened. */
  connections: () => number
  sockets: Set<Socket>
}

/** A server that answers each request as it is told to. */
async function withTalker(
  t: TestContext,
  answer: (socket: Socket, request: string) => void,
  { server = createServer(), host = '127.0.0.1' }: { server?: Server; host?: string } = {},
): Promise<Talker> {
  const sockets = new Set<Socket>()
  let connections = 0
  const isTls = server instanceof tls.Server
  server.on(isTls ? 'secureConnection' : 'connection', (socket: Socket) => {
    connections += 1
    sockets.add(socket)
    socket.on('error', () => {}) // the client gives up, as it should
    socket.on('close', () => sockets.delete(socket))
    socket.on('data', (request) => answer(socket, request.toString()))
  })
  server.listen(0, host)
  await once(server, 'listening')
  afterwards(t, async () => {
    for (const socket of sockets) socket.destroy()
    server.close()
    await once(server, 'close')
  })
  const { port } = server.address() as AddressInfo
  const protocol = isTls ? 'https:' : 'http:'
  return { peer: { protocol, hostname: host, port }, connections: () => connections, sockets }
}

function opened(t: TestContext, { peer }: Pick<Talker, 'peer'>): Pool {
  const pool = openPool(peer, 64)
  afterwards(t, () => {
    assert.equal(pool.inUse(), 0, 'a connection is still in use')
    pool.close()
  })
  return pool
}

function read(answer: Answer | null): Promise<Buffer> {
  assert.ok(answer)
  const { lengthBytes } = answer
  assert.ok(lengthBytes !== null)
  const rules = { sizeBytes: lengthBytes, stallMs: 10_000, signal: null, subject: 'the object' }
  return bytesOf(answer.open(rules))
}

const request = (path = '/', method: Method = 'GET') =>
  `${method} ${path} HTTP/1.1\r\nhost: a\r\n\r\n`
const plain = (body: string, more = '') =>
  `HTTP/1.1 200 OK\r\nContent-Length: ${Buffer.byteLength(body)}\r\n${more}\r\n${body}`

describe('a connection to a store', () => {
  test('carries one question after the other', async (t) => {
    const talker = await withTalker(t, (socket, asked) =>
      socket.write(plain(`of ${asked.split(' ')[1]}`)),
    )
    const pool = opened(t, talker)
    for (const path of ['/a', '/b', '/c'])
      assert.equal((await read(await pool.ask(request(path), never))).toString(), `of ${path}`)
    assert.equal(talker.connections(), 1)
  })

  test('carries none after an answer that says close', async (t) => {
    const text = plain('body', 'Connection: close\r\n')
    const talker = await withTalker(t, (socket) => socket.write(text))
    const pool = opened(t, talker)
    for (let n = 1; n <= 2; n++) {
      assert.equal((await read(await pool.ask(request(), never))).toString(), 'body')
      assert.equal(talker.connections(), n)
    }
  })

  test('believes no answer that is longer than it says', async (t) => {
    const talker = await withTalker(t, (socket) => socket.write(`${plain('body')}HTTP/1.1 200 OK`))
    const answer = await opened(t, talker).ask(request(), never)
    await assert.rejects(read(answer), coded('TRANSFER_BROKEN'))
  })

  for (const [what, spoil] of [
    ['is closed', (socket: Socket) => socket.end()],
    ['says something unasked', (socket: Socket) => socket.write('HTTP/1.1 408 Late\r\n\r\n')],
  ] as const) {
    test(`that ${what} between two questions is not used again`, async (t) => {
      const talker = await withTalker(t, (socket) => socket.write(plain('body')))
      const pool = opened(t, talker)
      await read(await pool.ask(request(), never))
      const [idle] = talker.sockets
      assert.ok(idle)
      spoil(idle)
      await once(idle, 'close')
      assert.equal((await read(await pool.ask(request(), never))).toString(), 'body')
      assert.equal(talker.connections(), 2)
    })
  }

  test('whose answer nobody wants is closed, and one that is empty is kept', async (t) => {
    const talker = await withTalker(t, (socket, asked) =>
      socket.write(asked.includes('/empty') ? plain('') : plain('body')),
    )
    const pool = opened(t, talker)
    for (const path of ['/empty', '/empty', '/full', '/full'])
      (await pool.ask(request(path), never))?.drop()
    assert.equal(talker.connections(), 2)
  })

  test('knows that no body follows the answer to HEAD, whatever its length', async (t) => {
    const talker = await withTalker(t, (socket, asked) =>
      socket.write(plain('body').slice(0, asked.startsWith('HEAD') ? -'body'.length : undefined)),
    )
    const pool = opened(t, talker)
    for (const method of ['HEAD', 'HEAD', 'GET', 'HEAD'] as const) {
      const answer = await pool.ask(request('/', method), never)
      assert.equal(answer?.headers['content-length'], '4')
      if (method === 'GET') assert.equal((await read(answer)).toString(), 'body')
      else answer?.drop()
    }
    assert.equal(talker.connections(), 1)
  })

  test('is closed when a body follows the answer to HEAD', async (t) => {
    const talker = await withTalker(t, (socket) => socket.write(plain('HTTP/1.1 200 OK\r\n\r\n')))
    const pool = opened(t, talker)
    for (let n = 1; n <= 2; n++) {
      ;(await pool.ask(request('/', 'HEAD'), never))?.drop()
      assert.equal(talker.connections(), n)
    }
  })

  test('whose head comes byte by byte is understood', async (t) => {
    const talker = await withTalker(t, (socket) => {
      const write = async () => {
        for (const byte of plain('body', 'ETag: "x"\r\n')) {
          socket.write(byte)
          await setImmediate()
        }
      }
      void write()
    })
    const answer = await opened(t, talker).ask(request(), never)
    assert.equal(answer?.headers.etag, '"x"')
    assert.equal((await read(answer)).toString(), 'body')
  })

  test('over TLS wants the certificate of its host from somebody it knows', async (t) => {
    const { ca, key, cert } = await withCertificate(t)
    const body = 'x'.repeat(300_000)
    const serve = (host: string) =>
      withTalker(t, (socket) => socket.write(plain(body)), {
        server: tls.createServer({ key, cert }),
        host,
      })
    const [right, wrong] = [await serve('127.0.0.1'), await serve('127.0.0.2')]
    await assert.rejects(opened(t, right).ask(request(), never), /certificate/)

    const before = tls.getCACertificates('default')
    tls.setDefaultCACertificates([...before, ca])
    afterwards(t, () => tls.setDefaultCACertificates(before))
    for (const hostname of ['127.0.0.1', 'localhost']) {
      const pool = opened(t, { peer: { ...right.peer, hostname } })
      for (let n = 0; n < 2; n++)
        assert.equal((await read(await pool.ask(request(), never))).toString(), body)
    }
    await assert.rejects(opened(t, wrong).ask(request(), never), {
      code: 'ERR_TLS_CERT_ALTNAME_INVALID',
    })
  })
})

/** A server whose certificate is known to everybody until the test ends. */
async function trustedServer(t: TestContext): Promise<Server> {
  const { ca, key, cert } = await withCertificate(t)
  const before = tls.getCACertificates('default')
  tls.setDefaultCACertificates([...before, ca])
  afterwards(t, () => tls.setDefaultCACertificates(before))
  return tls.createServer({ key, cert })
}

for (const protocol of ['http:', 'https:'] as const)
  describe(`a reader that is not ready after each chunk, over ${protocol}`, () => {
    const bytes = Buffer.from(Array.from({ length: 3_000_000 }, (_, at) => (at ^ (at >> 8)) % 251))
    const head = `HTTP/1.1 200 OK\r\nContent-Length: ${bytes.length}\r\n`
    const rules = { sizeBytes: bytes.length, stallMs: 10_000, signal: null, subject: 'it' }
    const bodyOf = async (t: TestContext, { closes = false } = {}): Promise<Body> => {
      const server = protocol === 'http:' ? createServer() : await trustedServer(t)
      const answer = (socket: Socket) => {
        socket.write(`${head}${closes ? 'Connection: close\r\n' : ''}\r\n`)
        if (closes) socket.end(bytes)
        else socket.write(bytes)
      }
      const talker = await withTalker(t, answer, { server })
      const pool = opened(t, { peer: { ...talker.peer, protocol } })
      const answered = await pool.ask(request(), never)
      assert.ok(answered)
      // Whoever asked may look at the head first.
      for (let turn = 0; turn < 5; turn++) await setImmediate()
      return answered.open(rules)
    }

    test('has the memory filled that it lends, and no other', async (t) => {
      const memory = new Uint8Array(new SharedArrayBuffer(bytes.length + 65_536))
      let filled = 0
      let inPlace = 0
      await (await bodyOf(t)).drain({
        room: () => memory.subarray(filled),
        take(chunk) {
          const isInPlace = chunk.buffer === memory.buffer && chunk.byteOffset === filled
          if (isInPlace) inPlace += chunk.byteLength
          else memory.set(chunk, filled)
          filled += chunk.byteLength
          return setImmediate()
        },
      })
      assert.ok(Buffer.from(memory.buffer, 0, filled).equals(bytes))
      assert.ok(inPlace > bytes.length / 8, `${inPlace} bytes arrived where they were wanted`)
    })

    for (const closes of [false, true])
      test(`is given one chunk at a time, which stays as it is until it is taken${closes ? ', also by a server that has closed' : ''}`, async (t) => {
        const read: Buffer[] = []
        let isBusy = false
        await (await bodyOf(t, { closes })).drain({
          async take(chunk) {
            assert.equal(isBusy, false, 'the chunk before is not taken yet')
            isBusy = true
            for (let turn = 0; turn < 3; turn++) await setImmediate()
            read.push(Buffer.from(chunk))
            isBusy = false
          },
        })
        assert.ok(Buffer.concat(read).equals(bytes))
      })
  })

/** Pieces of answers that were ever read in two ways, and some that never were. */
const statusLines = [
  'HTTP/1.1 200 OK',
  'HTTP/1.1 206 Partial Content',
  'HTTP/1.1 200',
  'HTTP/1.1 404 Not Found',
  'HTTP/1.1 204 None',
  'HTTP/1.1 304 Same',
  'HTTP/1.0 200 OK',
  'HTTP/1.1  200 OK',
  'HTTP/1.1 20 OK',
  'HTTP/1.1 2000 OK',
  'http/1.1 200 OK',
  'HTTP/2 200',
  'ICY 200 OK',
  '\r\nHTTP/1.1 200 OK',
  'HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK',
  'HTTP/1.1 103 Early\r\nLink: a\r\n\r\nHTTP/1.1 200 OK',
  'HTTP/1.1 101 Switching\r\nUpgrade: x',
  'HTTP/1.1 200 O\0K',
  'HTTP/1.1 200 O\rK',
] as const
const fields = [
  ['Content-Length: LENGTH', 12],
  ['content-length:LENGTH', 3],
  ['Content-Length: \t LENGTH \t', 1],
  ['Content-Length : LENGTH', 1],
  [' Content-Length: LENGTH', 1],
  ['Content-Length: LENGTH, LENGTH', 1],
  ['Content-Length: +LENGTH', 1],
  ['Content-Length: 0xLENGTH', 1],
  ['Content-Length: -LENGTH', 1],
  ['Content-Length: LENGTH5', 1],
  ['Content-Length:', 1],
  ['Content-Length: 99999999999999999999999', 1],
  ['Content\0-Length: LENGTH', 1],
  ['Content-Length\t: LENGTH', 1],
  ['Transfer-Encoding: chunked', 2],
  ['Transfer-Encoding: identity', 1],
  ['Transfer-Encoding: xchunked', 1],
  ['Transfer-Encoding : chunked', 1],
  ['Transfer-Encoding:\r\n chunked', 1],
  ['Transfer-Encoding: gzip, chunked', 1],
  ['Connection: close', 1],
  ['Connection: keep-alive, Upgrade', 1],
  ['Upgrade: websocket', 1],
  ['ETag: "x"', 4],
  ['ETag: "y"', 1],
  ['Last-Modified: Sun, 22 Nov 2026 10:00:00 GMT', 2],
  ['X-Folded: a\r\n b', 1],
  ['X-Bare: a\nContent-Length: 3', 1],
  ['X-Return: a\rContent-Length: 3', 1],
  ['X-Null: \0', 1],
  ['X-Del: \x7f', 1],
  ['X-High: \xe9', 1],
  ['no colon', 1],
  [': no name', 1],
  [`X-Long: ${'a'.repeat(9_000)}`, 1],
  ['X-Long: a\r\n'.repeat(60).trimEnd(), 1],
] as const
const bodies = [
  '',
  'body',
  '5\r\nchunk\r\n0\r\n\r\n',
  'body\r\nHTTP/1.1 200 OK\r\n\r\n',
  'x'.repeat(70_000),
]

const hostileAnswer = fc
  .record({
    method: fc.constantFrom<Method>('GET', 'HEAD'),
    /** A body follows an answer to HEAD, too. */
    isRude: fc.oneof(
      { arbitrary: fc.constant(false), weight: 4 },
      { arbitrary: fc.constant(true), weight: 1 },
    ),
    status: fc.oneof(
      { arbitrary: fc.constant(statusLines[0]), weight: 3 },
      { arbitrary: fc.constantFrom(...statusLines), weight: 1 },
    ),
    lines: fc.array(
      fc.oneof(...fields.map(([line, weight]) => ({ arbitrary: fc.constant(line), weight }))),
      { maxLength: 4 },
    ),
    body: fc.constantFrom(...bodies),
    off: fc.oneof(
      { arbitrary: fc.constant(0), weight: 4 },
      { arbitrary: fc.integer({ min: -3, max: 5 }), weight: 1 },
    ),
    end: fc.oneof(
      { arbitrary: fc.constant('\r\n\r\n'), weight: 8 },
      { arbitrary: fc.constantFrom('\n\n', '\r\n', '\r\n\n', '\n\r\n', '\r\r\n\n'), weight: 1 },
    ),
    flip: fc.option(fc.nat({ max: 200 }), { freq: 8 }),
    cuts: fc.array(fc.nat({ max: 200 }), { maxLength: 3 }),
  })
  .map(({ method, isRude, status, lines, body, off, end, flip, cuts }) => {
    const length = String(Math.max(0, body.length + off))
    const head = [status, ...lines.map((line) => line.replaceAll('LENGTH', length))].join('\r\n')
    const sent = method === 'GET' || isRude ? body : ''
    const bytes = Buffer.from(head + end + sent, 'latin1')
    const at = flip === null ? -1 : flip % bytes.length
    if (at >= 0) bytes[at] = (bytes[at] ?? 0) ^ 4
    return { method, bytes, cuts: [...new Set(cuts)].sort((a, b) => a - b) }
  })

interface Heard {
  status: number
  body: string
  /** Those that the syncer goes by. */
  facts: (string | undefined)[]
}

function factsIn(headers: Readonly<Record<string, string | string[] | undefined>>) {
  return ['etag', 'last-modified', 'content-length', 'x-high'].map((name) => {
    const value = headers[name]
    return Array.isArray(value) ? value.join() : value
  })
}

/** What Node makes of it; null when it is no whole answer. */
function heardByNode(
  { hostname, port }: Peer,
  path: string,
  method: Method,
): Promise<Heard | null> {
  return new Promise((resolve) => {
    const to = { hostname, port, path, method, agent: false }
    const asked = ask(to, (message: IncomingMessage) => {
      const chunks: Buffer[] = []
      message.on('data', (chunk: Buffer) => chunks.push(chunk))
      message.on('error', () => resolve(null))
      message.on('close', () => {
        const body = Buffer.concat(chunks).toString('latin1')
        const { statusCode: status = 0, headers } = message
        resolve(message.complete ? { status, body, facts: factsIn(headers) } : null)
      })
    })
    asked.on('upgrade', (_message, socket) => {
      socket.destroy()
      resolve(null)
    })
    asked.on('error', () => resolve(null))
    asked.end()
  })
}

async function heardByUs(pool: Pool, path: string, method: Method): Promise<Heard | null> {
  try {
    const answer = await pool.ask(request(path, method), never)
    if (answer === null) return null
    if (answer.lengthBytes === null) {
      answer.drop()
      return null
    }
    const { status, headers } = answer
    return { status, body: (await read(answer)).toString('latin1'), facts: factsIn(headers) }
  } catch {
    return null
  }
}

test(`of ${HOSTILE_ANSWERS} hostile answers none is read as anything but what Node reads, and most are left to it`, async (t) => {
  const given = new Map<string, { bytes: Buffer; cuts: number[] }>()
  const talker = await withTalker(t, (socket, asked) => {
    const { bytes = Buffer.alloc(0), cuts = [] } = given.get(asked.split(' ')[1] ?? '') ?? {}
    const say = async () => {
      let from = 0
      for (const cut of [...cuts, bytes.length]) {
        if (cut > from) socket.write(bytes.subarray(from, cut))
        from = Math.max(from, cut)
        await setImmediate()
      }
      socket.end()
    }
    void say()
  })
  const pool = opened(t, talker)
  let read = 0
  let number = 0
  await fc.assert(
    fc.asyncProperty(hostileAnswer, async (answer) => {
      const path = `/${++number}`
      given.set(path, answer)
      const [ours, nodes] = await Promise.all([
        heardByUs(pool, path, answer.method),
        heardByNode(talker.peer, path, answer.method),
      ])
      given.delete(path)
      if (ours === null) return
      read += 1
      assert.deepEqual(ours, nodes)
    }),
    { numRuns: HOSTILE_ANSWERS },
  )
  const part = read / HOSTILE_ANSWERS
  assert.ok(part > 0.02 && part < 0.5, `${read} were read`)
})
