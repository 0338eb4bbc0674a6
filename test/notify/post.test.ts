import assert from 'node:assert/strict'
import { describe, type TestContext, test } from 'node:test'
import tls from 'node:tls'
import { ask, post } from '../../src/notify/post.ts'
import { createReach } from '../../src/notify/reach.ts'
import { withCertificate } from '../support/certificates.ts'
import { withReceiver } from '../support/receiver.ts'

const setting = 'NOTIFY_WEBHOOK_URL'
const { signal } = new AbortController()
const own = createReach({ hosts: [], ranges: [{ address: '127.0.0.1', prefixBits: 32 }] })
const get = (url: string) =>
  ({ url: new URL(url), method: 'GET', headers: {}, body: null }) as const
const send = (url: string, reach = own) => post(get(url), { reach, signal, setting })

/** Makes this process trust the authority until the test is over. */
function trust(t: TestContext, ca: string): void {
  const known = tls.getCACertificates('default')
  tls.setDefaultCACertificates([...known, ca])
  t.after(() => tls.setDefaultCACertificates(known))
}

describe('a message', () => {
  test('is sent with its headers, its body and the password of its address', async (t) => {
    const receiver = await withReceiver(t)
    const url = new URL(`/in?a=1`, receiver.url)
    url.username = 'me'
    url.password = 'p%40ss'
    const headers = { 'x-own': 'yes' }
    const outgoing = { url, method: 'POST', headers, body: 'grüße' } as const
    assert.deepEqual(await post(outgoing, { reach: own, signal, setting }), { kind: 'delivered' })
    const [request] = receiver.requests
    assert.deepEqual([request?.method, request?.path, request?.body], ['POST', '/in?a=1', 'grüße'])
    assert.equal(request?.headers['x-own'], 'yes')
    assert.equal(request?.headers.authorization, `Basic ${btoa('me:p@ss')}`)
  })

  test('never reaches an address of the machine itself unless that is allowed', async (t) => {
    const receiver = await withReceiver(t)
    const { port } = receiver
    const nobody = createReach({ hosts: [], ranges: [] })
    // Spellings of 127.0.0.1 and of "this machine" that have fooled others.
    for (const host of [
      ...['127.0.0.1', 'localhost', '2130706433', '0x7f.1', '0177.0.0.1', '127.1', '0', '0.0.0.0'],
      ...['[::1]', '[::]', '[::ffff:127.0.0.1]', '[::ffff:7f00:1]', '[64:ff9b::127.0.0.1]'],
      '127。0。0。1',
    ]) {
      const delivery = await send(`http://${host}:${port}/`, nobody)
      assert.notEqual(delivery.kind, 'delivered', host)
    }
    assert.deepEqual(receiver.requests, [])
  })

  test('goes to the address that was judged, however the name resolves the next time', async (t) => {
    const receiver = await withReceiver(t)
    const answers = ['127.0.0.1', '127.0.0.99']
    const asked: string[] = []
    const reach = createReach({ hosts: ['rebind.test'], ranges: [] }, async (host) => {
      asked.push(host)
      return [{ address: answers[asked.length - 1] ?? '', family: 4 }]
    })
    assert.equal((await send(`http://rebind.test:${receiver.port}/`, reach)).kind, 'delivered')
    assert.deepEqual(asked, ['rebind.test'])
    assert.equal(receiver.requests[0]?.headers.host, `rebind.test:${receiver.port}`)
  })

  test('is taken to the second address of a host whose first does not answer', async (t) => {
    const receiver = await withReceiver(t)
    const reach = createReach({ hosts: ['two.test'], ranges: [] }, async () => [
      { address: '127.0.0.2', family: 4 },
      { address: '127.0.0.1', family: 4 },
    ])
    assert.equal((await send(`http://two.test:${receiver.port}/`, reach)).kind, 'delivered')
  })

  for (const status of [301, 302, 303, 307, 308])
    test(`that is redirected (${status}) goes no further, and the remedy says what to set`, async (t) => {
      const [receiver, other] = [await withReceiver(t), await withReceiver(t)]
      receiver.answer = (_, response) =>
        void response.writeHead(status, { location: `${other.url}/secret` }).end()
      const delivery = await send(receiver.url)
      assert.equal(delivery.kind, 'refused')
      assert.match(JSON.stringify(delivery), new RegExp(`redirect to 127.0.0.1:${other.port}"`))
      assert.match(JSON.stringify(delivery), /set NOTIFY_WEBHOOK_URL to the address/)
      assert.deepEqual(other.requests, [])
    })

  test('that is answered without end costs no more than 16 KiB', async (t) => {
    const receiver = await withReceiver(t)
    receiver.answer = (_, response) => {
      const more = () => {
        while (!response.destroyed && response.write('x'.repeat(65_536)));
      }
      response.on('drain', more)
      more()
    }
    const answer = await ask(get(receiver.url), { reach: own, signal })
    assert.ok('text' in answer && answer.text.length === 16_384)
  })

  for (const [what, answer] of [
    ['never answered', () => {}],
    [
      'answered without an end',
      (response: { write(text: string): unknown }) => response.write('x'),
    ],
  ] as const)
    test(`that is ${what} is given up at its deadline`, async (t) => {
      const receiver = await withReceiver(t)
      receiver.answer = (_, response) => void answer(response)
      const given = await ask(get(receiver.url), { reach: own, signal, withinMs: 100 })
      assert.match(JSON.stringify(given), /"failed".*did not answer within 0.1 s/)
    })

  test('is tried again after what may pass, as late as was asked for, and not after what stays', async (t) => {
    const receiver = await withReceiver(t)
    for (const [status, headers, expected] of [
      [200, {}, { kind: 'delivered' }],
      [204, {}, { kind: 'delivered' }],
      [429, { 'retry-after': '120' }, { kind: 'failed', retryAfterMs: 120_000 }],
      [503, { 'retry-after': '999999' }, { kind: 'failed', retryAfterMs: 3_600_000 }],
      [500, {}, { kind: 'failed' }],
      [408, {}, { kind: 'failed' }],
      [400, {}, { kind: 'refused' }],
      [401, {}, { kind: 'refused' }],
      [404, {}, { kind: 'refused' }],
      [410, {}, { kind: 'refused' }],
    ] as const) {
      receiver.answer = (_, response) =>
        void response.writeHead(status, headers).end('because\n so')
      const { kind, ...more } = await send(receiver.url)
      const after = 'retryAfterMs' in more ? { retryAfterMs: more.retryAfterMs } : {}
      assert.deepEqual({ kind, ...after }, expected, `${status}`)
      if ('why' in more) assert.equal(more.why, `127.0.0.1 answered ${status}: because so`)
    }
  })

  test('over TLS is sent only to whom a trusted certificate names', async (t) => {
    const certificate = await withCertificate(t)
    const receiver = await withReceiver(t, certificate)
    const named = (host: string) =>
      createReach({ hosts: [host], ranges: [] }, async () => [{ address: '127.0.0.1', family: 4 }])
    const to = (host: string) => send(`https://${host}:${receiver.port}/`, named(host))

    assert.match(
      JSON.stringify(await to('localhost')),
      /"failed".*certificate.*NODE_EXTRA_CA_CERTS/,
    )
    trust(t, certificate.ca)
    assert.equal((await to('localhost')).kind, 'delivered')
    assert.equal((await send(receiver.url)).kind, 'delivered')
    assert.match(JSON.stringify(await to('other.test')), /certificate of other.test is not valid/)
    assert.equal(receiver.requests.length, 2)
  })
})
