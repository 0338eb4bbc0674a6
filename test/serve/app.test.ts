import assert from 'node:assert/strict'
import { createHash, randomBytes } from 'node:crypto'

import { posix } from 'node:path'
import { test } from 'node:test'
import { linkPathOf } from '../../src/serve/locate.ts'
import { type Answer, withFileServer } from '../support/file-server.ts'

const path = '2026/01/7/a film.mp4'
const encoded = '/2026/01/7/a%20film.mp4'
/** Such a token's rest is longer than any cache age, which therefore does not change with the second. */
const DAY_SECONDS = 86_400

function assertNeverStored(answer: Answer): void {
  assert.equal(answer.headers['cache-control'], 'no-store')
  assert.equal(answer.headers['cloudflare-cdn-cache-control'], 'no-store')
  assert.equal(answer.headers['x-content-type-options'], 'nosniff')
  assert.equal(answer.headers['referrer-policy'], 'no-referrer')
  assert.equal(Number(answer.headers['content-length']), answer.body.length)
}

test('both forms of a link give the same bytes and headers', async () => {
  await withFileServer({}, async ({ file, token, ask }) => {
    const contents = randomBytes(700_001)
    await file(path, contents)
    const query = `?token=${await token(1, DAY_SECONDS)}`
    const [plain, dotless] = [await ask(encoded + query), await ask(`${encoded}/-${query}`)]
    assert.equal(plain.status, 200)
    assert.deepEqual(plain.body, contents)
    assert.deepEqual(dotless.body, contents)
    const { date: _one, ...headers } = plain.headers
    const { date: _two, ...others } = dotless.headers
    assert.deepEqual(headers, others)
  })
})

test('a file is sent with headers that name it, protect it and keep it out of shared caches', async () => {
  await withFileServer({}, async ({ file, token, ask }) => {
    const sidecar = await file(path, 'bytes', { filename: 'Größe "1".mp4' })
    const { headers } = await ask(`${encoded}/-?token=${await token(1, 600)}`)
    const { date, connection: _, ...rest } = headers
    assert.ok(date)
    const age = Number(/max-age=(\d+)/.exec(String(rest['cache-control']))?.[1])
    assert.ok(age > 590 && age <= 600)
    assert.deepEqual(rest, {
      'accept-ranges': 'bytes',
      'cache-control': `private, max-age=${age}, no-transform`,
      'cloudflare-cdn-cache-control': 'no-store',
      'content-disposition': `attachment; filename="Gr__e _1_.mp4"; filename*=UTF-8''Gr%C3%B6%C3%9Fe%20%221%22.mp4`,
      'content-length': '5',
      'content-security-policy': "sandbox; default-src 'none'",
      'content-type': 'video/mp4',
      'cross-origin-resource-policy': 'same-site',
      etag: `"${sidecar.sha256}"`,
      'last-modified': 'Fri, 02 Jan 2026 03:04:05 GMT',
      'referrer-policy': 'no-referrer',
      'repr-digest': `sha-256=:${Buffer.from(sidecar.sha256, 'hex').toString('base64')}:`,
      'x-content-type-options': 'nosniff',
    })
  })
})

test('a browser may keep a file for an hour at most, however long its token lives', async () => {
  await withFileServer({}, async ({ file, token, ask }) => {
    await file(path, 'bytes')
    const { headers } = await ask(`${encoded}?token=${await token(1, 86_400)}`)
    assert.equal(headers['cache-control'], 'private, max-age=3600, no-transform')
  })
})

test('HEAD tells what GET would, ignores ranges and sends nothing', async () => {
  await withFileServer({}, async ({ file, token, ask }) => {
    await file(path, 'x'.repeat(100_000))
    const target = `${encoded}?token=${await token(1, DAY_SECONDS)}`
    const got = await ask(target)
    const head = await ask(target, { method: 'HEAD', headers: { range: 'bytes=0-1' } })
    assert.equal(head.status, 200)
    assert.equal(head.body.length, 0)
    const { date: _one, ...headers } = got.headers
    const { date: _two, ...others } = head.headers
    assert.deepEqual(others, headers)
  })
})

