import assert from 'node:assert/strict'
import { createHmac } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import fc from 'fast-check'
import {
  clip,
  clipBytes,
  type Message,
  type MessageKind,
  printable,
} from '../../src/notify/message.ts'
import {
  apprisePayload,
  discordPayload,
  ntfyPayload,
  slackPayload,
  webhookPayload,
} from '../../src/notify/payloads.ts'
import { aMessage, aRun } from './message.ts'

const url = new URL('https://example.org/hook?x=1')
const ntfy = { url: new URL('https://ntfy.example.org/base/topic'), token: null }
const bodyOf = ({ body }: { body: string | null }) => JSON.parse(body ?? '') as never

const kinds: readonly MessageKind[] = [
  'failure',
  'recovery',
  'attention',
  'finished',
  'digest',
  'test',
]
const text = (maxLength: number) => fc.string({ unit: 'grapheme', maxLength }).map(printable)
/** Whatever a person, a file name or a database could put into one. */
const anyMessage: fc.Arbitrary<Message> = fc
  .record({
    kind: fc.constantFrom(...kinds),
    title: text(400),
    lines: fc.array(fc.oneof(text(300), fc.constant('<&>'.repeat(2_000))), { maxLength: 12 }),
    facts: fc.array(fc.tuple(text(400), text(3_000)), { maxLength: 30 }),
    link: fc.option(fc.constant('https://nas.example.org/runs/7')),
  })
  .map((facts) => aMessage(facts))

interface Slack {
  text: string
  blocks: { type: string; text?: { text: string }; fields?: { text: string }[] }[]
}

interface Discord {
  allowed_mentions: object
  embeds: {
    title: string
    description: string
    fields: { name: string; value: string }[]
    footer: { text: string }
  }[]
}

describe('a message for', () => {
  test('Slack keeps to its limits: header 150, section 3,000, ten fields of 2,000', () => {
    fc.assert(
      fc.property(anyMessage, (message) => {
        const { text, blocks }: Slack = bodyOf(slackPayload(url, message))
        assert.ok(text.length <= 4_000 && blocks.length <= 50)
        for (const block of blocks) {
          const most = block.type === 'header' ? 150 : 3_000
          assert.ok((block.text?.text.length ?? 1) <= most)
          assert.ok((block.text?.text.length ?? 1) >= 1)
          assert.ok((block.fields?.length ?? 1) <= 10)
          for (const field of block.fields ?? []) assert.ok(field.text.length <= 2_000)
        }
      }),
    )
  })

  test('Discord keeps to its limits: 256, 4,096, 25 fields of 256 and 1,024, 6,000 in all', () => {
    fc.assert(
      fc.property(anyMessage, (message) => {
        const { embeds, allowed_mentions }: Discord = bodyOf(discordPayload(url, message))
        assert.deepEqual(allowed_mentions, { parse: [] })
        const [embed] = embeds
        assert.ok(embed !== undefined && embeds.length === 1)
        const { title, description, fields, footer } = embed
        assert.ok(title.length <= 256 && description.length <= 4_096 && fields.length <= 25)
        for (const { name, value } of fields) assert.ok(name.length <= 256 && value.length <= 1_024)
        const texts = [
          title,
          description,
          footer.text,
          ...fields.flatMap(({ name, value }) => [name, value]),
        ]
        assert.ok(texts.reduce((sum, { length }) => sum + length, 0) <= 6_000)
      }),
    )
  })

  test('ntfy keeps to 4,096 bytes, beyond which it would become a file', () => {
    fc.assert(
      fc.property(anyMessage, (message) => {
        const body: { message: string; title: string; topic: string } = bodyOf(
          ntfyPayload(ntfy, message),
        )
        assert.ok(Buffer.byteLength(body.message) <= 4_096 && body.message !== '')
        assert.ok(Buffer.byteLength(body.title) <= 250)
        assert.equal(body.topic, 'topic')
      }),
      { examples: [[aMessage({ title: '', lines: [], facts: [] })]] },
    )
  })

  test('Slack cannot ring everybody, and none is formatted by a file name', () => {
    const hostile = aMessage({
      title: '<!channel>',
      lines: ['@everyone <@U1> **x** [a](http://b)'],
    })
    const slack = slackPayload(url, hostile).body ?? ''
    assert.ok(!slack.includes('<@U1>') && !/"mrkdwn","text":"[^"]*<!/.test(slack))
    const discord = discordPayload(url, hostile).body ?? ''
    assert.ok(discord.includes(String.raw`\\*\\*x\\*\\*`) && !discord.includes('[a](http'))
  })

  test('ntfy goes to the server with its topic inside, urgent only where something fails', () => {
    const failure = ntfyPayload({ ...ntfy, token: 'tk_1' }, aMessage())
    assert.equal(failure.url.href, 'https://ntfy.example.org/base/')
    assert.equal(failure.headers.authorization, 'Bearer tk_1')
    assert.partialDeepStrictEqual(bodyOf(failure), {
      topic: 'topic',
      title: 'sync is failing',
      priority: 4,
      tags: ['rotating_light'],
      click: 'http://nas.lan:8081/runs/7',
    })
    assert.partialDeepStrictEqual(bodyOf(ntfyPayload(ntfy, aMessage({ kind: 'recovery' }))), {
      priority: 3,
    })
  })

  test('Apprise says what kind it is', () => {
    const types = kinds.map(
      (kind) => (bodyOf(apprisePayload(url, aMessage({ kind }))) as { type: string }).type,
    )
    assert.deepEqual(types, ['failure', 'success', 'warning', 'info', 'info', 'info'])
  })

  test('a webhook is signed as docs/notifications.md says, with a text or a whsec_ key', () => {
    const sentAt = new Date('2026-03-05T04:31:00.900Z')
    const key = Buffer.from('0123456789abcdef0123456789abcdef')
    for (const secret of [key.toString(), `whsec_${key.toString('base64')}`]) {
      const { headers, body } = webhookPayload({ url, secret }, aMessage({ run: aRun() }), sentAt)
      const { 'webhook-id': id, 'webhook-timestamp': at, 'webhook-signature': signature } = headers
      assert.equal(at, '1772685060')
      const expected = createHmac('sha256', key).update(`${id}.${at}.${body}`).digest('base64')
      assert.equal(signature, `v1,${expected}`)
      assert.partialDeepStrictEqual(JSON.parse(body ?? ''), {
        type: 'strongroom.failure',
        data: { subject: 'sync', run: { id: 7, items: { archived: 3 }, bytes: 4_096 } },
      })
    }
    const unsigned = webhookPayload({ url, secret: null }, aMessage(), sentAt)
    assert.equal(unsigned.headers['webhook-signature'], undefined)
  })
})

