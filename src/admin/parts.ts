import type { Backend } from '../db/backend.ts'
import type { Database } from '../db/connect.ts'
import type { Log } from '../log.ts'
import type { RunMode } from '../runs.ts'
import type { DiskRoom } from '../storage/disk.ts'
import type { Live } from './live.ts'
import type { LookAround } from './look.ts'

/** A link to order. */
export interface LinkOrder {
  mediaId: number
  /** Null: the media row's. */
  userId: number | null
  ttlSeconds: number
  ip: string | null
  maxDownloads: number | null
}

export interface Revoked {
  /** False when it has expired, and opens nothing anyway. */
  revoked: boolean
  /** What is revoked, in a form that opens nothing. */
  subject: string
}

export interface HealthVerdict {
  ok: boolean
  checks: Record<
    string,
    { ok: boolean; latencyMs: number; error: string | null; checkedAt: string }
  >
  gauges: Record<string, number | null>
}

/** What console and API are made of; what other parts of the program do is given as functions. */
export interface AdminParts {
  version: string
  token: string
  /** Names of this service that have dots and are no addresses. */
  hosts: readonly string[]
  database: Database
  /** Its tables, looked at when they are first needed: the database may be away when the program starts. */
  backend: () => Promise<Backend>
  health: () => Promise<HealthVerdict>
  /** @throws NOT_FOUND, USAGE, CONFIG_INVALID when there is no secret to sign with */
  mint: (order: LinkOrder) => Promise<{ url: string; expiresAt: Date }>
  /** @throws USAGE, TOKEN_INVALID */
  revoke: (order: { named: string; keepMs: number | null }) => Promise<Revoked>
  /** Null where this node cannot see the archive. */
  storage: () => Promise<DiskRoom | null>
  /** The sidecar beside an archived file. @returns null where this node cannot read it */
  sidecar: (archivePath: string) => Promise<string | null>
  /** Goes through archive and items as `strongroom fsck` does, and changes nothing. */
  lookAround: LookAround
  /** What the sync of this process does at this moment. */
  live: Live
  /** Host name. */
  node: string
  mode: RunMode
  /** Archived files are read again by themselves, on the nodes that sync. */
  scrubs: boolean
  /** Aborts when the process stops: long answers end then. */
  closing: AbortSignal
  log: Log
}
