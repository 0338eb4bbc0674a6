/** The real nginx, as deploy/nginx.conf has it, sends the files that this server lets it send. */
import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { rename, symlink } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { mintToken } from '../../src/serve/token.ts'
import {
  type Answer,
  ask,
  offloading,
  type ServerScope,
  testTokens,
  withFileServer,
} from '../support/file-server.ts'
import { withNginxSending } from '../support/nginx.ts'
import type { Scope } from '../support/scopes.ts'

const asks = { 'x-sendfile-type': 'X-Accel-Redirect' }
const contents = randomBytes(100_000)

/** Runs `use` with what asks nginx. */
function withFront(
  t: Scope,
  use: (
    scope: ServerScope & { front: (target: string, how?: How) => Promise<Answer> },
  ) => Promise<void>,
  change?: (conf: string) => string,
): Promise<void> {
  return withFileServer(offloading, async (scope) => {
    const place = { archiveDir: scope.archiveDir, port: scope.listening.port }
    const port = await withNginxSending(t, place, change)
    await use({ ...scope, front: (target, how) => ask(port, target, how) })
  })
}

type How = Parameters<typeof ask>[2]

/** What every hop says of itself, and what is a second later already another. */
const ofTheWay = ['date', 'server', 'connection', 'keep-alive', 'cache-control']

function lasting({ headers }: Answer): Answer['headers'] {
  return Object.fromEntries(Object.entries(headers).filter(([name]) => !ofTheWay.includes(name)))
}

async function wasOffloaded({ log }: ServerScope, requests: number): Promise<boolean> {
  const lines = await log.requests(requests)
  return lines.at(-1)?.fields.offloaded === true
}

const names = [
  'plain.mp4',
  'with spaces  and + & ; = , @ : $ !.mp4',
  '100 %.mp4',
  '100 %41.mp4',
  '%2e%2e%2fpasswd.mp4',
  `it's "quoted" \`well\`.mp4`,
  'ünïcödé – 日本 🎬.mp4',
  'what?.mp4',
  'a?token=b.mp4',
  '#1.mp4',
  '$uri $document_root ~* (a|b)[c]{2}^.mp4',
  '@gone',
  'a.php',
  'C:x<y>z|.mp4',
] as const

for (const name of names) {
  test(`nginx sends ${JSON.stringify(name)} as we do`, async (t) => {
    await withFront(t, async (scope) => {
      const path = `2026/${name}`
      await scope.file(path, contents)
      const encoded = path.split('/').map(encodeURIComponent).join('/')
      const target = `/${encoded}?token=${await scope.token()}`
      const direct = await scope.ask(target)
      const whole = await scope.front(target)
      assert.ok(await wasOffloaded(scope, 2))
      assert.equal(whole.status, 200)
      assert.ok(whole.body.equals(contents))
      assert.deepEqual(lasting(whole), lasting(direct))
      assert.match(String(whole.headers['cache-control']), /^private, max-age=\d+, no-transform$/)
      const range = { headers: { range: 'bytes=5-', 'if-range': String(whole.headers.etag) } }
      const rest = await scope.front(target, range)
      assert.ok(await wasOffloaded(scope, 3))
      assert.ok(rest.body.equals(contents.subarray(5)))
      assert.deepEqual(lasting(rest), lasting(await scope.ask(target, range)))
    })
  })
}

test('nginx sends nothing without a token for it', async (t) => {
  await withFront(t, async ({ front, file, token }) => {
    await file('2026/mine.mp4', contents)
    const other = await token(2)
    assert.equal((await front(`/2026/mine.mp4?token=${other}`)).status, 403)
    assert.equal((await front('/2026/mine.mp4?token=x')).status, 401)
    for (const way of [
      '/strongroom-archive/2026/mine.mp4',
      '/%73trongroom-archive/2026/mine.mp4',
      '//strongroom-archive/2026/mine.mp4',
      '/x/../strongroom-archive/2026/mine.mp4',
      '/x/..%2fstrongroom-archive/2026/mine.mp4',
      '/strongroom-archive/../strongroom-archive/2026/mine.mp4',
      '/strongroom-archive/.strongroom/archive.json',
    ]) {
      const { status, body } = await front(`${way}?token=${await token()}`)
      assert.ok(status === 404 || status === 401, `${way}: ${status}`)
      assert.ok(!body.includes(contents), way)
    }
  })
})

const eager = (conf: string) =>
  `gzip on; gzip_types *; gzip_proxied any; proxy_cache_path cache keys_zone=z:1m;\n${conf.replace(
    'location / {',
    'location / { proxy_cache z; proxy_cache_valid any 1h; proxy_cache_key $uri;',
  )}`

