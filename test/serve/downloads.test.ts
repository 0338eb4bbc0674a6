import assert from 'node:assert/strict'
import { once } from 'node:events'
import { get, type IncomingMessage } from 'node:http'
import { test } from 'node:test'
import { readAddressRange } from '../../src/ip-address.ts'
import { createDownloads } from '../../src/serve/downloads.ts'
import { withFileServer } from '../support/file-server.ts'
import { claims, forge, now, tokens } from '../support/hostile-tokens.ts'

const minute = 60_000

function counting(maxTokens?: number) {
  let clockMs = 0
  let forgotten = 0
  const downloads = createDownloads({
    clock: () => clockMs,
    onForgotten: () => {
      forgotten += 1
    },
    ...(maxTokens === undefined ? {} : { maxTokens }),
  })
  const begin = (client: string, { key = 'token', max = 1 } = {}) =>
    downloads.begin({ key, max }, client)
  /** One answer from its beginning to its end; false when it was refused. */
  const answer = (client: string, bytes = 1, token = {}) => {
    const end = begin(client, token)
    end?.(bytes)
    return end !== null
  }
  return {
    begin,
    answer,
    forgotten: () => forgotten,
    pass: (ms: number) => {
      clockMs += ms
    },
  }
}

test('however many requests a visitor makes of a download, it is one', () => {
  const { answer, pass } = counting()
  for (let count = 0; count < 100; count++) {
    assert.equal(answer('a'), true)
    pass(59 * minute)
  }
  assert.equal(answer('b'), false, 'and another visitor would be a second')
})

test('a download is over when an hour has passed without a byte of it', () => {
  const { answer, pass } = counting()
  assert.equal(answer('a'), true)
  pass(60 * minute)
  assert.equal(answer('a'), false)
  assert.equal(answer('a'), false)
})

test('a download that runs for longer than an hour goes on', () => {
  const { begin, answer, pass } = counting()
  const end = begin('a')
  pass(600 * minute)
  assert.equal(answer('a'), true)
  end?.(1)
  pass(59 * minute)
  assert.equal(answer('a'), true)
})

test('a token opens as many downloads as it allows, at one time or one after another', () => {
  const { begin, answer, pass } = counting()
  const token = { max: 3 }
  assert.ok(begin('a', token) && begin('b', token))
  assert.equal(answer('c', 1, token), true)
  assert.equal(answer('d', 1, token), false)
  pass(61 * minute)
  assert.equal(answer('c', 1, token), false, 'the third is over')
  assert.equal(answer('a', 1, token), true, 'the first still runs')
})

test('what sends no byte is no download', () => {
  const { begin, answer } = counting()
  for (const client of ['a', 'b', 'c']) assert.equal(answer(client, 0), true)
  const [first, second] = [begin('d'), begin('d')]
  first?.(0)
  assert.equal(answer('e', 0), false, 'while the other one may still send some')
  second?.(0)
  assert.equal(answer('e'), true)
  assert.equal(answer('d'), false)
})

test('tokens are counted each for itself', () => {
  const { answer } = counting()
  assert.equal(answer('a', 1, { key: 'one' }), true)
  assert.equal(answer('b', 1, { key: 'two' }), true)
  assert.equal(answer('b', 1, { key: 'one' }), false)
})

test('only so many tokens are remembered, those that were used last, and it is told once', () => {
  const { answer, forgotten } = counting(10)
  for (let index = 0; index < 10; index++) answer('a', 1, { key: `token ${index}` })
  assert.equal(answer('a', 1, { key: 'token 0' }), true)
  assert.equal(forgotten(), 0)
  for (let index = 10; index < 15; index++) answer('a', 1, { key: `token ${index}` })
  assert.equal(forgotten(), 1)
  assert.equal(answer('b', 1, { key: 'token 0' }), false, 'remembered')
  assert.equal(answer('b', 1, { key: 'token 1' }), true, 'forgotten')
})

test('over sockets, a token with max_downloads serves all ranges to one visitor and nothing to the next', async () => {
  const trustedProxies = [readAddressRange('127.0.0.1')].filter((range) => range !== null)
  const options = { tokens, now: () => now, rules: { trustedProxies } }
  await withFileServer(options, async ({ file, ask, log }) => {
    const { sha256 } = await file('f.mp4', 'x'.repeat(1000), { media_id: 7 })
    await file('other.mp4', 'bytes', { media_id: 8 })
    const token = forge({ alg: 'HS256' }, { ...claims, max_downloads: 1 })
    const from = (
      address: string,
      { path = 'f.mp4', method = 'GET', ...headers }: Record<string, string> = {},
    ) =>
      ask(`/${path}?token=${token}`, {
        method,
        headers: { 'cf-connecting-ip': address, ...headers },
      })
    const free: [status: number, how: Record<string, string>][] = [
      [200, { method: 'HEAD' }],
      [304, { 'if-none-match': `"${sha256}"` }],
      [412, { 'if-match': '"other"' }],
      [416, { range: 'bytes=1000-' }],
      [403, { path: 'other.mp4' }],
      [404, { path: 'absent.mp4' }],
    ]
    for (const [index, [status, how]] of free.entries())
      assert.equal((await from(`192.0.2.${index}`, how)).status, status)
    for (const range of ['bytes=0-99', 'bytes=100-', 'bytes=0-0,500-600', 'bytes=-5', 'none'])
      assert.equal((await from('198.51.100.1', { range })).status, range === 'none' ? 200 : 206)
    for (const how of [{}, { range: 'bytes=0-0' }, { method: 'HEAD' }])
      assert.equal((await from('198.51.100.2', how)).status, 410)
    assert.equal((await from('198.51.100.1')).status, 200)
    const lines = await log.requests(15)
    const reasons = lines
      .map(({ fields }) => fields.reason)
      .filter((reason) => reason === 'used_up')
    assert.equal(reasons.length, 3)
  })
})

test('of many visitors who come at the same time with one token, as many are served as it allows', async () => {
  const trustedProxies = [readAddressRange('127.0.0.1')].filter((range) => range !== null)
  const options = { tokens, now: () => now, rules: { trustedProxies } }
  await withFileServer(options, async ({ file, listening }) => {
    await file('f.mp4', 8 * 1024 * 1024, { media_id: 7 })
    const token = forge({ alg: 'HS256' }, { ...claims, max_downloads: 3 })
    const statuses = await Promise.all(
      Array.from({ length: 20 }, async (_, index) => {
        const request = get({
          host: '127.0.0.1',
          port: listening.port,
          path: `/f.mp4?token=${token}`,
          headers: { 'cf-connecting-ip': `192.0.2.${index}` },
          agent: false,
        })
        const [answer] = (await once(request, 'response')) as [IncomingMessage]
        for await (const _chunk of answer);
        return answer.statusCode
      }),
    )
    assert.deepEqual(
      statuses.toSorted(),
      Array.from({ length: 20 }, (_, index) => (index < 3 ? 200 : 410)),
    )
  })
})
