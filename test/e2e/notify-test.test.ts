/** `strongroom notify test`, over TLS with an authority of one's own, as in one's own network. */
import assert from 'node:assert/strict'
import { describe, type TestContext, test } from 'node:test'
import { withCertificate } from '../support/certificates.ts'
import { startTalking } from '../support/program.ts'
import { withReceiver } from '../support/receiver.ts'
import { type Env, story } from '../support/service.ts'

function notifyTest(t: TestContext, env: Env, ...args: string[]) {
  const { PATH = '' } = process.env
  return startTalking(t, ['notify', 'test', ...args], { PATH, ...env }).ended
}

describe('strongroom notify test', { concurrency: 2 }, () => {
  test('sends one message through each channel and says so, over TLS with an own authority', async (t) => {
    const certificate = await withCertificate(t)
    const receiver = await withReceiver(t, certificate)
    const ended = await notifyTest(t, {
      NODE_EXTRA_CA_CERTS: certificate.caFile,
      NOTIFY_ALLOW_PRIVATE: '127.0.0.0/8',
      NOTIFY_SLACK_URL: `${receiver.url}/services/slack-token-of-some-length`,
      NOTIFY_NTFY_URL: `${receiver.url}/ntfy-topic-of-some-length`,
      NOTIFY_PING_URL: `${receiver.url}/hc-token-of-some-length`,
      NOTIFY_KUMA_URL: `${receiver.url}/api/push/kuma-token-of-some-length`,
    })
    assert.equal(ended.code, 0, story(ended))
    assert.deepEqual(
      ended.stdout
        .replace(/\d+ ms/g, 'N ms')
        .trimEnd()
        .split('\n'),
      [
        'slack    ok, sent in N ms (NOTIFY_SLACK_URL)',
        'ntfy     ok, sent in N ms (NOTIFY_NTFY_URL)',
        'ping     ok, sent in N ms (NOTIFY_PING_URL)',
        'kuma     ok, sent in N ms (NOTIFY_KUMA_URL)',
      ],
    )
    assert.deepEqual(receiver.requests.map(({ path }) => path.replace(/\?.*/, '')).toSorted(), [
      '/',
      '/api/push/kuma-token-of-some-length',
      '/hc-token-of-some-length/log',
      '/services/slack-token-of-some-length',
    ])
  })

  test('names setting and remedy of the one that fails, tells no token that the service repeats, and ends with 69', async (t) => {
    const receiver = await withReceiver(t)
    receiver.answer = ({ path }, response) =>
      void response.writeHead(path.startsWith('/services') ? 404 : 200).end(`no hook at ${path}`)
    const ended = await notifyTest(t, {
      NOTIFY_ALLOW_PRIVATE: '127.0.0.1',
      NOTIFY_SLACK_URL: `${receiver.url}/services/slack-token-of-some-length`,
      NOTIFY_WEBHOOK_URL: `${receiver.url}/webhook-token-of-some-length`,
    })
    assert.equal(ended.code, 69, story(ended))
    assert.match(ended.stdout, /^slack {4}FAILED: 127.0.0.1 answered 404: no hook at \[secret\]$/m)
    assert.match(ended.stdout, /^ {2}NOTIFY_SLACK_URL: the address is wrong or was taken back/m)
    assert.match(ended.stdout, /^webhook {2}ok/m)
  })

  test('tests the one that is named, and says what to set when there is none', async (t) => {
    const receiver = await withReceiver(t)
    const env = {
      NOTIFY_ALLOW_PRIVATE: '127.0.0.1',
      NOTIFY_WEBHOOK_URL: `${receiver.url}/webhook-token-of-some-length`,
    }
    const one = await notifyTest(t, env, '--channel', 'webhook')
    assert.equal(one.code, 0, story(one))
    const absent = await notifyTest(t, env, '--channel', 'slack')
    assert.equal(absent.code, 78, story(absent))
    assert.match(absent.stderr, /the channel slack is not set\n {2}set NOTIFY_SLACK_URL/)
    const none = await notifyTest(t, {})
    assert.equal(none.code, 78, story(none))
    assert.match(none.stderr, /no channel is set: nobody would be told/)
    assert.equal(receiver.requests.length, 1)
  })
})
