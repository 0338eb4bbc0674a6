import assert from 'node:assert/strict'
import { test } from 'node:test'
import { readAddressRange } from '../../src/ip-address.ts'
import type { GateRules } from '../../src/serve/gate.ts'
import { type ServerScope, withFileServer } from '../support/file-server.ts'
import { claims, forge, good, now, tokens } from '../support/hostile-tokens.ts'

const loopback = [readAddressRange('127.0.0.0/8')].filter((range) => range !== null)

async function withGate(rules: Partial<GateRules>, use: (scope: ServerScope) => Promise<void>) {
  await withFileServer({ tokens, now: () => now, rules }, async (scope) => {
    await scope.file('f.mp4', 'bytes', { media_id: 7 })
    await use(scope)
  })
}

/** As a request that came through Cloudflare for `address`. */
const through = (address: string | string[]) => ({ headers: { 'cf-connecting-ip': address } })

test('a client that fails too often is told when to come back, and its valid tokens go on working', async () => {
  await withGate({ tokenFailuresPerMinute: 3 }, async ({ ask, log }) => {
    for (let count = 0; count < 3; count++) assert.equal((await ask('/f.mp4?token=x')).status, 401)
    const limited = await ask('/f.mp4?token=x')
    assert.equal(limited.status, 429)
    assert.match(String(limited.headers['retry-after']), /^(?:[1-9]|[1-5]\d|60)$/)
    assert.equal(limited.headers['cache-control'], 'no-store')
    assert.deepEqual(JSON.parse(limited.body.toString()), {
      error: 'TOO_MANY_FAILURES',
      message: 'Too many requests at once, or without a valid token; try again later.',
    })
    assert.equal((await ask('/f.mp4')).status, 429)
    const valid = await ask(`/f.mp4?token=${good}`)
    assert.equal(valid.status, 200)
    assert.equal(valid.headers['retry-after'], undefined)
    // An answer may arrive before its line is written.
    await log.requests(6)
    assert.equal((await ask('/f.mp4?token=x')).status, 429)
    const lines = await log.requests(7)
    assert.deepEqual(
      lines.map(({ fields }) => [fields.status, fields.reason, fields.client]),
      [
        ...[401, 401, 401, 429].map((status) => [status, 'malformed', '127.0.0.1']),
        [429, 'missing', '127.0.0.1'],
        [200, undefined, undefined],
        [429, 'malformed', '127.0.0.1'],
      ],
    )
  })
})

test('a valid token for another file, or for none, is no failed token', async () => {
  await withGate({ tokenFailuresPerMinute: 1 }, async ({ file, ask }) => {
    await file('other.mp4', 'bytes', { media_id: 8 })
    for (const [path, status] of [
      ['other.mp4', 403],
      ['absent.mp4', 404],
    ])
      for (let count = 0; count < 3; count++)
        assert.equal((await ask(`/${path}?token=${good}`)).status, status)
    assert.equal((await ask('/f.mp4?token=x')).status, 401)
    assert.equal((await ask('/f.mp4?token=x')).status, 429)
  })
})

test('visitors behind a trusted proxy are counted each for itself, IPv6 by its first 64 bits', async () => {
  const rules = { tokenFailuresPerMinute: 1, trustedProxies: loopback }
  await withGate(rules, async ({ ask, log }) => {
    const statusFor = async (address: string) =>
      (await ask('/f.mp4?token=x', through(address))).status
    assert.equal(await statusFor('192.0.2.1'), 401)
    assert.equal(await statusFor('192.0.2.1'), 429)
    assert.equal(await statusFor('::ffff:192.0.2.1'), 429)
    assert.equal(await statusFor('192.0.2.2'), 401)
    assert.equal(await statusFor('2001:db8:0:1::1'), 401)
    assert.equal(await statusFor('2001:db8:0:1:ffff::9'), 429)
    assert.equal(await statusFor('2001:db8:0:2::1'), 401)
    const lines = await log.requests(7)
    assert.equal(lines[5]?.fields.client, '2001:db8:0:1:ffff::9')
  })
})