test('docs/notifications.md shows how to verify a webhook: its code takes what is genuine and nothing else', async () => {
  const page = await readFile(join(import.meta.dirname, '../../docs/notifications.md'), 'utf8')
  const [, code = ''] = /```js\n([\s\S]*?)```/.exec(page) ?? []
  const shown: {
    isFromStrongroom(headers: object, rawBody: string | null, secret: string): boolean
  } = await import(`data:text/javascript,${encodeURIComponent(code)}`)
  const secret = 'a-secret-of-some-length'
  const { headers, body } = webhookPayload({ url, secret }, aMessage(), new Date())
  assert.equal(shown.isFromStrongroom(headers, body, secret), true)
  assert.equal(shown.isFromStrongroom(headers, `${body} `, secret), false)
  assert.equal(shown.isFromStrongroom(headers, body, 'another'), false)
  assert.equal(
    shown.isFromStrongroom({ ...headers, 'webhook-signature': 'v1,' }, body, secret),
    false,
  )
  const old = webhookPayload({ url, secret }, aMessage(), new Date(Date.now() - 600_000))
  assert.equal(shown.isFromStrongroom(old.headers, old.body, secret), false)
})

describe('a text', () => {
  test('is cut to so many units or bytes without half a character', () => {
    fc.assert(
      fc.property(
        fc.string({ unit: 'grapheme' }),
        fc.integer({ min: 4, max: 40 }),
        (given, most) => {
          assert.ok(clip(given, most).length <= most && clip(given, most).isWellFormed())
          const cut = clipBytes(given, most)
          assert.ok(Buffer.byteLength(cut) <= most && !cut.includes('\ufffd'))
          assert.equal(given.length <= most, clip(given, most) === given)
        },
      ),
    )
  })

  test('is one line in which nothing moves the cursor or turns the writing', () => {
    assert.equal(printable(' a\r\nb\u202ec\u0007\u2028d '), 'a b c d')
  })
})
