import type { IncomingHttpHeaders, IncomingMessage } from 'node:http'
import type { Body } from './bucket.ts'
import type { BodyRules } from './guarded-body.ts'
import type { Answer } from './http-connection.ts'
import { bodyOf } from './s3-body.ts'
import type { Link } from './s3-link.ts'
import {
  drop,
  lengthOf,
  type Question,
  REFUSAL_MAX_BYTES,
  refusalOf,
  send,
  signed,
} from './s3-request.ts'

/** The answer to a GET that was not refused: either `open` or `drop` is called, once. */
export interface GetAnswer {
  status: number
  headers: Readonly<Record<string, string | undefined>>
  lengthBytes: number | null
  open(rules: BodyRules): Body
  drop(): void
}

/**
 * Sends a GET over a connection of ours (http-connection.ts). A store, or something before it, that answers in a way which
 * only a full reader of HTTP understands is asked again through `node:http`, and only that way from then on.
 *
 * @throws as `send` does
 */
export async function sendGet(
  link: Link,
  question: Question & { method: 'GET' },
  signal: AbortSignal,
): Promise<GetAnswer> {
  return (await askPlainly(link, question, signal)) ?? answerOf(await send(link, question, signal))
}

/** The answer to a HEAD. */
export interface Headed {
  status: number
  headers: IncomingHttpHeaders
}

/** The same for a HEAD, which takes a third of the processor time that way. @throws as `send` does */
export async function sendHead(
  link: Link,
  question: Question & { method: 'HEAD' },
  signal: AbortSignal,
): Promise<Headed> {
  const answer = await askPlainly(link, question, signal)
  answer?.drop()
  if (answer !== null) return answer
  const { statusCode: status = 0, headers } = await send(link, question, signal)
  return { status, headers }
}

/** @returns a 2xx answer, or null where a full reader is to be asked; @throws as `send` does */
async function askPlainly(
  link: Link,
  question: Question,
  signal: AbortSignal,
): Promise<Answer | null> {
  const answer = link.plain ? await link.pool.ask(requestText(link, question), signal) : null
  if (answer !== null && answer.status >= 300) {
    const { status: statusCode, headers } = answer
    throw refusalOf(link, { statusCode, headers, text: await textOf(link, answer, signal) })
  }
  if (answer !== null && answer.lengthBytes !== null) return answer
  answer?.drop()
  link.plain = false
  return null
}

/** As far as it is plain; the status alone says nearly as much. */
async function textOf(link: Link, answer: Answer, signal: AbortSignal): Promise<string> {
  const { lengthBytes } = answer
  if (lengthBytes === null || lengthBytes > REFUSAL_MAX_BYTES) {
    answer.drop()
    return ''
  }
  const read: Buffer[] = []
  const { stallMs } = link
  const rules = { sizeBytes: lengthBytes, stallMs, signal, subject: 'a refusal' }
  const take = (chunk: Uint8Array) => void read.push(Buffer.from(chunk))
  // What it says is known, or nobody will ever know.
  await answer
    .open(rules)
    .drain({ take })
    .catch(() => {})
  return Buffer.concat(read).toString()
}

function answerOf(message: IncomingMessage): GetAnswer {
  const { etag, 'content-range': range, date } = message.headers
  return {
    status: message.statusCode ?? 0,
    headers: { etag, 'content-range': range, date },
    lengthBytes: lengthOf(message.headers),
    open: (rules) => bodyOf(message, rules),
    drop: () => drop(message),
  }
}

function requestText(link: Link, question: Question): string {
  const { target, headers } = signed(link, question)
  const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`)
  return `${question.method} ${target} HTTP/1.1\r\n${lines.join('')}\r\n`
}