test('HEAD is refused as GET is', async () => {
  await withFileServer({}, async ({ file, token, ask }) => {
    await file(path, 'bytes')
    const cases = [encoded, `${encoded}?token=${await token(2)}`, `/no?token=${await token()}`]
    for (const [index, status] of [401, 403, 404].entries()) {
      const target = cases[index] ?? ''
      const [got, head] = [await ask(target), await ask(target, { method: 'HEAD' })]
      assert.equal(got.status, status)
      assert.equal(head.status, status)
      assert.equal(head.body.length, 0)
      assert.equal(head.headers['content-length'], got.headers['content-length'])
    }
  })
})

test('each token opens its own file and no other', async () => {
  await withFileServer({}, async ({ file, token, ask }) => {
    const ids = [1, 2, 3, 4, 5, 6]
    for (const id of ids) await file(`${id}/f.mp4`, `file ${id}`, { media_id: id })
    for (const of of ids) {
      for (const id of ids) {
        const answer = await ask(`/${id}/f.mp4?token=${await token(of)}`)
        assert.equal(answer.status, of === id ? 200 : 403, `token ${of}, file ${id}`)
        if (of === id) assert.equal(answer.body.toString(), `file ${id}`)
        else assert.doesNotMatch(answer.body.toString(), /file \d/)
      }
    }
  })
})

test('without a good token nothing is learnt of which files exist', async () => {
  await withFileServer({}, async ({ file, token, ask }) => {
    await file(path, 'bytes')
    const expired = `?token=${await token(1, 1)}x`
    for (const query of ['', '?', '?token', '?token=', '?token=x', expired, '?TOKEN=x']) {
      const answers = [await ask(encoded + query), await ask(`/absent${query}`)]
      for (const answer of answers) {
        assert.equal(answer.status, 401, query)
        assert.equal(answer.headers['www-authenticate'], 'Bearer')
        assertNeverStored(answer)
      }
      assert.deepEqual(answers[0]?.body, answers[1]?.body)
    }
  })
})

test('a token comes in the query or as a bearer, and two are refused whatever they are', async () => {
  await withFileServer({}, async ({ file, token, ask }) => {
    await file(path, 'bytes')
    const good = await token()
    const statusOf = async (query: string, authorization?: string | string[]) =>
      (await ask(encoded + query, { headers: authorization ? { authorization } : {} })).status
    for (const query of [
      `?token=${good}&token=${good}`,
      `?token=${good}&token=`,
      `?token=x&token=${good}`,
      `?token=${good}&%74oken=x`,
    ]) {
      assert.equal(await statusOf(query), 400, query)
    }
    assert.equal(await statusOf(`?token=${good}`, `Bearer ${good}`), 400)
    const bearers = [`Bearer ${good}`, 'Bearer x', 'Basic eDp5']
    for (const first of bearers)
      for (const second of bearers) assert.equal(await statusOf('', [first, second]), 400)
    for (const bearer of [`Bearer ${good}`, `bearer  ${good}`, `BEARER ${good} `])
      assert.equal(await statusOf('', bearer), 200, bearer)
    for (const other of [
      good,
      `Basic ${good}`,
      `Bearer${good}`,
      `Bearer ${good} x`,
      'Bearer',
      'Bearer x',
    ])
      assert.equal(await statusOf('', other), 401, other)
    assert.equal(await statusOf(`?token[]=${good}`), 401)
    assert.equal((await ask(encoded, { headers: { cookie: `token=${good}` } })).status, 401)
    assert.equal(await statusOf(`?utm_source=x&token=${good}&y`), 200)
  })
})

