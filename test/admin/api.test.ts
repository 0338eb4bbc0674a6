import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { Validator } from '@seriousme/openapi-schema-validator'
import { createApi, documentOf } from '../../src/admin/api.ts'
import * as schema from '../../src/admin/api-schemas.ts'
import { createLive } from '../../src/admin/live.ts'
import type { AdminParts } from '../../src/admin/parts.ts'
import { AppError } from '../../src/errors.ts'
import type { Item } from '../../src/media.ts'
import { intentFor } from '../contract/items-stores.ts'
import { type AdminScope, adminToken, withAdmin } from '../support/admin.ts'
import type { Env } from '../support/config.ts'
import { captureLog } from '../support/file-server.ts'

const nowhere = () => Promise.reject(new AppError('DB_UNAVAILABLE', 'there is none'))
const parts: AdminParts = {
  version: '1.2.3',
  token: adminToken,
  hosts: [],
  database: { run: nowhere, settle: nowhere, rehearse: nowhere, script: nowhere, close: nowhere },
  backend: nowhere,
  health: nowhere,
  mint: nowhere,
  revoke: nowhere,
  storage: nowhere,
  sidecar: nowhere,
  lookAround: nowhere,
  live: createLive(),
  node: 'nas',
  mode: 'live',
  scrubs: true,
  closing: new AbortController().signal,
  log: captureLog(),
}

/** Media 1 is archived, 2 waits, 3 is held, 4 was rejected, 5 is approved and not begun. */
async function filled(on: AdminScope): Promise<AdminScope> {
  const { store } = on
  const items = store.worker('a')
  for (const id of [1, 2, 3, 4]) await store.addMedia(id, { filename: `harbour at dawn ${id}.mp4` })
  const claimed = (await items.claim(4, [])) as [Item, Item, Item, Item]
  const [archived, waiting, held, rejected] = claimed
  await items.commitIntent(archived, intentFor(archived, '2026/01/1/clip.mp4'))
  await items.record(archived)
  const later = new AppError('TRANSFER_BROKEN', 'the connection was reset')
  await items.putBack(waiting, { state: 'waiting', error: later, delayMs: 3_600_000, burn: true })
  const changed = new AppError('CHANGED_AFTER_APPROVAL', 'the object is newer than its approval')
  await items.putBack(held, { state: 'held', error: changed })
  await items.reject(rejected, {
    reason: 'no video in it',
    report: 'r',
    sha256: 'ab',
    sizeBytes: 5,
  })
  await store.addMedia(5)
  return on
}

interface Call {
  method: 'get' | 'post'
  /** As the document names it. */
  path: string
  url?: string
  body?: unknown
  status: number
  answer?: { parse(value: unknown): unknown }
}

const calls: readonly Call[] = [
  { method: 'get', path: '/health', status: 200, answer: schema.health },
  { method: 'post', path: '/runs', body: { job: 'sync' }, status: 202, answer: schema.run },
  { method: 'get', path: '/runs', status: 200, answer: schema.runPage },
  { method: 'get', path: '/runs/{id}', url: '/runs/1', status: 200, answer: schema.loggedRun },
  { method: 'get', path: '/items', status: 200, answer: schema.itemPage },
  { method: 'get', path: '/items/{media_id}', url: '/items/1', status: 200, answer: schema.medium },
  {
    method: 'post',
    path: '/items/{media_id}/retry',
    url: '/items/2/retry',
    status: 200,
    answer: schema.done,
  },
  {
    method: 'post',
    path: '/items/{media_id}/acknowledge',
    url: '/items/3/acknowledge',
    body: { note: 'the uploader was asked' },
    status: 200,
    answer: schema.done,
  },
  {
    method: 'post',
    path: '/items/{media_id}/verify',
    url: '/items/1/verify',
    status: 202,
    answer: schema.done,
  },
  { method: 'post', path: '/tokens', body: { media_id: 1 }, status: 201, answer: schema.link },
  {
    method: 'post',
    path: '/tokens/revoke',
    body: { token: 'a-jti' },
    status: 200,
    answer: schema.revoked,
  },
  { method: 'get', path: '/actions', status: 200, answer: schema.actionPage },
  { method: 'get', path: '/openapi.json', status: 200 },
]

