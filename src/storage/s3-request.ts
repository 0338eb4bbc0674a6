import { createHash } from 'node:crypto'
import type { IncomingHttpHeaders, IncomingMessage } from 'node:http'
import { http, https } from '../node-http.ts'
import { CONNECT_TIMEOUT_MS } from './http-connection.ts'
import type { Refusal } from './s3-errors.ts'
import type { Link } from './s3-link.ts'
import { SIGV4, signatureOf, uriEncoded } from './sigv4.ts'

/** A question about one object, or about the bucket itself. */
export interface Question {
  method: 'GET' | 'HEAD' | 'DELETE' | 'PUT'
  /** Null for the bucket. */
  key: string | null
  /** As it is signed: encoded, in the order of the names. */
  query?: string
  /** In lower case; all are signed. */
  headers: Readonly<Record<string, string>>
  body?: Uint8Array
}

/** SHA-256 of nothing. */
const NO_BODY = 'e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855'
export const REFUSAL_MAX_BYTES = 64 << 10
/** Stores refuse what is signed 15 minutes beside their time. */
const SKEW_MS = 5 * 60_000

/**
 * Sends one question with a Signature Version 4, at a sixth of the processor time that the SDK takes for it.
 *
 * @returns the 2xx answer; whoever asked with GET reads or destroys it
 * @throws as the SDK does: a Refusal with the store's word, else what the socket failed with
 */
export async function send(
  link: Link,
  question: Question,
  signal: AbortSignal,
): Promise<IncomingMessage> {
  const answer = await answerTo(link, question, signal)
  const { statusCode = 0 } = answer
  if (statusCode >= 200 && statusCode < 300) {
    if (question.method !== 'GET') drop(answer, question.method === 'HEAD' || statusCode === 204)
    return answer
  }
  throw refusalOf(link, { statusCode, headers: answer.headers, text: await textOf(answer) })
}

/** @returns null for an answer that does not say, or says it in no plain way */
export function lengthOf(headers: IncomingHttpHeaders): number | null {
  const length = headers['content-length']
  const isPlain = headers['transfer-encoding'] === undefined && /^\d{1,15}$/.test(length ?? '')
  return isPlain ? Number(length) : null
}

/** Closes the connection of an answer that nobody will read; one that is at its end serves the next request. */
export function drop(answer: IncomingMessage, isEmpty = false): void {
  answer.on('error', () => {}) // its breaking off is our doing
  if (isEmpty) answer.resume()
  else answer.destroy()
}

function answerTo(link: Link, question: Question, signal: AbortSignal): Promise<IncomingMessage> {
  const { target, headers } = signed(link, question)
  const { protocol, hostname, port } = link.peer
  const isSecure = protocol === 'https:'
  const request = (isSecure ? https : http).request({
    agent: link.agents[isSecure ? 1 : 0],
    hostname,
    port,
    method: question.method,
    path: target,
    headers,
    signal,
  })
  request.once('socket', (socket) => {
    if (!socket.connecting) return
    const late = () => request.destroy(new DOMException('no connection', 'TimeoutError'))
    const timer = setTimeout(late, CONNECT_TIMEOUT_MS)
    socket.once(isSecure ? 'secureConnect' : 'connect', () => clearTimeout(timer))
    request.once('close', () => clearTimeout(timer))
  })
  return new Promise((resolve, reject) => {
    request.once('response', resolve)
    request.on('error', reject)
    request.end(question.body)
  })
}

/** What the first line asks for, and all headers that go with it. */
export function signed(link: Link, { method, key, query = '', headers, body }: Question) {
  const { bucket, region, accessKey, secretKey } = link.config
  const segments = key === null ? [bucket] : [bucket, ...key.split('/')]
  const path = [link.basePath, ...segments.map(uriEncoded)].join('/')
  const target = query === '' ? path : `${path}?${query}`
  const now = new Date(Date.now() + link.clockOffsetMs)
  const bodyHash = body === undefined ? NO_BODY : createHash('sha256').update(body).digest('hex')
  const time = now.toISOString().replace(/[-:]|\.\d+/g, '')
  const all: Record<string, string> = {
    ...headers,
    host: link.host,
    'x-amz-content-sha256': bodyHash,
    'x-amz-date': time,
  }
  const names = Object.keys(all).sort()
  const lines = names.map((name) => `${name}:${all[name]?.trim().replace(/\s+/g, ' ')}`)
  const canonical = [method, path, query, ...lines, '', names.join(';'), bodyHash].join('\n')
  const scope = `${time.slice(0, 8)}/${region}/s3/aws4_request`
  const signature = signatureOf(secretKey, { canonical, time, scope })
  const credential = `Credential=${accessKey}/${scope}`
  const authorization = `${SIGV4} ${credential}, SignedHeaders=${names.join(';')}, Signature=${signature}`
  return { target, headers: { ...all, authorization } }
}

/** As far as anybody reads it. */
export async function textOf(answer: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = []
  let length = 0
  try {
    for await (const chunk of answer as AsyncIterable<Buffer>) {
      chunks.push(chunk)
      length += chunk.length
      if (length > REFUSAL_MAX_BYTES) break
    }
  } finally {
    // What it says is known, or nobody will ever know.
    if (!answer.readableEnded) answer.destroy()
  }
  return Buffer.concat(chunks).toString()
}

/** What the SDK would throw for it; takes over the store's clock where the two differ. */
export function refusalOf(link: Link, { statusCode, headers, text }: Refused): Refusal {
  const offset = Date.parse(headers.date ?? '') - Date.now()
  if (Math.abs(offset - link.clockOffsetMs) > SKEW_MS) link.clockOffsetMs = offset
  const word = /<Code>\s*(\w{1,100})\s*<\/Code>/.exec(text)?.[1]
  const message = /<Message>([^<]{1,1000})<\/Message>/.exec(text)?.[1]
  return Object.assign(new Error(message ?? `status ${statusCode}`), {
    name: word ?? 'Unknown',
    $fault: statusCode >= 500 ? ('server' as const) : ('client' as const),
    $metadata: { httpStatusCode: statusCode },
    $response: { statusCode, headers },
  })
}

interface Refused {
  statusCode: number
  headers: { readonly date?: string | undefined }
  /** What the answer says besides; may be empty. */
  text: string
}
