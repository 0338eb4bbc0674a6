import type { Agent as HttpAgent } from 'node:http'
import type { Agent as HttpsAgent } from 'node:https'
import { ListObjectsV2Command, type ListObjectsV2CommandOutput, S3Client } from '@aws-sdk/client-s3'
import { NodeHttpHandler } from '@smithy/node-http-handler'
import type { BucketConfig } from '../config.ts'
import { AppError, type ErrorCode } from '../errors.ts'
import { http, https } from '../node-http.ts'
import { CONNECT_TIMEOUT_MS, IDLE_MS, type Peer } from './http-connection.ts'
import { openPool, type Pool } from './http-pool.ts'
import { type Asked, cancelled, judge, notS3, subject } from './s3-errors.ts'

export interface S3Options {
  /** A body that brings no byte for so long is given up. */
  stallMs?: number
  maxSockets?: number
  /** From the start of a request to the end of its answer, or to its headers for a download. */
  requestTimeoutMs?: number
  /** What its settings are called; `R2` unless told. */
  settings?: 'R2' | 'SECOND'
  /** Told of each request that failed. */
  onError?: (code: ErrorCode) => void
}

/** One open bucket: what every request needs. */
export interface Link {
  client: S3Client
  config: BucketConfig
  peer: Peer
  /** As a Host header names the store, and what stands before every bucket's name: '' or a path without its last slash. */
  host: string
  basePath: string
  agents: readonly [HttpAgent, HttpsAgent]
  /** For downloads. */
  pool: Pool
  /** False once the store's answer to a GET was nothing for a plain reader of HTTP. */
  plain: boolean
  endpoint: string
  bucket: string
  settings: 'R2' | 'SECOND'
  stallMs: number
  requestTimeoutMs: number
  /** False once the store refused a HEAD that asked for checksums. */
  checksums: boolean
  /** What must be added to this machine's clock to have the store's. */
  clockOffsetMs: number
  onError: (code: ErrorCode) => void
}

const MAX_KEY_BYTES = 1024

export function openLink(config: BucketConfig, options: S3Options): Link {
  const { maxSockets = 64 } = options
  const agentOptions = { keepAlive: true, maxSockets, timeout: IDLE_MS }
  const agents = [new http.Agent(agentOptions), new https.Agent(agentOptions)] as const
  const { host, pathname } = new URL(config.endpoint)
  const peer = peerOf(config.endpoint)
  return {
    client: createClient(config, agents),
    config,
    peer,
    host,
    basePath: pathname.replace(/\/+$/, ''),
    agents,
    pool: openPool(peer, maxSockets),
    plain: true,
    endpoint: shownEndpoint(config.endpoint),
    bucket: config.bucket,
    settings: options.settings ?? 'R2',
    stallMs: options.stallMs ?? 30_000,
    requestTimeoutMs: options.requestTimeoutMs ?? 30_000,
    checksums: true,
    clockOffsetMs: 0,
    onError: options.onError ?? (() => {}),
  }
}

function peerOf(endpoint: string): Peer {
  const { protocol, hostname, port } = new URL(endpoint)
  const isSecure = protocol === 'https:'
  return {
    protocol: isSecure ? 'https:' : 'http:',
    hostname: hostname.replace(/^\[(.*)\]$/, '$1'),
    port: port === '' ? (isSecure ? 443 : 80) : Number(port),
  }
}

/** Host and path only: somebody may have put credentials into the URL. */
export function shownEndpoint(endpoint: string): string {
  const { origin, pathname } = new URL(endpoint)
  return `${origin}${pathname.replace(/\/+$/, '')}`
}

export function closeLink(link: Link): void {
  link.client.destroy()
  for (const agent of link.agents) agent.destroy()
  link.pool.close()
}

/** Sockets that serve a request now, not those kept for the next one. */
export function socketsInUse({ agents, pool }: Link): number {
  const lists = agents.flatMap((agent) => Object.values(agent.sockets))
  return lists.reduce((sum, sockets) => sum + (sockets?.length ?? 0), pool.inUse())
}