const ofCall = ({ method, path }: Pick<Call, 'method' | 'path'>) => `${method} ${path}`

describe('the OpenAPI document', () => {
  const api = createApi(parts, { admit: () => {} })
  const document = documentOf(api, '1.2.3')

  test('is valid OpenAPI 3.1', async () => {
    const validator = new Validator()
    const plain = JSON.parse(JSON.stringify(document))
    assert.deepEqual(await validator.validate(plain), { valid: true })
    assert.equal(validator.version, '3.1')
  })

  test('names every route that there is, and no other', () => {
    const there = api.routes
      .filter(({ method }) => method !== 'ALL')
      .map(({ method, path }) =>
        ofCall({
          method: method === 'GET' ? 'get' : 'post',
          path: path.replace(/:(\w+)/g, '{$1}'),
        }),
      )
    const told = Object.entries(document.paths ?? {}).flatMap(([path, methods]) =>
      Object.keys(methods).map((method) => `${method} ${path}`),
    )
    assert.deepEqual([...new Set(there)].toSorted(), told.toSorted())
  })

  test('names no route that is not called here', () => {
    const told = Object.entries(document.paths ?? {}).flatMap(([path, methods]) =>
      Object.keys(methods).map((method) => `${method} ${path}`),
    )
    assert.deepEqual(calls.map(ofCall).toSorted(), told.toSorted())
  })
})

test('a body is required by the document where a request without one is refused, and nowhere else', async (t) => {
  const { ask } = await filled(await withAdmin(t))
  const { paths } = documentOf(createApi(parts, { admit: () => {} }), '1')
  for (const { path, url = path, body } of calls) {
    if (body === undefined) continue
    const { requestBody } = paths?.[path]?.post ?? {}
    const required = requestBody !== undefined && 'required' in requestBody && requestBody.required
    const { status } = await ask('POST', `/api/v1${url}`)
    assert.equal(required, status === 400, path)
  }
})

test('every route answers as its schema says, and changes are entered', async (t) => {
  const { ask, store } = await filled(await withAdmin(t))
  for (const { method, path, url = path, body, status, answer } of calls) {
    const given = await ask(
      method.toUpperCase(),
      `/api/v1${url}`,
      body === undefined ? {} : { body },
    )
    assert.equal(given.status, status, `${path}: ${JSON.stringify(given.body)}`)
    if (answer !== undefined) assert.deepEqual(answer.parse(given.body), given.body, path)
    assert.equal(given.headers.get('cache-control'), 'no-store')
  }
  const entered = await store.sql<{ action: string; actor: string; outcome: string }[]>`
    select action, actor, outcome from strongroom.admin_actions order by id`
  assert.deepEqual(
    entered.map(({ action, actor, outcome }) => [action, actor, outcome]),
    ['sync', 'retry', 'acknowledge', 'verify', 'mint', 'revoke'].map((action) => [
      action,
      'api',
      'done',
    ]),
  )
})

test('what waits is next after a retry, and what needs an approval says so instead', async (t) => {
  const { ask, store } = await filled(await withAdmin(t))
  const due = () => store.sql<{ media_id: number }[]>`
    select media_id from strongroom.items
    where state in ('waiting', 'missing') and next_attempt_at <= clock_timestamp()`
  assert.deepEqual([...(await due())], [])
  const answer = await ask('POST', '/api/v1/items/2/retry')
  assert.equal(answer.status, 200)
  assert.deepEqual(
    (await due()).map((row) => row.media_id),
    [2],
  )
  const [item] = await store.worker('b').claim(1, [])
  assert.equal(item?.media.mediaId, 2, 'and the next run takes it')
  const inWork = await ask('POST', '/api/v1/items/2/retry')
  assert.equal(inWork.status, 409)
  assert.match(JSON.stringify(inWork.body), /has media 2 in hand/)

  const before = await store.seen()
  for (const [id, says] of [
    [1, /is archived: a retry would change nothing/],
    [3, /is held: .*approve the row again/],
    [4, /is rejected: .*approve again/],
  ] as const) {
    const { status, body } = await ask('POST', `/api/v1/items/${id}/retry`)
    assert.equal(status, 409)
    assert.match(JSON.stringify(body), says)
  }
  for (const [id, says] of [
    [5, /nothing of media 5 was begun/],
    [6, /nothing of media 6 was begun/],
  ] as const) {
    const { status, body } = await ask('POST', `/api/v1/items/${id}/retry`)
    assert.equal(status, 404)
    assert.match(JSON.stringify(body), says)
  }
  assert.deepEqual(await store.seen(), before)
  const refused = await store.sql<{ outcome: string }[]>`
    select outcome from strongroom.admin_actions order by id`
  assert.deepEqual(
    refused.map(({ outcome }) => outcome),
    ['done', ...Array.from({ length: 4 }, () => 'ACTION_REFUSED'), 'NOT_FOUND', 'NOT_FOUND'],
  )
})