test('several ranges come as parts that name their places, in one answer', async () => {
  await withFileServer({}, async ({ file, token, ask }) => {
    const contents = randomBytes(700_001)
    await file(path, contents)
    const target = `${encoded}?token=${await token()}`
    const answer = await ask(target, { headers: { range: 'bytes=600000-,0-0,1000-300000' } })
    assert.equal(answer.status, 206)
    assert.equal(Number(answer.headers['content-length']), answer.body.length)
    assert.equal(answer.headers['content-range'], undefined)
    const type = String(answer.headers['content-type'])
    const boundary = /^multipart\/byteranges; boundary=(\w{16,70})$/.exec(type)?.[1]
    assert.ok(boundary)
    const part = (from: number, to: number) => [
      Buffer.from(
        `--${boundary}\r\nContent-Type: video/mp4\r\nContent-Range: bytes ${from}-${to}/700001\r\n\r\n`,
      ),
      contents.subarray(from, to + 1),
      Buffer.from('\r\n'),
    ]
    const expected = [part(600_000, 700_000), part(0, 0), part(1000, 300_000)].flat()
    assert.ok(answer.body.equals(Buffer.concat([...expected, Buffer.from(`--${boundary}--\r\n`)])))
  })
})

test('a 304 repeats what caches need and nothing else', async () => {
  await withFileServer({}, async ({ file, token, ask }) => {
    const { sha256 } = await file(path, 'bytes')
    const target = `${encoded}?token=${await token()}`
    const answer = await ask(target, { headers: { 'if-none-match': `"${sha256}"` } })
    assert.equal(answer.status, 304)
    assert.equal(answer.headers.etag, `"${sha256}"`)
    assert.match(String(answer.headers['cache-control']), /^private, max-age=/)
    assert.equal(answer.headers['cloudflare-cdn-cache-control'], 'no-store')
    for (const name of ['content-type', 'content-length', 'content-disposition', 'repr-digest'])
      assert.equal(answer.headers[name], undefined, name)
  })
})

test('a client can check what it put together by the digest of the whole', async () => {
  await withFileServer({}, async ({ file, token, ask }) => {
    const contents = randomBytes(1000)
    const sha256 = createHash('sha256').update(contents)
    const hex = sha256.copy().digest('hex')
    await file(path, contents, { sha256: hex })
    const target = `${encoded}?token=${await token()}`
    for (const headers of [{}, { range: 'bytes=5-6' }]) {
      const answer = await ask(target, { headers })
      assert.equal(answer.headers['repr-digest'], `sha-256=:${sha256.copy().digest('base64')}:`)
    }
  })
})

test('every refusal is small JSON that no cache keeps', async () => {
  await withFileServer({}, async ({ file, token, ask }) => {
    await file(path, 'bytes')
    await file('damaged.mp4', 'bytes', { bytes: 6 })
    const query = `?token=${await token()}`
    const cases: [number, string, string, Record<string, string>?, string?][] = [
      [400, 'REQUEST_INVALID', '/health', { host: 'a b' }],
      [401, 'TOKEN_INVALID', encoded],
      [403, 'TOKEN_FOR_ANOTHER_FILE', `${encoded}?token=${await token(2)}`],
      [404, 'NOT_FOUND', `/absent.mp4${query}`],
      [405, 'METHOD_NOT_ALLOWED', encoded + query, {}, 'POST'],
      [412, 'PRECONDITION_FAILED', encoded + query, { 'if-match': '"x"' }],
      [414, 'URL_TOO_LONG', `/${'x'.repeat(8200)}${query}`],
      [416, 'RANGE_UNSATISFIABLE', encoded + query, { range: 'bytes=5-' }],
      [503, 'ARCHIVE_DAMAGED', `/damaged.mp4${query}`],
    ]
    for (const [status, code, target, headers = {}, method = 'GET'] of cases) {
      const answer = await ask(target, { headers, method })
      assert.equal(answer.status, status, code)
      assertNeverStored(answer)
      assert.match(String(answer.headers['content-type']), /^application\/json/)
      const body = JSON.parse(answer.body.toString())
      assert.ok(status === 400 || typeof body.message === 'string')
      assert.equal(body.error, code)
      assert.ok(answer.body.length < 200)
    }
  })
})

