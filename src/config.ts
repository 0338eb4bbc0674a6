import type { MediaKind } from './media.ts'

export type MediaColumn =
  | 'id'
  | 'user_id'
  | 'title'
  | 'filename'
  | 'content_type'
  | 'mime_type'
  | 'file_size'
  | 'object_key'
  | 'status'
  | 'approved_at'
  | 'created_at'
  | 'updated_at'
  | 'deleted_at'
  | 'archive_path'
  | 'archived_at'
  | 'checksum_sha256'
export type AuditColumn = 'media_id' | 'user_id' | 'action' | 'details' | 'created_at'

/** The backend's names for its own tables, columns and values. */
export interface BackendMapping {
  /** May be schema-qualified: `app.media`. */
  mediaTable: string
  auditTable: string
  mediaColumns: Record<MediaColumn, string>
  auditColumns: Record<AuditColumn, string>
  /** `rejected` is null unless configured: then a rejected row's status is left alone. */
  status: { approved: string; archived: string; rejected: string | null }
  action: { archived: string; sourceDeleted: string; rejected: string }
  /** The backend's values of content_type for each kind. */
  kinds: Record<MediaKind, string>
}

export interface DatabaseConfig {
  host: string
  port: number
  database: string
  user: string
  password: string | null
  ssl: 'disable' | 'prefer' | 'require' | 'verify-full'
  /** Behind pgbouncer in transaction mode: no prepared statements, no start-up parameters. */
  pooler: boolean
}

export interface BucketConfig {
  endpoint: string
  region: string
  bucket: string
  accessKey: string
  secretKey: string
}

/** `every`: milliseconds between starts; `cron`: a cron expression read in `timeZone`. */
export type Schedule = { every: number } | { cron: string }

export interface Config {
  mode: 'live' | 'dry-run'
  /** Null only when the command does not need it (see `needs`). */
  database: DatabaseConfig | null
  bucket: BucketConfig | null
  backend: BackendMapping
  migrateOnStart: boolean
  sync: {
    batchSize: number
    schedule: Schedule
    concurrency: number
    changedAfterApproval: 'hold' | 'accept'
    sizeMismatch: 'warn' | 'reject'
  }
  archive: { dir: string; errorDir: string; layout: string; umask: number }
  releaseGraceMs: number
  ffprobePath: string
  shutdownTimeoutMs: number
  serve: {
    port: number
    adminPort: number
    pathPrefix: string
    tokens: TokenConfig | null
    publicUrl: string | null
  }
  log: { level: 'debug' | 'info' | 'warn' | 'error'; format: 'json' | 'text' }
  timeZone: string
}

export interface TokenConfig {
  /** The first one signs, all of them open; several at once for rotation. */
  secrets: string[]
  audience: string | null
  issuer: string | null
}
