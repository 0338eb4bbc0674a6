import assert from 'node:assert/strict'
import { once } from 'node:events'
import { get, type IncomingMessage, request } from 'node:http'
import { describe, test } from 'node:test'
import type { Item } from '../../src/media.ts'
import { intentFor } from '../contract/items-stores.ts'
import { type AdminScope, adminToken, withAdmin } from '../support/admin.ts'
import { addFile } from '../support/file-server.ts'

interface Answer {
  status: number
  headers: Record<string, string | string[] | undefined>
  text: string
}

interface Wish {
  headers?: Record<string, string>
  form?: Record<string, string>
}

/** As a browser asks, but with whatever headers; it follows nothing. */
function ask(
  { port }: AdminScope,
  path: string,
  { headers = {}, form }: Wish = {},
): Promise<Answer> {
  const body = form === undefined ? '' : new URLSearchParams(form).toString()
  const sent = {
    Accept: 'text/html',
    ...(form && { 'Content-Type': 'application/x-www-form-urlencoded' }),
    ...(form && { 'Content-Length': String(Buffer.byteLength(body)) }),
    ...headers,
  }
  return new Promise((resolve, reject) => {
    const method = form === undefined ? 'GET' : 'POST'
    const asked = request({ host: '127.0.0.1', port, path, method, headers: sent }, (answer) => {
      let text = ''
      answer.setEncoding('utf8').on('data', (chunk: string) => {
        text += chunk
      })
      answer.on('end', () =>
        resolve({ status: answer.statusCode ?? 0, headers: answer.headers, text }),
      )
    })
    asked.on('error', reject).end(body)
  })
}

/** Signs in. @returns the cookie, and the secret of its forms */
async function signIn(on: AdminScope): Promise<{ Cookie: string; csrf: string }> {
  const { status, headers } = await ask(on, '/login', { form: { token: adminToken } })
  assert.equal(status, 303)
  const [Cookie = ''] = String(headers['set-cookie']).split(';')
  const { text } = await ask(on, '/', { headers: { Cookie } })
  const csrf = /name="csrf" value="([^"]+)"/.exec(text)?.[1] ?? assert.fail(text)
  return { Cookie, csrf }
}

/** Media 1 is archived, with its file; 2 is rejected. */
async function filled(on: AdminScope, name = 'clip.mp4'): Promise<AdminScope> {
  const { store } = on
  const items = store.worker('a')
  for (const id of [1, 2]) await store.addMedia(id, { filename: name })
  const [archived, rejected] = (await items.claim(2, [])) as [Item, Item]
  await items.commitIntent(archived, intentFor(archived, '2026/01/1/clip.mp4'))
  await items.record(archived)
  const facts = { media_id: 1, filename: name }
  const contents = Buffer.from('the bytes of a film')
  await addFile(on.archiveDir, { path: '2026/01/1/clip.mp4', contents, facts })
  await items.reject(rejected, { reason: name, report: 'r', sha256: 'ab', sizeBytes: 5 })
  return on
}

const places = [
  '/',
  '/items',
  '/media/1',
  '/media/1/file',
  '/runs',
  '/integrity',
  '/actions',
  '/docs',
]