test('other methods are refused with the ones that are allowed', async () => {
  await withFileServer({}, async ({ file, token, ask }) => {
    await file(path, 'bytes')
    for (const method of ['POST', 'PUT', 'DELETE', 'PATCH', 'OPTIONS', 'TRACE', 'PROPFIND']) {
      for (const target of [`${encoded}?token=${await token()}`, '/health', '/health/deep']) {
        const answer = await ask(target, { method })
        assert.equal(answer.status, 405, `${method} ${target}`)
        assert.equal(answer.headers.allow, 'GET, HEAD')
      }
    }
  })
})

test('a range is answered with its bytes, an impossible one with the size', async () => {
  await withFileServer({}, async ({ file, token, ask }) => {
    const contents = randomBytes(400_000)
    const sidecar = await file(path, contents)
    const target = `${encoded}/-?token=${await token()}`
    const cases: [string, number, number][] = [
      ['bytes=0-0', 0, 1],
      ['bytes=131071-131072', 131_071, 131_073],
      ['bytes=1000-', 1000, 400_000],
      ['bytes=-1', 399_999, 400_000],
      ['bytes=-999999', 0, 400_000],
      ['bytes=399999-999999999999', 399_999, 400_000],
    ]
    for (const [range, from, to] of cases) {
      const answer = await ask(target, { headers: { range } })
      assert.equal(answer.status, 206, range)
      assert.equal(answer.headers['content-range'], `bytes ${from}-${to - 1}/400000`)
      assert.equal(answer.headers['content-length'], String(to - from))
      assert.deepEqual(answer.body, contents.subarray(from, to))
    }
    const beyond = await ask(target, { headers: { range: 'bytes=400000-' } })
    assert.equal(beyond.status, 416)
    assert.equal(beyond.headers['content-range'], 'bytes */400000')
    const resumed = { range: 'bytes=5-', 'if-range': `"${sidecar.sha256}"` }
    assert.equal((await ask(target, { headers: resumed })).status, 206)
    const changed = { ...resumed, 'if-range': '"another"' }
    assert.deepEqual((await ask(target, { headers: changed })).body, contents)
    const several = await ask(target, { headers: { range: ['bytes=0-1', 'bytes=2-3'] } })
    assert.equal(several.status, 200)
  })
})

test('a file that the browser still has is not sent again', async () => {
  await withFileServer({}, async ({ file, token, ask }) => {
    const sidecar = await file(path, 'bytes')
    const target = `${encoded}?token=${await token()}`
    const answer = await ask(target, { headers: { 'if-none-match': `W/"${sidecar.sha256}"` } })
    assert.equal(answer.status, 304)
    assert.equal(answer.body.length, 0)
    assert.equal(answer.headers.etag, `"${sidecar.sha256}"`)
    assert.match(String(answer.headers['cache-control']), /^private, max-age=\d+, no-transform$/)
  })
})

test('an empty file is served whole, also where a range of it is asked for', async () => {
  await withFileServer({}, async ({ file, token, ask }) => {
    await file('empty.mp4', '')
    for (const headers of [{}, { range: 'bytes=0-' }, { range: 'bytes=-1' }]) {
      const answer = await ask(`/empty.mp4?token=${await token()}`, { headers })
      assert.equal(answer.status, 200)
      assert.equal(answer.headers['content-length'], '0')
    }
  })
})

test('bytes beyond four gigabytes are found at their place', async () => {
  await withFileServer({}, async ({ file, token, ask }) => {
    const size = 5 * 2 ** 30
    await file('large.mp4', size)
    const target = `/large.mp4?token=${await token()}`
    const answer = await ask(target, { headers: { range: `bytes=${2 ** 32 + 7}-${2 ** 32 + 9}` } })
    assert.equal(answer.headers['content-range'], `bytes ${2 ** 32 + 7}-${2 ** 32 + 9}/${size}`)
    assert.deepEqual(answer.body, Buffer.alloc(3))
    const head = await ask(target, { method: 'HEAD' })
    assert.equal(head.headers['content-length'], String(size))
  })
})

