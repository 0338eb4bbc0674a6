import assert from 'node:assert/strict'
import { once } from 'node:events'
import { get, type IncomingMessage } from 'node:http'
import { connect } from 'node:net'
import { test } from 'node:test'
import { createStreams } from '../../src/serve/streams.ts'
import type { TokenClaims } from '../../src/serve/token.ts'
import { type ServerScope, withFileServer } from '../support/file-server.ts'
import { hasCode } from '../support/scopes.ts'

const megabyte = 2 ** 20
const stays = () => new AbortController().signal

/** What each call returns is another token of that user. */
function tokenOf(userId: number): TokenClaims {
  return { mediaId: 1, userId, expiresAt: 2_000_000_000, ip: null, jti: null, maxDownloads: null }
}

async function isRefused(entering: unknown): Promise<void> {
  await assert.rejects(async () => entering, hasCode('TOO_MANY_STREAMS'))
}

for (const [limit, limits] of [
  ['user', { streamsPerUser: 2, streamsPerClient: 0 }],
  ['client', { streamsPerUser: 0, streamsPerClient: 2 }],
] as const) {
  test(`no ${limit} receives more than is allowed, and all others what they like`, async () => {
    const streams = createStreams({ ...limits, patienceMs: 0 })
    const enter = (userId: number, client: string) =>
      streams.enter({ claims: tokenOf(userId), client }, stays)
    const leave = await enter(1, 'a')
    await enter(1, 'a')
    await isRefused(enter(1, 'a'))
    await enter(2, 'b')
    leave()
    await enter(1, 'a')
    await isRefused(enter(1, 'a'))
  })
}

test('who is over the limit waits for his turn', async () => {
  const streams = createStreams({ streamsPerUser: 1, streamsPerClient: 1 })
  const enter = () => streams.enter({ claims: tokenOf(1), client: 'a' }, stays)
  const leave = await enter()
  const [second, third] = [enter(), enter()]
  leave()
  const leaveSecond = await second
  leave()
  const turns: string[] = []
  const done = Promise.resolve(third).then(() => turns.push('third'))
  turns.push('second')
  leaveSecond()
  await done
  assert.deepEqual(turns, ['second', 'third'])
})

test('who leaves while he waits takes no place', async () => {
  const streams = createStreams({ streamsPerUser: 1, streamsPerClient: 0 })
  const visitor = new AbortController()
  const leave = await streams.enter({ claims: tokenOf(1), client: 'a' }, stays)
  const waiting = streams.enter({ claims: tokenOf(1), client: 'a' }, () => visitor.signal)
  const next = streams.enter({ claims: tokenOf(1), client: 'a' }, stays)
  visitor.abort()
  await isRefused(waiting)
  leave()
  await next
})

test('up to 16 answers to one token are one stream, because players split a file', async () => {
  const streams = createStreams({ streamsPerUser: 2, streamsPerClient: 0, patienceMs: 0 })
  const one = tokenOf(1)
  const leaves = []
  for (let answer = 0; answer < 32; answer++)
    leaves.push(await streams.enter({ claims: one, client: 'a' }, stays))
  await isRefused(streams.enter({ claims: one, client: 'a' }, stays))
  await isRefused(streams.enter({ claims: tokenOf(1), client: 'a' }, stays))
  for (const leave of leaves.slice(0, 16)) leave()
  await streams.enter({ claims: tokenOf(1), client: 'a' }, stays)
})

async function startDownload(
  scope: ServerScope,
  path: string,
  token?: string,
): Promise<IncomingMessage> {
  const target = `/${path}?token=${token ?? (await scope.token())}`
  const request = get({ port: scope.listening.port, host: '127.0.0.1', path: target, agent: false })
  const [response] = await once(request, 'response')
  return response.on('error', () => {})
}

test('a download over the limit begins when another has ended, small files at once', async () => {
  await withFileServer({ limits: { streamsPerUser: 1 } }, async (scope) => {
    await scope.file('large.mp4', 256 * megabyte)
    await scope.file('other.mp4', megabyte)
    await scope.file('small.jpg', 'bytes')
    const first = await startDownload(scope, 'large.mp4')
    const second = startDownload(scope, 'other.mp4', await scope.token(1, 601))
    assert.equal((await startDownload(scope, 'small.jpg')).statusCode, 200)
    first.destroy()
    assert.equal((await second).statusCode, 200)
    ;(await second).destroy()
  })
})

test('who waited in vain is told to come again later', async () => {
  const limits = { streamsPerClient: 1, patienceMs: 0 }
  await withFileServer({ limits }, async (scope) => {
    await scope.file('large.mp4', 256 * megabyte)
    const token = await scope.token()
    const first = await startDownload(scope, 'large.mp4', token)
    const second = await startDownload(scope, 'large.mp4', token)
    assert.equal(second.statusCode, 200)
    const { status, headers } = await scope.ask(`/large.mp4?token=${await scope.token(1, 601)}`)
    assert.deepEqual([status, headers['retry-after']], [429, '5'])
    for (const response of [first, second]) response.destroy()
  })
})

test('small answers that wait behind another one of their connection are streams too, for they wait in memory', async () => {
  const limits = { streamsPerUser: 1, patienceMs: 0 }
  await withFileServer({ limits }, async ({ file, token, listening, log, leaks }) => {
    await file('f.mp4', 64 * megabyte)
    const ask = `GET /f.mp4?token=${await token()} HTTP/1.1\r\nHost: x\r\n`
    const visitor = connect(listening.port, '127.0.0.1')
    visitor.write(`${ask}\r\n${`${ask}Range: bytes=0-999\r\n\r\n`.repeat(100)}`)
    const refused = await log.requests(101 - 16)
    assert.ok(refused.every(({ fields }) => fields.status === 429))
    visitor.destroy()
    await log.requests(101)
    assert.deepEqual(await leaks(), [])
  })
})
