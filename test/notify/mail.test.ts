import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import tls from 'node:tls'
import { sendMail } from '../../src/notify/mail.ts'
import { createReach } from '../../src/notify/reach.ts'
import { withCertificate } from '../support/certificates.ts'
import { withMailbox } from '../support/mailbox.ts'
import { aMessage } from './message.ts'

const { signal } = new AbortController()
const own = createReach({ hosts: ['localhost'], ranges: [] })
const route = (server: string) => ({
  server: new URL(server),
  from: 'Strongroom <strongroom@example.org>',
  to: ['admin@example.org', 'other@example.org'],
})

describe('a mail', () => {
  test('arrives at each recipient as plain text that no other program answers', async (t) => {
    const mailbox = await withMailbox(t)
    const message = aMessage({ title: 'sync is failing: größer', lines: ['.one', 'Next: two'] })
    const to = route(`smtp://localhost:${mailbox.port}`)
    assert.deepEqual(await sendMail(to, message, { reach: own, signal }), { kind: 'delivered' })
    const [mail] = mailbox.mails
    assert.equal(mail?.from, 'strongroom@example.org')
    assert.deepEqual(mail?.to, ['admin@example.org', 'other@example.org'])
    assert.match(mail?.text ?? '', /^Auto-Submitted: auto-generated\r$/m)
    assert.match(mail?.text ?? '', /^Subject: =\?UTF-8\?Q\?Strongroom=3A_sync_is_failing=3A_gr\?=/m)
    assert.match(mail?.text ?? '', new RegExp(`^Message-ID: <${message.id}@example.org>\r$`, 'mi'))
    // A line that begins with a dot is sent with another one (RFC 5321 4.5.2).
    assert.match(mail?.text ?? '', /\r\n\.\.one\r\nNext: two/)
  })

  test('is encrypted with STARTTLS where the server offers it, and logs in', async (t) => {
    const certificate = await withCertificate(t)
    const known = tls.getCACertificates('default')
    tls.setDefaultCACertificates([...known, certificate.ca])
    t.after(() => tls.setDefaultCACertificates(known))
    const mailbox = await withMailbox(t, certificate)
    const to = route(`smtp://me:p%40ss@localhost:${mailbox.port}`)
    assert.deepEqual(await sendMail(to, aMessage(), { reach: own, signal }), { kind: 'delivered' })
    assert.equal(mailbox.mails[0]?.encrypted, true)
    assert.equal(mailbox.mails[0]?.login, '\0me\0p@ss')
  })

  for (const [what, server, expected] of [
    [
      'a login',
      'smtp://me:wrong@localhost',
      /"refused".*check user and password in NOTIFY_SMTP_URL/,
    ],
    ['a recipient', 'smtp://localhost', /"refused".*550 no such user.*NOTIFY_EMAIL_TO/],
  ] as const)
    test(`that is refused for ${what} is not sent again, and the remedy names the setting`, async (t) => {
      const mailbox = await withMailbox(t)
      mailbox.refuseRecipients = '550 no such user'
      const to = route(`${server}:${mailbox.port}`)
      const delivery = await sendMail(to, aMessage(), { reach: own, signal })
      assert.match(JSON.stringify(delivery), expected)
      assert.doesNotMatch(JSON.stringify(delivery), /wrong/)
    })

  test('that is turned away for now is sent again', async (t) => {
    const mailbox = await withMailbox(t)
    mailbox.refuseRecipients = '451 greylisted'
    const to = route(`smtp://localhost:${mailbox.port}`)
    const delivery = await sendMail(to, aMessage(), { reach: own, signal })
    assert.equal(delivery.kind, 'failed')
  })

  test('to a server on the internet is not sent when it offers no encryption', async (t) => {
    const mailbox = await withMailbox(t)
    const addresses = [{ address: '127.0.0.1', family: 4 }]
    const reach = async () => ({ kind: 'open', addresses, isOwnNetwork: false }) as const
    const to = route(`smtp://me:secret@mail.test:${mailbox.port}`)
    const delivery = await sendMail(to, aMessage(), { reach, signal })
    assert.match(JSON.stringify(delivery), /"refused".*does not encrypt.*smtps:/)
    assert.deepEqual(mailbox.mails, [])
  })

  test('never goes to an address that is not allowed', async (t) => {
    const mailbox = await withMailbox(t)
    const nobody = createReach({ hosts: [], ranges: [] })
    const to = route(`smtp://localhost:${mailbox.port}`)
    assert.equal((await sendMail(to, aMessage(), { reach: nobody, signal })).kind, 'refused')
    assert.deepEqual(mailbox.mails, [])
  })

  test('to a server that is not there says which setting to look at', async (t) => {
    const mailbox = await withMailbox(t)
    const to = route(`smtps://localhost:${mailbox.port}`)
    const delivery = await sendMail(to, aMessage(), { reach: own, signal })
    assert.match(JSON.stringify(delivery), /"failed".*NOTIFY_SMTP_URL: smtps:\/\/ for port 465/)
  })
})
