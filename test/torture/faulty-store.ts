/** Stands before the real S3 server, spoils what it is told to spoil, and knows what really came of each DELETE. */
import { once } from 'node:events'
import {
  Agent,
  createServer,
  type IncomingMessage,
  type OutgoingHttpHeaders,
  request,
  type ServerResponse,
} from 'node:http'
import type { AddressInfo } from 'node:net'
import type { Scope } from '../support/scopes.ts'
import type { AskedOfStore } from './evidence.ts'

export type Fault =
  /** Answered so without the server's having been asked. */
  | { kind: 'status'; status: number }
  /** The connection is reset, or ends, after so many bytes of the body. */
  | { kind: 'reset' | 'truncate' | 'stall'; at: number }
  | { kind: 'flip'; byte: number; bit: number }
  | { kind: 'wrong-range' }
  /** Done, and nobody is told. */
  | { kind: 'lost-answer' }

export interface Asked {
  method: string
  /** Empty for the bucket itself. */
  key: string
  isRange: boolean
}

export interface FaultyStore {
  endpoint: string
  /** Asked for each request; null lets it pass. */
  fault: (asked: Asked) => Fault | null
  /** Told what changed, or may have changed, the bucket, and of objects that were denied to exist. */
  note: (event: AskedOfStore) => void
  /** How many requests were spoilt, by fault. */
  spoilt: Map<string, number>
  requests: number
}

/** In front of the server at `endpoint`; gone after the test. */
export async function withFaultyStore(t: Scope, endpoint: string): Promise<FaultyStore> {
  const agent = new Agent({ keepAlive: true })
  const answers = new Map<string, Answer>()
  const server = createServer((from, to) => {
    pass(from, to).catch((error: unknown) => {
      process.emitWarning(`the fault proxy: ${String(error)}`)
      to.destroy()
    })
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.after(() => {
    server.close()
    server.closeAllConnections()
    agent.destroy()
  })
  const store: FaultyStore = {
    endpoint: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    fault: () => null,
    note: () => {},
    spoilt: new Map(),
    requests: 0,
  }

  async function pass(from: IncomingMessage, to: ServerResponse): Promise<void> {
    const body = await bytesOf(from)
    const asked = askedBy(from)
    store.requests += 1
    const fault = store.fault(asked)
    if (fault !== null) {
      const name = fault.kind === 'status' ? `status ${fault.status}` : fault.kind
      store.spoilt.set(name, (store.spoilt.get(name) ?? 0) + 1)
    }
    const told = {
      what: 'request',
      method: asked.method,
      key: asked.key,
      if_match: from.headers['if-match'] ?? null,
    } as const
    if (fault?.kind === 'status') {
      if (fault.status === 404) store.note({ ...told, status: 404 })
      return refuse(to, fault.status, asked)
    }
    const answer = await answerTo(from, body, fault).catch(() => null)
    const changes = asked.method !== 'GET' && asked.method !== 'HEAD'
    if (changes) store.note({ ...told, status: answer?.status ?? null })
    if (answer === null) to.destroy()
    else await send(to, answer, fault)
  }

  /** What will be spoilt anyway need not be asked for again. */
  async function answerTo(from: IncomingMessage, body: Buffer, fault: Fault | null) {
    const { method, url, headers } = from
    const name = JSON.stringify([url, headers['if-match'], headers.range])
    const seen = method === 'GET' && fault !== null ? answers.get(name) : undefined
    const answer = seen ?? (await forward(from, body))
    if (method === 'GET' && answer.status < 300)
      answers.set(name, { ...answer, body: Buffer.from(answer.body) })
    return { ...answer, body: Buffer.from(answer.body) }
  }

  async function forward(from: IncomingMessage, body: Buffer) {
    const { port, hostname } = new URL(endpoint)
    // The Host that was signed stays.
    const { method = 'GET', url: path = '/', headers } = from
    // Swift sends a body after a HEAD that it refuses, which would be taken for the next answer.
    const line = method === 'HEAD' ? false : agent
    const origin = request({ agent: line, hostname, port, method, path, headers })
    origin.on('error', () => {}) // after the answer it is of no account
    origin.end(body)
    const [answer] = (await once(origin, 'response')) as [IncomingMessage]
    return {
      status: answer.statusCode ?? 500,
      headers: answer.headers,
      body: await bytesOf(answer),
      isHead: method === 'HEAD',
    }
  }
  return store
}

interface Answer {
  status: number
  headers: OutgoingHttpHeaders
  body: Buffer
  isHead: boolean
}

function askedBy(from: IncomingMessage): Asked {
  const path = new URL(from.url ?? '/', 'http://store').pathname.split('/').slice(2).join('/')
  const isRange = from.headers.range !== undefined
  return { method: from.method ?? 'GET', key: decodeURIComponent(path), isRange }
}

async function bytesOf(from: IncomingMessage): Promise<Buffer> {
  const chunks: Buffer[] = []
  for await (const chunk of from as AsyncIterable<Buffer>) chunks.push(chunk)
  return Buffer.concat(chunks)
}

function refuse(to: ServerResponse, status: number, { method }: Asked): void {
  to.writeHead(status, { 'Content-Type': 'application/xml' })
  to.end(
    method === 'HEAD' ? '' : `<?xml version="1.0"?><Error><Code>${WORDS[status]}</Code></Error>`,
  )
}

const WORDS: Partial<Record<number, string>> = {
  401: 'Unauthorized',
  403: 'AccessDenied',
  404: 'NoSuchKey',
  412: 'PreconditionFailed',
  429: 'TooManyRequests',
  500: 'InternalError',
  503: 'ServiceUnavailable',
}

async function send(to: ServerResponse, answer: Answer, fault: Fault | null): Promise<void> {
  const { status, body } = answer
  const { 'transfer-encoding': _, connection: __, ...headers } = answer.headers
  if (fault?.kind === 'lost-answer') return void to.socket?.resetAndDestroy()
  if (fault?.kind === 'wrong-range' && headers['content-range'] !== undefined)
    headers['content-range'] = shifted(String(headers['content-range']))
  to.writeHead(status, headers)
  if (answer.isHead || fault === null || !('at' in fault)) {
    if (fault?.kind === 'flip' && body.length > 0) {
      const byte = fault.byte % body.length
      body[byte] = (body[byte] ?? 0) ^ (1 << fault.bit)
    }
    to.end(answer.isHead ? undefined : body)
    return
  }
  to.flushHeaders()
  to.write(body.subarray(0, fault.at % (body.length + 1)), () => {
    if (fault.kind === 'reset') to.socket?.resetAndDestroy()
    if (fault.kind === 'truncate') to.socket?.end()
  })
}

/** The range that an answer claims, one byte further. */
function shifted(range: string): string {
  return range.replace(/\d+/, (from) => String(Number(from) + 1))
}