describe('the console', () => {
  test('shows nothing to who is not signed in, and leads to the sign-in and back', async (t) => {
    const on = await filled(await withAdmin(t))
    for (const place of [...places, '/nothing']) {
      const { status, headers, text } = await ask(on, place)
      assert.deepEqual([status, text], [303, ''], place)
      const next = place === '/' ? '' : `?next=${encodeURIComponent(place)}`
      assert.equal(headers.location, `/login${next}`)
    }
    assert.equal((await ask(on, '/events')).status, 401)
    for (const path of ['/sync', '/media/1/link', '/media/1/verify', '/integrity/look', '/logout'])
      assert.equal((await ask(on, path, { form: {} })).status, 401, path)
    const actions = await on.store.sql`select from strongroom.admin_actions`
    assert.equal(actions.length, 0)
    const back = await ask(on, '/login', { form: { token: adminToken, next: '/media/1' } })
    assert.equal(back.headers.location, '/media/1')
    for (const next of ['//evil.example', '/\\evil.example', 'https://evil.example', '/a b'])
      assert.equal(
        (await ask(on, '/login', { form: { token: adminToken, next } })).headers.location,
        '/',
        next,
      )
  })

  test('keeps a session in a cookie that no script and no other site sees, never the token', async (t) => {
    const on = await withAdmin(t)
    const { headers } = await ask(on, '/login', { form: { token: adminToken } })
    const cookie = String(headers['set-cookie'])
    assert.match(cookie, /^strongroom_session=[\w-]{43}; Path=\/; HttpOnly; SameSite=Strict$/)
    assert.doesNotMatch(cookie, new RegExp(adminToken))
    const origin = { Origin: `https://127.0.0.1:${on.port}` }
    const https = await ask(on, '/login', { form: { token: adminToken }, headers: origin })
    assert.match(String(https.headers['set-cookie']), /; Secure/)
    const { Cookie, csrf } = await signIn(on)
    assert.equal((await ask(on, '/', { headers: { Cookie } })).status, 200)
    const [events] = (await once(
      get({ host: '127.0.0.1', port: on.port, path: '/events', headers: { Cookie } }),
      'response',
    )) as [IncomingMessage]
    assert.equal(events.statusCode, 200)
    const ended = once(events.resume(), 'end')
    const out = await ask(on, '/logout', { form: { csrf }, headers: { Cookie } })
    assert.equal(out.headers.location, '/login')
    assert.equal((await ask(on, '/', { headers: { Cookie } })).status, 303, 'it is over')
    await ended
  })

  test('tells what is wrong with a run and what to do as two sentences', async (t) => {
    const on = await withAdmin(t)
    await on.store.sql`
      insert into strongroom.runs (job, trigger, mode, status, node, ended_at, error_code, error_message, error_hint)
      values ('sync', 'manual', 'live', 'failed', 'nas', now(), 'DB_SCHEMA', 'it does not fit', 'run doctor')`
    const { Cookie } = await signIn(on)
    for (const place of ['/', '/runs'])
      assert.match(
        (await ask(on, place, { headers: { Cookie } })).text,
        /it does not fit\. Next: run doctor</,
      )
  })

  test('slows down who guesses, and nobody else', async (t) => {
    const on = await withAdmin(t)
    for (let n = 0; n < 10; n++) {
      const { status, text } = await ask(on, '/login', { form: { token: `guess ${n}` } })
      assert.equal(status, 401)
      assert.match(text, /That is not the admin token/)
    }
    assert.equal((await ask(on, '/login', { form: { token: 'guess' } })).status, 429)
    assert.equal((await ask(on, '/login', { form: { token: adminToken } })).status, 303)
    assert.doesNotMatch(on.log.text(), /guess/)
  })

  test('takes forms of its own pages only', async (t) => {
    const on = await filled(await withAdmin(t))
    const { Cookie, csrf } = await signIn(on)
    const stranger = await signIn(on)
    const host = `127.0.0.1:${on.port}`
    const refused: Wish[] = [
      { form: {}, headers: { Cookie } },
      { form: { csrf: 'x'.repeat(csrf.length) }, headers: { Cookie } },
      { form: { csrf: stranger.csrf }, headers: { Cookie } },
      { form: { csrf }, headers: { Cookie, Origin: 'https://evil.example' } },
      { form: { csrf }, headers: { Cookie, Origin: 'null' } },
      { form: { csrf }, headers: { Cookie, 'Sec-Fetch-Site': 'cross-site' } },
      { form: { csrf }, headers: { Cookie, 'Sec-Fetch-Site': 'same-site' } },
    ]
    for (const wish of refused) {
      const { status } = await ask(on, '/media/1/verify', wish)
      assert.equal(status, 403, JSON.stringify(wish))
    }
    const json = { Cookie, 'Content-Type': 'application/json' }
    assert.equal((await ask(on, '/media/1/verify', { form: { csrf }, headers: json })).status, 400)
    const get = await ask(on, '/media/1/verify', { headers: { Cookie } })
    assert.equal(get.status, 404, 'a link changes nothing')
    assert.equal((await on.store.sql`select from strongroom.admin_actions`).length, 0)
    const own = { Cookie, Origin: `http://${host}`, 'Sec-Fetch-Site': 'same-origin' }
    const done = await ask(on, '/media/1/verify', { form: { csrf }, headers: own })
    assert.deepEqual([done.status, done.headers.location], [303, '/media/1'])
    const foreignLogin = {
      form: { token: adminToken },
      headers: { Origin: 'https://evil.example' },
    }
    assert.equal((await ask(on, '/login', foreignLogin)).status, 403)
  })

  test('answers to names that no stranger can have point here', async (t) => {
    const on = await withAdmin(t, {
      ADMIN_HOSTS: 'room.example.org',
      ADMIN_URL: 'https://nas.example.net',
    })
    for (const [host, status] of [
      ['evil.example', 403],
      ['127.0.0.1.evil.example:8081', 403],
      ['room.example.org.evil.example', 403],
      ['tower:8081', 200],
      ['nas.local', 200],
      ['localhost:8081', 200],
      ['[::1]:8081', 200],
      ['192.168.1.5:8081', 200],
      ['Room.Example.org:8443', 200],
      ['nas.example.net', 200],
    ] as const)
      assert.equal((await ask(on, '/login', { headers: { Host: host } })).status, status, host)
  })

  test('has no script within its pages, and none from elsewhere, and is in no frame', async (t) => {
    const on = await filled(await withAdmin(t))
    const { Cookie } = await signIn(on)
    for (const place of ['/login', ...places.filter((one) => !one.endsWith('/file'))]) {
      const { status, headers, text } = await ask(on, place, { headers: { Cookie } })
      assert.equal(status, 200, place)
      const policy = String(headers['content-security-policy'])
      assert.match(policy, /^default-src 'none'; style-src 'self'; script-src 'self';/)
      assert.match(policy, /frame-ancestors 'none'; base-uri 'none'$/)
      assert.doesNotMatch(policy, /unsafe|\*|https?:/)
      assert.equal(headers['x-frame-options'], 'DENY')
      assert.equal(headers['cache-control'], 'no-store')
      assert.equal(headers['x-content-type-options'], 'nosniff')
      const own = text.replaceAll('<script src="/assets/live.js" defer></script>', '')
      assert.doesNotMatch(own, /<script|\son\w+=|style=|javascript:/i, place)
      const targets = [...text.matchAll(/(?:src|href|action)="([^"]*)"/g)].map(([, to]) => to ?? '')
      assert.deepEqual(
        targets.filter((to) => !/^(?:\/(?!\/)|#)/.test(to)),
        [],
        'and refers to nothing but itself',
      )
    }
  })

  for (const [what, name] of [
    ['script', '<script>alert(1)</script><img src=x onerror=alert(2)>'],
    ['quotes', `"><svg onload=alert(3)> ' " \` &lt; {{7*7}}`],
    ['turned text', 'invoice\u202Egpj.exe\u2066 \u0007 \u001b[31m'],
    ['10 KB', 'näme '.repeat(2048)],
  ] as const)
    test(`shows a name of ${what} as text`, async (t) => {
      const on = await filled(await withAdmin(t), name)
      const title = name.replaceAll('\0', '')
      await on.store
        .sql`update strongroom.items set title = ${title}, error_message = ${title}, damage = ${title}`
      const { Cookie } = await signIn(on)
      const query = encodeURIComponent(name.slice(0, 150))
      for (const place of [
        '/',
        '/items',
        '/media/1',
        '/media/2',
        '/integrity',
        `/items?q=${query}`,
      ]) {
        const { status, text } = await ask(on, place, { headers: { Cookie } })
        assert.equal(status, 200, place)
        assert.doesNotMatch(text, /<script>|<img src=x|<svg onload|<svg on/, place)
        assert.doesNotMatch(text, /[\u202a-\u202e\u2066-\u2069\u0007\u001b]/, place)
        assert.ok(text.length < 40_000, `${place}: ${text.length}`)
      }
    })

  test('leads from a page of what nobody has seen to the next page of it', async (t) => {
    const on = await withAdmin(t)
    const items = on.store.worker('a')
    for (let id = 1; id <= 52; id++) await on.store.addMedia(id)
    const refusal = { reason: 'no video in it', report: 'r', sha256: 'ab', sizeBytes: 5 }
    for (const item of await items.claim(52, [])) await items.reject(item, refusal)
    const { Cookie, csrf } = await signIn(on)
    await ask(on, '/media/1/acknowledge', { form: { csrf }, headers: { Cookie } })
    const first = await ask(on, '/items?state=rejected&unseen=true', { headers: { Cookie } })
    const [, older = ''] = /<a rel="next" href="([^"]+)"/.exec(first.text) ?? []
    const next = await ask(on, older.replaceAll('&amp;', '&'), { headers: { Cookie } })
    const shown = [...next.text.matchAll(/href="\/media\/(\d+)"/g)].map(([, id]) => id)
    assert.deepEqual(shown, ['2'], 'and not 1, which somebody has seen')
  })

  test('counts all that is damaged, not only what it has room for', async (t) => {
    const on = await withAdmin(t)
    const items = on.store.worker('a')
    for (let id = 1; id <= 11; id++) await on.store.addMedia(id)
    for (const item of await items.claim(11, [])) {
      await items.commitIntent(item, intentFor(item, `2026/01/${item.media.mediaId}/clip.mp4`))
      await items.record(item)
    }
    await on.store
      .sql`update strongroom.items set damage = 'damaged: other bytes', damaged_at = now()`
    const { Cookie } = await signIn(on)
    const { text } = await ask(on, '/', { headers: { Cookie } })
    assert.match(text, /<dt>Needs a person<\/dt><dd>11<\/dd>/)
  })

  test('plays a file in the page, in ranges, and to nobody without a session', async (t) => {
    const on = await filled(await withAdmin(t))
    const { Cookie } = await signIn(on)
    const whole = await ask(on, '/media/1/file', { headers: { Cookie } })
    assert.deepEqual([whole.status, whole.text], [200, 'the bytes of a film'])
    assert.match(String(whole.headers['content-security-policy']), /^sandbox/)
    const part = await ask(on, '/media/1/file', { headers: { Cookie, Range: 'bytes=4-8' } })
    assert.deepEqual([part.status, part.text], [206, 'bytes'])
    assert.equal((await ask(on, '/media/2/file', { headers: { Cookie } })).status, 404)
    assert.doesNotMatch(on.log.text(), /eyJ/, 'and the token of that one request is in no log')
  })

  test('says so where a button would change nothing, because no file is read again by itself', async (t) => {
    const on = await filled(await withAdmin(t, { SCRUB_PERIOD: '0' }))
    const { Cookie, csrf } = await signIn(on)
    const pressed = await ask(on, '/media/1/verify', { form: { csrf }, headers: { Cookie } })
    assert.deepEqual([pressed.status, pressed.headers.location], [303, '/media/1'])
    const { text } = await ask(on, '/media/1', { headers: { Cookie } })
    assert.match(text, /Not done: SCRUB_PERIOD is 0/)
  })

  test('says what is wrong, and keeps what it knew, while the database is away', async (t) => {
    const on = await filled(await withAdmin(t))
    const { Cookie } = await signIn(on)
    await on.store.sql`alter table strongroom.items rename to elsewhere`
    const { status, text } = await ask(on, '/items', { headers: { Cookie } })
    assert.equal(status, 503)
    assert.match(text, /That did not work/)
    const health = await ask(on, '/health')
    assert.equal(health.status, 200)
    await on.store.sql`alter table strongroom.elsewhere rename to items`
  })
})
