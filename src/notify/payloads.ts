import { createHmac } from 'node:crypto'
import { clip, clipBytes, type Message, plainText } from './message.ts'
import type { Outgoing } from './post.ts'

/** Each service's own form of a message, within its limits. */

const json = { 'content-type': 'application/json', 'user-agent': 'strongroom' }

function postJson(url: URL, body: unknown, headers: Record<string, string> = {}): Outgoing {
  return { url, method: 'POST', headers: { ...json, ...headers }, body: JSON.stringify(body) }
}

const isBad = ({ kind }: Message) => kind === 'failure' || kind === 'attention'

/**
 * Block Kit: a header holds 150 characters, a section 3,000, ten fields of 2,000 each.
 *
 * @see https://docs.slack.dev/reference/block-kit/blocks
 */
export function slackPayload(url: URL, message: Message): Outgoing {
  const { title, lines, facts, link } = message
  const sign = { failure: '🔴', attention: '🟠', recovery: '🟢' }[String(message.kind)] ?? 'ℹ️'
  const text = (given: string, most: number) => ({ type: 'mrkdwn', text: clip(given, most) })
  const fields = facts.slice(0, 10).map(([name, value]) => {
    // The escapes may make five characters of one, so it is cut before and after.
    return text(`*${slackText(name)}*\n${slackText(clip(value, 380))}`, 2_000)
  })
  const body = slackText(clip(lines.join('\n'), 550))
  const more = link === null ? '' : `\n<${link}|Open it>`
  return postJson(url, {
    text: slackText(clip(`${sign} ${title}`, 550)),
    blocks: [
      { type: 'header', text: { type: 'plain_text', text: clip(`${sign} ${title}`, 150) } },
      ...(body === '' && more === '' ? [] : [{ type: 'section', text: text(body + more, 3_000) }]),
      ...(fields.length === 0 ? [] : [{ type: 'section', fields }]),
    ],
  })
}

/** @see https://docs.slack.dev/messaging/formatting-message-text: the three characters that have a meaning */
function slackText(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;')
}

/**
 * One embed: a title of 256, a description of 4,096, 25 fields of 256 and 1,024, and 6,000 in all; nobody is mentioned.
 *
 * @see https://discord.com/developers/docs/resources/message#embed-object-embed-limits
 */
export function discordPayload(url: URL, message: Message): Outgoing {
  const { title, lines, facts, link, kind, at, node } = message
  const colour = { failure: 0xd83a3a, attention: 0xe08a1e, recovery: 0x2e9e5b }[String(kind)]
  const description = clip(discordText(lines.join('\n')), 2_000)
  return postJson(url, {
    allowed_mentions: { parse: [] },
    embeds: [
      {
        title: clip(title, 256),
        description: link === null ? description : `${description}\n[Open it](${link})`,
        color: colour ?? 0x5b6b7b,
        fields: facts.slice(0, 10).map(([name, value]) => ({
          name: clip(name, 50),
          value: clip(discordText(value), 200),
          inline: true,
        })),
        timestamp: at.toISOString(),
        footer: { text: clip(node, 100) },
      },
    ],
  })
}

/** A file name is no Markdown. */
function discordText(text: string): string {
  return text.replace(/[\\*_~`|>[\]#]/g, '\\$&')
}

/**
 * Published as JSON to the server; a message of more than 4,096 bytes would become a file.
 *
 * @see https://docs.ntfy.sh/publish/#publish-as-json
 */
export function ntfyPayload(
  { url, token }: { url: URL; token: string | null },
  message: Message,
): Outgoing {
  const at = url.pathname.lastIndexOf('/')
  const server = new URL(url)
  server.pathname = url.pathname.slice(0, at + 1)
  const tag = { failure: 'rotating_light', attention: 'warning', recovery: 'white_check_mark' }
  const body = {
    topic: url.pathname.slice(at + 1),
    title: clipBytes(message.title, 250),
    message: clipBytes(
      plainText({ ...message, link: null }) || message.title || message.subject,
      4_000,
    ),
    priority: isBad(message) ? 4 : 3,
    tags: [tag[message.kind as keyof typeof tag] ?? 'information_source'],
    ...(message.link === null ? {} : { click: message.link }),
  }
  return postJson(server, body, token === null ? {} : { authorization: `Bearer ${token}` })
}

/**
 * What Apprise passes on; it cuts the text to what each service takes.
 *
 * @see https://github.com/caronc/apprise-api#api-details
 */
export function apprisePayload(url: URL, message: Message): Outgoing {
  const types: Partial<Record<Message['kind'], string>> = {
    failure: 'failure',
    attention: 'warning',
    recovery: 'success',
  }
  return postJson(url, {
    title: clip(message.title, 250),
    body: clip(plainText(message) || message.title, 8_000),
    type: types[message.kind] ?? 'info',
    format: 'text',
  })
}

/**
 * The message itself, signed as the Standard Webhooks specification says: HMAC-SHA256 over `id.timestamp.body`.
 *
 * @param sentAt the receiver refuses what is too old; each attempt has its own
 * @see https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
 */
export function webhookPayload(
  { url, secret }: { url: URL; secret: string | null },
  message: Message,
  sentAt: Date,
): Outgoing {
  const body = JSON.stringify({
    type: `strongroom.${message.kind}`,
    timestamp: message.at.toISOString(),
    data: {
      subject: message.subject,
      title: message.title,
      lines: message.lines,
      facts: Object.fromEntries(message.facts),
      link: message.link,
      node: message.node,
      run: message.run,
    },
  })
  const id = `msg_${message.id}`
  const timestamp = `${Math.floor(sentAt.getTime() / 1000)}`
  const signature = secret === null ? null : sign(secret, `${id}.${timestamp}.${body}`)
  const headers = {
    ...json,
    'webhook-id': id,
    'webhook-timestamp': timestamp,
    ...(signature === null ? {} : { 'webhook-signature': `v1,${signature}` }),
  }
  return { url, method: 'POST', headers, body }
}

function sign(secret: string, text: string): string {
  const isEncoded = secret.startsWith('whsec_')
  const key = isEncoded ? Buffer.from(secret.slice('whsec_'.length), 'base64') : secret
  return createHmac('sha256', key).update(text).digest('base64')
}
