import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { CorsOrigins } from '../../src/serve/cors.ts'
import { type Answer, type ServerScope, withFileServer } from '../support/file-server.ts'

const site = 'https://app.example.org'

function corsHeadersOf({ headers }: Answer): Record<string, unknown> {
  const names = Object.keys(headers).filter((name) => /^access-control-|^vary$/.test(name))
  return Object.fromEntries(names.map((name) => [name, headers[name]]))
}

/** One answer of each kind, as a page of `origin` gets them. */
async function everyAnswer(scope: ServerScope, origin: string): Promise<[number, Answer][]> {
  await scope.file('f.mp4', '0123456789')
  const target = `/f.mp4?token=${await scope.token()}`
  const asked: [number, string, Record<string, string>, string?][] = [
    [200, target, {}],
    [200, '/health', {}],
    [206, target, { range: 'bytes=1-2' }],
    [304, target, { 'if-none-match': '*' }],
    [400, target, { host: 'a b' }],
    [401, '/f.mp4', {}],
    [403, `/f.mp4?token=${await scope.token(2)}`, {}],
    [404, target.replace('/f', '/g'), {}],
    [405, target, {}, 'POST'],
    [412, target, { 'if-match': '"x"' }],
    [414, `/${'x'.repeat(8200)}`, {}],
    [416, target, { range: 'bytes=10-' }],
  ]
  const answers: [number, Answer][] = []
  for (const [status, place, headers, method = 'GET'] of asked)
    answers.push([status, await scope.ask(place, { method, headers: { origin, ...headers } })])
  return answers
}

for (const [name, corsOrigins, origin, expected] of [
  ['a site that is listed may read every answer', [site, 'http://nas'], site, site],
  ['every site may read every answer where all may', '*', 'http://anyone', '*'],
  ['a site that is not listed may read no answer', ['https://other.example'], site, null],
  ['nothing but the very origin is listed', [site], `${site}.evil.example`, null],
  ['a page without an origin is not listed', [site], 'null', null],
  ['no site may read any answer where none is configured', [], site, null],
] satisfies [string, CorsOrigins, string, string | null][]) {
  test(name, async () => {
    await withFileServer({ corsOrigins }, async (scope) => {
      for (const [status, answer] of await everyAnswer(scope, origin)) {
        assert.equal(answer.status, status)
        const { vary, ...headers } = corsHeadersOf(answer)
        const listed = corsOrigins !== '*' && corsOrigins.length > 0
        assert.equal(vary, listed ? 'Origin' : undefined)
        if (status < 400 && answer.headers.etag !== undefined)
          assert.equal(
            answer.headers['cross-origin-resource-policy'],
            corsOrigins.length > 0 ? 'cross-origin' : 'same-site',
          )
        const allowed = {
          'access-control-allow-origin': expected,
          'access-control-expose-headers':
            'Accept-Ranges, Content-Disposition, Content-Range, ETag, Repr-Digest, Retry-After, WWW-Authenticate',
        }
        assert.deepEqual(headers, expected === null ? {} : allowed)
      }
    })
  })
}

test('a browser is told before it asks what it may ask for, without a token', async () => {
  await withFileServer({ corsOrigins: [site] }, async ({ ask }) => {
    const headers = { origin: site, 'access-control-request-method': 'GET' }
    const answer = await ask('/f.mp4', { method: 'OPTIONS', headers })
    assert.equal(answer.status, 204)
    const { 'access-control-expose-headers': _, ...rest } = corsHeadersOf(answer)
    assert.deepEqual(rest, {
      vary: 'Origin',
      'access-control-allow-origin': site,
      'access-control-allow-methods': 'GET, HEAD',
      'access-control-allow-headers':
        'Authorization, If-Match, If-Modified-Since, If-None-Match, If-Range, If-Unmodified-Since, Range',
      'access-control-max-age': '7200',
    })
    const other = { ...headers, origin: 'https://other.example' }
    const refused = await ask('/f.mp4', { method: 'OPTIONS', headers: other })
    assert.deepEqual(corsHeadersOf(refused), { vary: 'Origin' })
  })
})

test('OPTIONS is among the methods only where sites are configured', async () => {
  await withFileServer({ corsOrigins: '*' }, async ({ ask }) => {
    const options = await ask('/f.mp4', { method: 'OPTIONS' })
    assert.deepEqual([options.status, options.headers.allow], [204, 'GET, HEAD, OPTIONS'])
    const post = await ask('/f.mp4', { method: 'POST' })
    assert.deepEqual([post.status, post.headers.allow], [405, 'GET, HEAD, OPTIONS'])
  })
  await withFileServer({}, async ({ ask }) => {
    const { status, headers } = await ask('/f.mp4', { method: 'OPTIONS' })
    assert.deepEqual([status, headers.allow], [405, 'GET, HEAD'])
  })
})