const idle: [env: Env, path: string, body: object | undefined, says: RegExp][] = [
  [
    { SCRUB_PERIOD: '0' },
    '/items/1/verify',
    undefined,
    /SCRUB_PERIOD is 0.*strongroom verify --media 1/,
  ],
  [{ MODE: 'dry-run' }, '/items/1/verify', undefined, /MODE is dry-run/],
  [{ MODE: 'dry-run' }, '/runs', { job: 'sync' }, /MODE is dry-run/],
]
for (const [env, path, body, says] of idle)
  test(`${path} is refused with ${JSON.stringify(env)}: nobody would ever come to it`, async (t) => {
    const { ask, store } = await filled(await withAdmin(t, env))
    const answer = await ask('POST', `/api/v1${path}`, body === undefined ? {} : { body })
    assert.equal(answer.status, 409)
    assert.match(JSON.stringify(answer.body), says)
    const wanted = await store.sql`select from strongroom.items where reading_wanted_at is not null`
    const runs = await store.sql`select from strongroom.runs`
    assert.deepEqual([wanted.length, runs.length], [0, 0])
  })

test('what was acknowledged is left out of what is unseen until its state changes', async (t) => {
  const { ask, store } = await filled(await withAdmin(t))
  const unseen = async () => {
    const { body } = await ask('GET', '/api/v1/items?state=held&unseen=true')
    return schema.itemPage.parse(body).items.map((item) => item.media_id)
  }
  assert.deepEqual(await unseen(), [3])
  await ask('POST', '/api/v1/items/3/acknowledge')
  assert.deepEqual(await unseen(), [], 'no note is needed')
  await store.sql`update strongroom.acknowledgements set state = 'missing'`
  assert.deepEqual(await unseen(), [3])
  const needless = await ask('POST', '/api/v1/items/1/acknowledge', { body: {} })
  assert.equal(needless.status, 409)
})

test('items come in pages, by state, by words, by id and by path', async (t) => {
  const { ask, store } = await filled(await withAdmin(t))
  const found = async (query: string) => {
    const { status, body } = await ask('GET', `/api/v1/items?${query}`)
    assert.equal(status, 200, JSON.stringify(body))
    const { items, next } = schema.itemPage.parse(body)
    return { ids: items.map((item) => item.media_id), next, items }
  }
  const first = await found('limit=3')
  assert.deepEqual(first.ids, [4, 3, 2])
  assert.deepEqual((await found(`limit=3&before=${first.next}`)).ids, [1])
  assert.deepEqual((await found('state=rejected')).ids, [4])
  assert.deepEqual((await found('q=DAWN')).ids, [4, 3, 2, 1])
  assert.deepEqual((await found('q=daw%203')).ids, [3])
  assert.deepEqual((await found('q=2')).ids, [2])
  assert.deepEqual((await found('q=2026/01/1/clip.mp4')).ids, [1])
  // Signs that mean something in a search of words are no words.
  assert.deepEqual((await found(`q=${encodeURIComponent("':* | !&<-> ")}`)).ids, [])
  assert.deepEqual((await found('q=%00')).ids, [], 'what no text of a database can hold')
  assert.deepEqual((await found(`q=${encodeURIComponent("dawn':* & !harbour")}`)).ids, [4, 3, 2, 1])
  const [rejected] = (await found('state=rejected')).items
  assert.match(rejected?.why ?? '', /^rejected\. It is not valid media.*no video in it/)
  // Approved again, and superseded: only the newest version of a medium is listed.
  await store.changeMedia(4, { objectKey: 'uploads/better.mp4' })
  await store.worker('b').claim(5, [])
  assert.deepEqual((await found('state=rejected')).ids, [])
})