function createClient(config: BucketConfig, agents: readonly [HttpAgent, HttpsAgent]): S3Client {
  return new S3Client({
    endpoint: config.endpoint,
    region: config.region,
    credentials: { accessKeyId: config.accessKey, secretAccessKey: config.secretKey },
    forcePathStyle: true,
    maxAttempts: 1,
    // Checksums unasked for are refused by some stores and cost the main thread a pass in JavaScript.
    requestChecksumCalculation: 'WHEN_REQUIRED',
    responseChecksumValidation: 'WHEN_REQUIRED',
    // Said here so that no file or variable meant for another program decides it.
    defaultsMode: 'standard',
    retryMode: 'standard',
    useArnRegion: false,
    useDualstackEndpoint: false,
    useFipsEndpoint: false,
    disableS3ExpressSessionAuth: true,
    requestHandler: new NodeHttpHandler({
      httpAgent: agents[0],
      httpsAgent: agents[1],
      connectionTimeout: CONNECT_TIMEOUT_MS,
      // Ours are the deadline in `ask` and the stall timer of the body.
      socketTimeout: 0,
      logger: { trace() {}, debug() {}, info() {}, warn() {}, error() {} },
    }),
  })
}

/** A listing of one key, because unlike HEAD its refusal has a body that says why. */
export async function check(link: Link, signal?: AbortSignal): Promise<void> {
  const asked = askedFor(link)
  const command = new ListObjectsV2Command({ Bucket: link.bucket, MaxKeys: 1 })
  const output = await ask(link, { ...asked, signal }, (abort) => link.client.send(command, abort))
  mustBeListing(output, asked)
}

/** A portal's page parses as a listing of nothing. */
export function mustBeListing(output: ListObjectsV2CommandOutput, asked: Asked): void {
  if (output.Name === undefined && output.KeyCount === undefined) {
    throw notS3(asked, 'something that is no listing')
  }
}

function late(): DOMException {
  return new DOMException('deadline', 'TimeoutError')
}

/** Sends one request under a deadline and turns whatever goes wrong into the AppError it means. */
export async function ask<Output>(
  link: Link,
  asked: Asked & { signal?: AbortSignal | undefined; withinMs?: number | undefined },
  send: (options: { abortSignal: AbortSignal }) => Promise<Output>,
): Promise<Output> {
  const { signal, withinMs = link.requestTimeoutMs } = asked
  if (signal?.aborted) throw cancelled(asked)
  const controller = new AbortController()
  // The SDK reads an error's body to its end without any limit of its own.
  const deadline = setTimeout(() => controller.abort(late()), withinMs)
  const forward = () => controller.abort()
  signal?.addEventListener('abort', forward, { once: true })
  try {
    return await send({ abortSignal: controller.signal })
  } catch (error) {
    if (signal?.aborted) throw cancelled(asked)
    const verdict = judge(controller.signal.aborted ? late() : error, asked)
    // A key's 403 or 404 says nothing about the bucket; if that fails too, its error is the truth.
    if (verdict.unsure) await check(link, signal)
    link.onError(verdict.error.code)
    throw verdict.error
  } finally {
    clearTimeout(deadline)
    signal?.removeEventListener('abort', forward)
  }
}

/** @throws OBJECT_MISSING for text that no store can have as a key */
export function askedFor(link: Link, key: string | null = null): Asked {
  const { endpoint, bucket, settings } = link
  const asked = { endpoint, bucket, settings, key }
  if (key === null) return asked
  const impossible = key === '' || key.includes('\0') || !key.isWellFormed()
  if (impossible || Buffer.byteLength(key) > MAX_KEY_BYTES) {
    throw new AppError(
      'OBJECT_MISSING',
      `${subject(asked)} cannot exist: no bucket has such a key`,
      {
        hint: 'A key is 1 to 1024 bytes of UTF-8 without NUL; mend the object key of the media row.',
      },
    )
  }
  return asked
}

export function quoted(etag: string): string {
  return `"${etag}"`
}

export function unquoted(etag: string | undefined): string | null {
  const plain = etag?.replace(/^"(.*)"$/, '$1')
  return plain ? plain : null
}
