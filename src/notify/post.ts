import { once } from 'node:events'
import type { IncomingMessage } from 'node:http'
import { isIP, type LookupFunction } from 'node:net'
import { systemCode } from '../errors.ts'
import { http, https } from '../node-http.ts'
import type { Delivery } from './delivery.ts'
import { clip, printable } from './message.ts'
import type { Reach, Way } from './reach.ts'

export interface Outgoing {
  url: URL
  method: 'GET' | 'POST'
  headers: Readonly<Record<string, string>>
  body: string | null
}

export interface Answer {
  status: number
  /** Its beginning, at most 16 KiB. */
  text: string
  retryAfterMs: number | null
  /** Host that it redirects to, if it does. */
  redirectHost: string | null
}

export interface Via {
  reach: Reach
  signal: AbortSignal
  withinMs?: number
}

type Unanswered = Exclude<Way, { kind: 'open' }>

export const ANSWER_WITHIN_MS = 15_000
const ANSWER_BYTES = 16_384
const LONGEST_RETRY_AFTER_MS = 3_600_000

/**
 * Sends one request to an address that `reach` allows, follows no redirect, reads no more of the answer than it needs and
 * waits no longer than `withinMs`, lookup of the name and reading of the answer counted.
 */
export async function ask(
  outgoing: Outgoing,
  { reach, signal, withinMs = ANSWER_WITHIN_MS }: Via,
): Promise<Answer | Unanswered> {
  const { url } = outgoing
  const host = url.hostname.replace(/^\[|\]$/g, '')
  const deadline = AbortSignal.any([signal, AbortSignal.timeout(withinMs)])
  try {
    const way = await orAbort(reach({ host, encrypted: url.protocol === 'https:' }), deadline)
    if (way.kind !== 'open') return way
    return await exchange(outgoing, { host, addresses: way.addresses, signal: deadline })
  } catch (error) {
    return deadline.aborted ? tooLate(host, withinMs) : unanswered(host, error)
  }
}

/** The same, judged: what the status means for the message. */
export async function post(outgoing: Outgoing, via: Via & { setting: string }): Promise<Delivery> {
  const answer = await ask(outgoing, via)
  return 'kind' in answer ? answer : judge(answer, outgoing.url.hostname, via.setting)
}

export function judge(answer: Answer, host: string, setting: string): Delivery {
  const { status, text, retryAfterMs, redirectHost } = answer
  if (status >= 200 && status < 300) return { kind: 'delivered' }
  const said = printable(text) === '' ? '' : `: ${clip(printable(text), 200)}`
  const why = `${host} answered ${status}${said}`
  if (status === 408 || status === 425 || status === 429 || status >= 500) {
    const remedy = 'nothing to do at first: it is sent again'
    return { kind: 'failed', why, remedy, ...(retryAfterMs === null ? {} : { retryAfterMs }) }
  }
  if (redirectHost !== null)
    return {
      kind: 'refused',
      why: `${host} answered ${status}, a redirect to ${redirectHost}`,
      remedy: `redirects are not followed: set ${setting} to the address where they end`,
    }
  return { kind: 'refused', why, remedy: remedyFor(status, setting) }
}

function remedyFor(status: number, setting: string): string {
  if (status === 401 || status === 403)
    return `check ${setting}, and the token that belongs to it if there is one`
  if (status === 404 || status === 405 || status === 410)
    return `the address is wrong or was taken back: make a new one there and set ${setting}`
  return `compare ${setting} with docs/notifications.md`
}

async function exchange(
  { url, method, headers, body }: Outgoing,
  to: { host: string; addresses: { address: string; family: number }[]; signal: AbortSignal },
): Promise<Answer> {
  const isSecure = url.protocol === 'https:'
  // Whoever connects asks for all of them and takes the first that answers (RFC 8305).
  const known: LookupFunction = (_host, _options, answer) => answer(null, to.addresses)
  const outgoing = (isSecure ? https : http).request({
    host: to.host,
    port: url.port === '' ? (isSecure ? 443 : 80) : Number(url.port),
    path: `${url.pathname}${url.search}`,
    method,
    headers: {
      ...headers,
      ...authorization(url),
      ...(body === null ? {} : { 'content-length': Buffer.byteLength(body) }),
    },
    agent: false,
    lookup: known,
    signal: to.signal,
    ...(isSecure && isIP(to.host) === 0 ? { servername: to.host } : {}),
  })
  outgoing.end(body ?? undefined)
  const [answer] = (await once(outgoing, 'response')) as [IncomingMessage]
  return {
    status: answer.statusCode ?? 0,
    text: await beginningOf(answer),
    retryAfterMs: retryAfter(answer.headers['retry-after']),
    redirectHost: redirectHost(answer, url),
  }
}

function authorization({ username, password }: URL): Record<string, string> {
  if (username === '' && password === '') return {}
  const pair = `${decodeURIComponent(username)}:${decodeURIComponent(password)}`
  return { authorization: `Basic ${Buffer.from(pair).toString('base64')}` }
}

async function beginningOf(answer: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = []
  let length = 0
  for await (const chunk of answer as AsyncIterable<Buffer>) {
    chunks.push(chunk)
    length += chunk.length
    // Leaving the loop destroys the connection, whatever else would come.
    if (length >= ANSWER_BYTES) break
  }
  return Buffer.concat(chunks).toString('utf8', 0, ANSWER_BYTES)
}

/** RFC 9110 10.2.3: seconds, or a date. */
function retryAfter(text: string | undefined): number | null {
  if (text === undefined) return null
  const ms = /^\d{1,9}$/.test(text) ? Number(text) * 1000 : Date.parse(text) - Date.now()
  return Number.isNaN(ms) ? null : Math.min(Math.max(ms, 0), LONGEST_RETRY_AFTER_MS)
}

function redirectHost({ statusCode = 0, headers }: IncomingMessage, from: URL): string | null {
  if (statusCode < 300 || statusCode >= 400 || headers.location === undefined) return null
  return URL.parse(headers.location, from.href)?.host ?? null
}

function tooLate(host: string, withinMs: number): Unanswered {
  const why = `${host} did not answer within ${withinMs / 1000} s`
  return { kind: 'failed', why, remedy: 'check that it runs, and the network to it' }
}

function unanswered(host: string, error: unknown): Unanswered {
  const code = systemCode(error) ?? 'no code'
  if (/CERT|ISSUER|ALTNAME|SELF_SIGNED|UNABLE_TO/.test(code))
    return {
      kind: 'failed',
      why: `the certificate of ${host} is not valid here (${code})`,
      remedy: 'for a certificate of your own set NODE_EXTRA_CA_CERTS to the file of its issuer',
    }
  const why = `${host} could not be reached (${code})`
  return { kind: 'failed', why, remedy: 'check that it runs, and the network to it' }
}

/** Looking up a name cannot be stopped; it is left to itself. */
async function orAbort<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  const aborted = Promise.withResolvers<never>()
  aborted.promise.catch(() => {})
  const stop = (): void => aborted.reject(signal.reason)
  signal.addEventListener('abort', stop, { once: true })
  if (signal.aborted) stop()
  try {
    return await Promise.race([work, aborted.promise])
  } finally {
    signal.removeEventListener('abort', stop)
  }
}