test('a page of items has no more than the beginning of what somebody wrote at any length', async (t) => {
  const { ask, store } = await withAdmin(t)
  const long = 'ü'.repeat(100_000)
  await store.addMedia(1, { filename: long, objectKey: `uploads/${long}` })
  await store.sql`update media set title = ${long}`
  await store.worker('a').claim(1, [])
  const { body } = await ask('GET', '/api/v1/items')
  const [item] = schema.itemPage.parse(body).items
  assert.deepEqual([item?.title, item?.filename], [long.slice(0, 1_000), long.slice(0, 1_000)])
  assert.equal(item?.object_key, `uploads/${long}`.slice(0, 1_024), 'no key of a bucket is longer')
  const one = await ask('GET', '/api/v1/items/1')
  assert.equal(schema.medium.parse(one.body).versions[0]?.object_key, item?.object_key)
})

test('a link that was minted opens its file, and none once it is revoked', async (t) => {
  const { ask, store } = await filled(await withAdmin(t))
  const { body } = await ask('POST', '/api/v1/tokens', { body: { media_id: 1, ttl_seconds: 60 } })
  const { url, expires_at } = schema.link.parse(body)
  assert.match(url, /^http:\/\/127\.0\.0\.1:8080\/2026\/01\/1\/clip\.mp4\/-\?token=eyJ/)
  assert.ok(new Date(expires_at).getTime() <= Date.now() + 60_000)
  const revoked = await ask('POST', '/api/v1/tokens/revoke', { body: { token: url } })
  assert.equal(schema.revoked.parse(revoked.body).revoked, true)
  const subjects = await store.sql<
    { subject: string }[]
  >`select subject from strongroom.revocations`
  assert.equal(subjects.length, 1)
  const [action] = await store.sql<{ subject: string; revoked: string }[]>`
    select details->>'subject' as subject, details->>'revoked' as revoked from strongroom.admin_actions
    where action = 'revoke'`
  assert.deepEqual({ ...action }, { subject: subjects[0]?.subject, revoked: 'true' })
  for (const [order, status] of [
    [{ media_id: 3 }, 404],
    [{ media_id: 1, ttl_seconds: 0 }, 400],
    [{ media_id: 1, ttl_seconds: 1e9 }, 400],
    [{ media_id: 1, ip: 'nowhere' }, 400],
    [{}, 400],
  ] as const) {
    const refusal = await ask('POST', '/api/v1/tokens', { body: order })
    assert.equal(refusal.status, status, JSON.stringify(refusal.body))
    assert.ok(schema.problem.parse(refusal.body).hint.length > 0)
  }
})

test('without the token nothing is told, and nothing is guessed', async (t) => {
  const { ask, log } = await withAdmin(t)
  for (const path of ['/items', '/openapi.json', '/nothing'])
    for (const headers of [
      { Authorization: '' },
      { Authorization: 'Basic eDp5' },
      { Authorization: '', Cookie: `session=${adminToken}` },
    ]) {
      const { status, body } = await ask('GET', `/api/v1${path}`, { headers })
      assert.deepEqual([status, schema.problem.parse(body).error], [401, 'ADMIN_DENIED'], path)
    }
  const wrong = { headers: { Authorization: 'Bearer wrong' } }
  for (let n = 0; n < 10; n++) assert.equal((await ask('GET', '/api/v1/items', wrong)).status, 401)
  const slowed = await ask('GET', '/api/v1/items', wrong)
  assert.deepEqual([slowed.status, slowed.headers.get('retry-after')], [429, '60'])
  assert.equal((await ask('GET', '/api/v1/items')).status, 200, 'who has the right one')
  assert.equal((await ask('GET', '/health')).status, 200, 'but health stays open')
  assert.doesNotMatch(log.text(), new RegExp(adminToken))
})

test('without ADMIN_TOKEN the API says that it is off and how it is turned on', async (t) => {
  const { ask } = await withAdmin(t, { ADMIN_TOKEN: undefined })
  const { status, body } = await ask('GET', '/api/v1/items')
  const { error, hint } = schema.problem.parse(body)
  assert.deepEqual([status, error], [404, 'ADMIN_OFF'])
  assert.match(hint, /set ADMIN_TOKEN to at least 32 random bytes/)
  assert.equal((await ask('GET', '/health')).status, 200)
})