test('a visitor who names an address himself is known by his own', async () => {
  for (const trustedProxies of [[], [readAddressRange('192.0.2.0/24')].filter((r) => r !== null)])
    await withGate({ tokenFailuresPerMinute: 1, trustedProxies }, async ({ ask, log }) => {
      assert.equal((await ask('/f.mp4?token=x', through('192.0.2.1'))).status, 401)
      assert.equal((await ask('/f.mp4?token=x', through('192.0.2.2'))).status, 429)
      const lines = await log.requests(2)
      for (const { fields } of lines) assert.equal(fields.client, '127.0.0.1')
      const warnings = log.lines.filter(({ level }) => level === 'warn')
      assert.equal(warnings.length, 1)
      assert.deepEqual(warnings[0]?.fields, { peer: '127.0.0.1' })
      assert.match(warnings[0]?.message ?? '', /TRUSTED_PROXIES/)
    })
})

test('a tunnel that nobody trusts is told of at the first download through it', async () => {
  await withGate({}, async ({ file, ask, log }) => {
    await file('large.mp4', 200_000, { media_id: 7 })
    for (let count = 0; count < 2; count++)
      assert.equal((await ask(`/large.mp4?token=${good}`, through('192.0.2.1'))).status, 200)
    const warnings = log.lines.filter(({ level }) => level === 'warn')
    assert.deepEqual(
      warnings.map(({ fields }) => fields),
      [{ peer: '127.0.0.1' }],
    )
  })
})

test('a trusted proxy that names no address, or two, is taken for the visitor', async () => {
  const rules = { tokenFailuresPerMinute: 1, trustedProxies: loopback }
  for (const header of ['', 'unknown', '192.0.2.1, 192.0.2.2', ['192.0.2.1', '192.0.2.2']])
    await withGate(rules, async ({ ask, log }) => {
      await ask('/f.mp4?token=x', through(header))
      const [line] = await log.requests(1)
      assert.equal(line?.fields.client, '127.0.0.1')
    })
})

test('a token for one address opens its file from there alone, and a header that is not believed changes nothing', async () => {
  const boundTo = (ip: unknown) => `/f.mp4?token=${forge({ alg: 'HS256' }, { ...claims, ip })}`
  await withGate({ trustedProxies: loopback }, async ({ ask, log }) => {
    const cases: [claim: unknown, from: string, status: number][] = [
      ['192.0.2.1', '192.0.2.1', 200],
      ['192.0.2.1', '::ffff:192.0.2.1', 200],
      ['192.0.2.1', '192.0.2.2', 401],
      ['2001:DB8::1', '2001:db8:0::1', 200],
      ['2001:db8::1', '2001:db8::2', 401],
      ['2001:db8::/64', '2001:db8::2', 200],
      ['2001:db8::/64', '2001:db8:0:1::2', 401],
      ['192.0.2.0/24', '192.0.2.77', 200],
      ['192.0.2.0/24', 'nonsense', 401],
      ['127.0.0.1', '192.0.2.1', 401],
      ['', '192.0.2.1', 401],
      ['*', '192.0.2.1', 401],
      [null, '192.0.2.1', 401],
      [['192.0.2.1'], '192.0.2.1', 401],
      [3221225985, '192.0.2.1', 401],
    ]
    for (const [claim, from, status] of cases) {
      const answer = await ask(boundTo(claim), through(from))
      assert.equal(answer.status, status, `${claim} from ${from}`)
    }
    const lines = await log.requests(cases.length)
    assert.equal(lines[2]?.fields.reason, 'address')
    assert.equal(lines.at(-1)?.fields.reason, 'claims')
    assert.equal((await ask(boundTo('127.0.0.1'))).status, 200)
  })
  await withGate({}, async ({ ask }) => {
    assert.equal((await ask(boundTo('192.0.2.1'), through('192.0.2.1'))).status, 401)
    assert.equal((await ask(boundTo('127.0.0.1'), through('192.0.2.1'))).status, 200)
  })
})