test('only media that cannot run in a browser are shown in place', async () => {
  await withFileServer({}, async ({ file, token, ask }) => {
    for (const [type, shown] of Object.entries({
      'video/mp4': true,
      'audio/mpeg': true,
      'image/jpeg': true,
      'image/svg+xml': false,
      'text/html': false,
      'application/xml': false,
    })) {
      const name = type.replace('/', '-')
      await file(name, 'bytes', { mime_type: type, filename: name })
      const query = `?disposition=inline&token=${await token()}`
      const { headers } = await ask(`/${name}${query}`)
      const expected = `${shown ? 'inline' : 'attachment'}; filename="${name}"`
      assert.equal(headers['content-disposition'], expected)
      assert.equal(headers['content-type'], type)
    }
  })
})

test('the path prefix is taken off, and what lacks it is no file', async () => {
  await withFileServer({ pathPrefix: '/files/v1/' }, async ({ file, token, ask }) => {
    await file(path, 'bytes')
    const query = `?token=${await token()}`
    assert.equal((await ask(`/files/v1${encoded}${query}`)).status, 200)
    assert.equal((await ask(linkPathOf(path, '/files/v1') + query)).status, 200)
    assert.equal((await ask(encoded + query)).status, 404)
    assert.equal((await ask(`/files${encoded}${query}`)).status, 404)
    assert.equal((await ask('/health')).status, 200)
  })
})

test('a link is its own cleaned form, and a path that needs cleaning opens nothing', async () => {
  await withFileServer({}, async ({ file, token, ask }) => {
    await file(path, 'bytes')
    const query = `?token=${await token()}`
    const link = linkPathOf(path, '')
    assert.equal(link, '/2026/01/7/a%20film.mp4/-')
    assert.equal(posix.normalize(link), link)
    assert.equal((await ask(link + query)).status, 200)
    for (const raw of [`/${link}`, link.replace('/01/', '//01/'), `/.${link}`, `${link}/`]) {
      assert.equal((await ask(raw + query)).status, 404, raw)
    }
  })
})

test('an address in full, as proxies send it, is understood', async () => {
  await withFileServer({}, async ({ file, token, ask }) => {
    await file(path, 'bytes')
    const answer = await ask(`http://files.example${encoded}?token=${await token()}`)
    assert.equal(answer.status, 200)
  })
})

test('no token appears in any log line, whatever becomes of its request', async () => {
  await withFileServer({}, async ({ file, token, ask, log }) => {
    await file(path, 'bytes')
    await file('damaged.mp4', 'bytes', { bytes: 6 })
    const good = await token()
    const other = await token(2)
    for (const target of [
      `${encoded}?token=${good}`,
      `${encoded}?token=${other}`,
      `${encoded}?token=${good}x`,
      `/absent?token=${good}`,
      `/damaged.mp4?token=${good}`,
      `/${good}?token=${good}`,
      `/${good.replaceAll('.', '%2E')}`,
      `/%65${good.slice(1)}`,
      `${encoded};token=${good}`,
      `${encoded}%3Ftoken=${good}`,
      `http://x/${good}?token=${good}`,
      `/health?token=${good}`,
    ]) {
      await ask(target)
      await ask(target, { method: 'DELETE' })
    }
    await log.requests(24)
    for (const part of [...good.split('.'), ...other.split('.')]) {
      assert.equal(log.text().includes(part.slice(1)), false)
    }
  })
})

test('one log line tells what became of a download', async () => {
  await withFileServer({}, async ({ file, token, ask, log }) => {
    await file(path, 'bytes', { media_id: 7 })
    await ask(`${encoded}/-?token=${await token(7)}`)
    const [line] = await log.requests(1)
    assert.equal(line?.level, 'info')
    const { durationMs, jti, ...fields } = line?.fields ?? {}
    assert.equal(typeof durationMs, 'number')
    assert.equal(typeof jti, 'string')
    assert.deepEqual(fields, {
      method: 'GET',
      path: `${encoded}/-`,
      status: 200,
      mediaId: 7,
      bytes: 5,
      complete: true,
    })
  })
})