test('what is malformed is refused before anything is done', async (t) => {
  const { ask, store } = await filled(await withAdmin(t))
  const before = await store.seen()
  for (const [method, path, body, headers] of [
    ['GET', '/items?limit=0'],
    ['GET', '/items?limit=1000'],
    ['GET', '/items?state=nonsense'],
    ['GET', '/items?limit='],
    ['GET', '/items?limit=1e1'],
    ['GET', '/items?limit=%201'],
    ['GET', '/items?limit=1&limit=2'],
    ['GET', '/items?before=0x10'],
    ['GET', '/items?before=+7'],
    ['GET', '/items?unseen=TRUE'],
    ['GET', `/items?q=${'a'.repeat(201)}`],
    ['GET', '/items/zero'],
    ['GET', '/items/1e0'],
    ['GET', '/items/0x1'],
    ['GET', '/items/%201'],
    ['GET', '/items/-1'],
    ['GET', '/items/1.0'],
    ['GET', '/runs/1e0'],
    ['GET', '/runs?job=nonsense'],
    ['GET', '/actions?before=none'],
    ['GET', '/items/99999999999999999999'],
    ['POST', '/items/2/acknowledge', { note: 7 }],
    ['POST', '/items/2/acknowledge', { note: 'a\0b' }],
    ['POST', '/items/2/acknowledge', { note: 'half a pair \ud83c' }],
    ['POST', '/items/2/acknowledge', Buffer.from('{"note":')],
    ['POST', '/items/2/acknowledge', Buffer.from('note=x'), { 'Content-Type': 'text/plain' }],
    ['POST', '/runs', Buffer.from('')],
    ['POST', '/runs', { job: 'scrub' }],
    ['POST', '/runs', { job: 'sync', mode: 'dry-run' }],
    ['POST', '/tokens', []],
    ['POST', '/tokens', { media_id: '1; drop table media' }],
    // Whoever misspells what is to hold a link back must not get one that nothing does.
    ['POST', '/tokens', { media_id: 1, maxDownloads: 1 }],
    ['POST', '/tokens', { media_id: 1, ttl: 60 }],
    ['POST', '/tokens', { media_id: 1, address: '192.0.2.1' }],
    ['POST', '/tokens', { media_id: 1, ttl_seconds: 0 }],
    ['POST', '/tokens', { media_id: 1, ttl_seconds: 1.5 }],
    ['POST', '/tokens', { media_id: 1, max_downloads: 0 }],
    ['POST', '/tokens/revoke', { token: '' }],
    ['POST', '/tokens/revoke', { token: 'a', keep: 60 }],
    ['POST', '/items/3/acknowledge', { comment: 'seen' }],
    ['POST', '/tokens/revoke', { token: 'x'.repeat(70_000) }],
  ] as const) {
    const sent = body === undefined ? {} : { body, ...(headers && { headers }) }
    const answer = await ask(method, `/api/v1${path}`, sent)
    assert.equal(answer.status, 400, `${path}: ${JSON.stringify(answer.body)}`)
    const { error, message, hint } = schema.problem.parse(answer.body)
    assert.equal(error, 'REQUEST_INVALID')
    assert.doesNotMatch(message, /^:|NaN/)
    assert.match(hint, /openapi\.json/)
  }
  for (const [path, body] of [
    ['/tokens', { media_id: 1, ttl_seconds: 10 ** 9 }],
    ['/tokens', { media_id: 1, ip: 'here' }],
    ['/tokens', { media_id: 1, max_downloads: 1_001 }],
    ['/tokens/revoke', { token: 'https://media.example.org/f.mp4' }],
    ['/tokens/revoke', { token: 'eyJhbGciOiJIUzI1NiJ9.eyJtZWRp' }],
  ] as const) {
    const { status, body: said } = await ask('POST', `/api/v1${path}`, { body })
    assert.equal(status, 400, JSON.stringify(said))
    assert.doesNotMatch(schema.problem.parse(said).hint, /--help/, 'there is no command line here')
  }
  const other = await ask('DELETE', '/api/v1/items/1')
  assert.equal(other.status, 404)
  assert.deepEqual(await store.seen(), before)
})