test('neither cache nor compression of nginx gets hold of a file', async (t) => {
  const use = async (scope: Parameters<Parameters<typeof withFront>[1]>[0]) => {
    await scope.file('page.html', '<p>'.repeat(10_000), { mime_type: 'text/html' })
    const target = `/page.html?token=${await scope.token()}`
    const headers = { 'accept-encoding': 'gzip' }
    for (let times = 0; times < 2; times++) {
      const answer = await scope.front(target, { headers })
      assert.equal(answer.body.length, 30_000)
      assert.deepEqual(lasting(answer), lasting(await scope.ask(target)))
    }
    assert.equal((await scope.front('/page.html?token=x')).status, 401)
    assert.ok((await scope.log.requests(5)).some(({ fields }) => fields.offloaded))
  }
  await withFront(t, use, eager)
})

test('what was put in the place of a file after the look at it, nginx does not send', async (t) => {
  await withFront(t, async ({ front, file, token, archiveDir }) => {
    await file('2026/a.mp4', contents)
    await file('2026/b.mp4', 'secret', { media_id: 2 })
    const target = `/2026/a.mp4?token=${await token()}`
    assert.equal((await front(target)).status, 200)
    await rename(join(archiveDir, '2026/a.mp4'), join(archiveDir, 'away.mp4'))
    await symlink(join(archiveDir, '2026/b.mp4'), join(archiveDir, '2026/a.mp4'))
    const answer = await front(target)
    assert.equal(answer.status, 404)
    assert.match(String(answer.headers['cache-control']), /no-store$/)
    assert.equal(answer.headers.etag, undefined)
    assert.ok(!answer.body.includes('secret'))
  })
})

test('who is no trusted proxy, or does not ask, gets the bytes and learns no place', async () => {
  for (const [rules, headers, warning] of [
    [{ trustedProxies: [] }, asks, /X-Sendfile-Type is not heeded/],
    [offloading.rules, {}, /does not ask for SENDFILE_HEADER/],
    [offloading.rules, { 'x-sendfile-type': 'X-Sendfile' }, /does not ask/],
  ] as const) {
    await withFileServer({ ...offloading, rules }, async (scope) => {
      await scope.file('f.mp4', contents)
      const target = `/f.mp4?token=${await scope.token()}`
      for (let times = 0; times < 2; times++) {
        const answer = await scope.ask(target, { headers })
        assert.ok(answer.body.equals(contents))
        assert.equal(answer.headers['x-accel-redirect'], undefined)
      }
      await scope.log.requests(2)
      const warnings = scope.log.lines.filter(({ level }) => level === 'warn')
      assert.equal(warnings.length, 1)
      assert.match(warnings[0]?.message ?? '', warning)
    })
  }
})

test('without SENDFILE_HEADER nobody is told a place, whatever he asks for', async () => {
  const { rules } = offloading
  await withFileServer({ rules }, async (scope) => {
    await scope.file('f.mp4', contents)
    const { body, headers } = await scope.ask(`/f.mp4?token=${await scope.token()}`, {
      headers: asks,
    })
    assert.ok(body.equals(contents))
    assert.equal(headers['x-accel-redirect'], undefined)
  })
})

test('what a front could answer otherwise, we answer', async () => {
  await withFileServer(offloading, async (scope) => {
    const { etag, 'last-modified': date } = await headersOf(scope)
    const isOurs = async (headers: Record<string, string>, method = 'GET') => {
      const target = `/f.mp4?token=${await scope.token()}`
      const answer = await scope.ask(target, { method, headers: { ...asks, ...headers } })
      return answer.headers['x-accel-redirect'] === undefined
    }
    assert.equal(await isOurs({}), false)
    for (const range of ['bytes=0-0', 'bytes=5-', 'bytes=-5', 'bytes=00-99999999999'])
      assert.equal(await isOurs({ range }), false, range)
    assert.equal(await isOurs({ range: 'bytes=0-1', 'if-range': String(etag) }), false)
    assert.equal(await isOurs({ 'if-range': 'nonsense' }), false)
    for (const range of [
      'bytes=0-0,5-5',
      'bytes=0-0,',
      'bytes=0-99999999999999999999',
      'bytes=200000-',
      'Bytes=0-0',
      'lines=0-0',
      'bytes=2-1',
      '',
    ])
      assert.ok(await isOurs({ range }), range)
    assert.ok(await isOurs({ range: 'bytes=0-1', 'if-range': '"x"' }))
    for (const [name, value] of [
      ['if-match', etag],
      ['if-none-match', '"x"'],
      ['if-modified-since', 'Thu, 01 Jan 1970 00:00:00 GMT'],
      ['if-unmodified-since', date],
    ] as const)
      assert.ok(await isOurs({ [name]: String(value) }), name)
    assert.ok(await isOurs({}, 'HEAD'))
  })
})

async function headersOf(scope: ServerScope): Promise<Answer['headers']> {
  await scope.file('f.mp4', contents)
  const { headers } = await scope.ask(`/f.mp4?token=${await scope.token()}`)
  return headers
}

