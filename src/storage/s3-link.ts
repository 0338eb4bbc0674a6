import type { Agent as HttpAgent } from 'node:http'
import type { Agent as HttpsAgent } from 'node:https'
import type { BucketConfig } from '../config.ts'
import { AppError, type ErrorCode } from '../errors.ts'
import { http, https } from '../node-http.ts'
import { onceOpened } from '../waiting.ts'
import { IDLE_MS, type Peer } from './http-connection.ts'
import { openPool, type Pool } from './http-pool.ts'
import { type Asked, subject } from './s3-errors.ts'
import { openSdk, type Sdk } from './s3-sdk.ts'

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
  sdk: () => Promise<Sdk>
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
    sdk: onceOpened(() => openSdk(config, agents)),
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
  for (const agent of link.agents) agent.destroy()
  link.pool.close()
}

/** Sockets that serve a request now, not those kept for the next one. */
export function socketsInUse({ agents, pool }: Link): number {
  const lists = agents.flatMap((agent) => Object.values(agent.sockets))
  return lists.reduce((sum, sockets) => sum + (sockets?.length ?? 0), pool.inUse())
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
