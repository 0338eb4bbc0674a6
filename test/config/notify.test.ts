import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { secretsOf } from '../../src/config.ts'
import { createRedactor } from '../../src/log-redact.ts'
import { type Env, parse, refusal } from '../support/config.ts'

const own: Env = { NOTIFY_ALLOW_PRIVATE: '127.0.0.1' }

describe('the settings of messages', () => {
  const refused: [env: Env, sentence: RegExp][] = [
    [
      { NOTIFY_ON: 'sometimes' },
      /^ {2}NOTIFY_ON must be one or more of failure, recovery, always/m,
    ],
    [{ NOTIFY_DIGEST: '24h' }, /NOTIFY_DIGEST must be a cron expression/],
    [{ NOTIFY_DIGEST: '0 0 31 2 *' }, /NOTIFY_DIGEST must be a cron expression/],
    [{ NOTIFY_SLACK_URL: 'hooks.slack.com/x' }, /NOTIFY_SLACK_URL must be an https:\/\/ address/],
    [
      { NOTIFY_NTFY_URL: 'https://ntfy.sh/' },
      /NOTIFY_NTFY_URL must be .* https:\/\/ntfy.sh\/TOPIC/,
    ],
    [{ NOTIFY_APPRISE_URL: 'https://a.test/' }, /NOTIFY_APPRISE_URL must be/],
    [{ NOTIFY_KUMA_URL: 'https://kuma.test/dashboard/1' }, /NOTIFY_KUMA_URL must be/],
    [
      { NOTIFY_PING_URL: 'http://hc.lan/u' },
      /NOTIFY_PING_URL must begin with https:.*ALLOW_PRIVATE/,
    ],
    [
      { NOTIFY_SMTP_URL: 'smtp://mail.test' },
      /NOTIFY_EMAIL_FROM must be set for mail, because NOTIFY_SMTP_URL is;/,
    ],
    [{ NOTIFY_EMAIL_TO: 'a@b.test, c' }, /NOTIFY_EMAIL_TO must be e-mail addresses/],
    [{ NOTIFY_NTFY_TOKEN: 'tk_x' }, /NOTIFY_NTFY_URL must be set, because NOTIFY_NTFY_TOKEN is/],
    [{ NOTIFY_ALLOW_PRIVATE: '10.0.0.0/33' }, /NOTIFY_ALLOW_PRIVATE must be host names/],
    [{ NOTIFY_ALLOW_PRIVATE: 'http://ntfy.lan' }, /NOTIFY_ALLOW_PRIVATE must be host names/],
    [{ HOOK_PRE_SYNC: "sh -c 'x" }, /HOOK_PRE_SYNC must be a program and its arguments, quoted/],
  ]
  for (const [env, sentence] of refused)
    test(`${JSON.stringify(env)} are refused with the setting and the remedy`, () => {
      assert.match(refusal(env), sentence)
    })

  test('are read into what the channels need', () => {
    const { notify, hooks } = parse({
      ...own,
      NOTIFY_ON: 'Digest, failure',
      NOTIFY_NTFY_URL: 'http://ntfy.lan/topic',
      NOTIFY_ALLOW_PRIVATE: 'NTFY.lan, 192.168.0.0/16',
      NOTIFY_SMTP_URL: 'smtps://me:p%40ss@mail.test',
      NOTIFY_EMAIL_FROM: 'Strongroom <s@b.test>',
      NOTIFY_EMAIL_TO: 'a@b.test, c@d.test',
      HOOK_PRE_SYNC: `sh -c 'echo "$X"'`,
    })
    assert.deepEqual(notify.on, ['failure', 'digest'])
    assert.deepEqual(notify.allowed.hosts, ['ntfy.lan'])
    assert.deepEqual(notify.allowed.ranges, [{ address: '192.168.0.0', prefixBits: 16 }])
    assert.deepEqual(notify.email?.to, ['a@b.test', 'c@d.test'])
    assert.deepEqual(hooks.commands.HOOK_PRE_SYNC, ['sh', '-c', 'echo "$X"'])
  })

  test('are secret, whole and in parts, and no ordinary word becomes one', () => {
    const config = parse({
      ...own,
      NOTIFY_SLACK_URL: 'https://hooks.slack.com/services/T0/B0/abcdefghijklmnopqrst',
      NOTIFY_NTFY_URL: 'https://ntfy.sh/backups',
      NOTIFY_SMTP_URL: 'smtp://me:pass%2Fword-1@mail.test',
      NOTIFY_EMAIL_FROM: 's@b.test',
      NOTIFY_EMAIL_TO: 'a@b.test',
    })
    const { text } = createRedactor(secretsOf(config))
    for (const secret of [
      'https://hooks.slack.com/services/T0/B0/abcdefghijklmnopqrst',
      'no_team /services/T0/B0/abcdefghijklmnopqrst',
      'token abcdefghijklmnopqrst',
      'https://ntfy.sh/backups',
      'pass/word-1 is wrong',
    ])
      assert.match(text(secret), /\[secret\]/, secret)
    const plain = 'the services of hooks.slack.com, ntfy.sh and /var/backups'
    assert.equal(text(plain), plain)
  })
})