test('nginx passes small files on, and how much was sent of them is known', async (t) => {
  const { header, prefix } = offloading.offload
  await withFileServer({ ...offloading, offload: { header, prefix } }, async (scope) => {
    const port = await withNginxSending(t, { ...scope, port: scope.listening.port })
    const told = []
    for (const bytes of [1, 65_536, 65_537]) {
      const whole = contents.subarray(0, bytes)
      await scope.file(`${bytes}.mp4`, whole)
      const target = `/${bytes}.mp4?token=${await scope.token()}`
      const direct = await scope.ask(target)
      const answer = await ask(port, target)
      assert.ok(answer.body.equals(whole))
      assert.deepEqual(lasting(answer), lasting(direct))
      const line = (await scope.log.requests(2 * (told.length + 1))).at(-1)
      told.push([line?.fields.bytes, line?.fields.offloaded ?? false])
    }
    assert.deepEqual(told, [
      [1, false],
      [65_536, false],
      [0, true],
    ])
  })
})

test('neither a cache nor compression of nginx gets hold of what it passes on', async (t) => {
  const { header, prefix } = offloading.offload
  await withFileServer({ ...offloading, offload: { header, prefix } }, async (scope) => {
    const place = { archiveDir: scope.archiveDir, port: scope.listening.port }
    const port = await withNginxSending(t, place, eager)
    await scope.file('page.html', '<p>'.repeat(10_000), { mime_type: 'text/html' })
    const target = `/page.html?token=${await scope.token()}`
    for (let times = 0; times < 2; times++) {
      const answer = await ask(port, target, { headers: { 'accept-encoding': 'gzip' } })
      assert.equal(answer.body.length, 30_000)
      assert.deepEqual(lasting(answer), lasting(await scope.ask(target)))
    }
    assert.equal((await ask(port, '/page.html?token=x')).status, 401)
    assert.ok((await scope.log.requests(5)).every(({ fields }) => fields.offloaded === undefined))
  })
})

test('downloads that are counted are not left to a front', async (t) => {
  await withFront(t, async ({ front, file }) => {
    await file('f.mp4', contents)
    const order = { mediaId: 1, userId: 2, ttlSeconds: 600, maxDownloads: 1 }
    const token = await mintToken({ ...order, tokens: testTokens, now: new Date() })
    const from = (address: string) => ({ headers: { 'cf-connecting-ip': address } })
    const target = `/f.mp4?token=${token}`
    assert.equal((await front(target, from('203.0.113.1'))).status, 200)
    // The front says who the visitor is, and both times that is the same one.
    assert.equal((await front(target, from('203.0.113.2'))).status, 200)
    const byHeader = (conf: string) => conf.replace('$remote_addr', '$http_cf_connecting_ip')
    await withFront(
      t,
      async (other) => {
        await other.file('f.mp4', contents)
        assert.equal((await other.front(target, from('203.0.113.1'))).status, 200)
        assert.equal((await other.front(target, from('203.0.113.2'))).status, 410)
      },
      byHeader,
    )
  })
})

test('X-Sendfile names the whole path, encoded', async () => {
  const offload = { header: 'X-Sendfile', prefix: '/srv/the archive' } as const
  await withFileServer({ ...offloading, offload }, async (scope) => {
    await scope.file('2026/ü\u00a0%0d%0a.mp4', contents)
    const target = `/2026/%C3%BC%C2%A0%250d%250a.mp4?token=${await scope.token()}`
    const { status, headers, body } = await scope.ask(target, {
      headers: { 'x-sendfile-type': 'X-Sendfile' },
    })
    assert.equal(headers['x-sendfile'], '/srv/the%20archive/2026/%C3%BC%C2%A0%250d%250a.mp4')
    assert.deepEqual([status, body.length], [200, 0])
    const [line] = await scope.log.requests(1)
    assert.deepEqual([line?.fields.bytes, line?.fields.offloaded], [0, true])
  })
})

test('deploy/nginx.conf passes on every header of ours that nginx would drop', async () => {
  const conf = readFileSync(join(import.meta.dirname, '../../deploy/nginx.conf'), 'utf8')
  const origin = 'https://app.example.org'
  // https://nginx.org/en/docs/http/ngx_http_proxy_module.html#proxy_ignore_headers and its X-Accel-Redirect keep these.
  const kept = /^(?:content-type|content-disposition|cache-control|accept-ranges|content-length)$/
  const ofNode = /^(?:date|connection|keep-alive|x-accel-redirect)$/
  await withFileServer({ ...offloading, corsOrigins: [origin] }, async (scope) => {
    await scope.file('f.mp4', contents)
    const headers = { ...asks, origin }
    const answer = await scope.ask(`/f.mp4?token=${await scope.token()}`, { headers })
    for (const name of Object.keys(answer.headers)) {
      if (kept.test(name) || ofNode.test(name)) continue
      const variable = `$upstream_http_${name.replaceAll('-', '_')};`
      assert.ok(conf.includes(variable), name)
    }
  })
})
