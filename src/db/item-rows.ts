import type { ItemState } from '../item-states.ts'
import type { Intent, Item, MediaKind, MediaRow, ProbeFacts, Proof } from '../media.ts'
import type { Backend } from './backend.ts'
import type { Database, Fragment, Sql } from './connect.ts'

/** An item as far as the lease goes. */
export interface Held {
  id: number
  epoch: number
}

/** What is claimed of that whose time has come. */
export interface DueWish {
  limit: number
  /** What this worker has in hand already. */
  held: readonly Held[]
  /** In database time: what became due later is not claimed; null for all that is due now. */
  dueBy: Date | null
}

/** What a worker is and what it may touch; every statement is bound to it. */
export interface WorkerContext {
  database: Database
  backend: Backend
  archiveId: string
  /** The configured bucket; what lies in another one is never released. */
  bucket: string
  /** Unique per process: a lost answer to a claim is asked for again under this name. */
  owner: string
  leaseMs: number
  releaseGraceMs: number
  /** Sources that may be released in any 24 hours, by all workers together; null for any number. */
  releaseDailyMax: number | null
}

/** A PostgreSQL array literal of whole numbers. */
export function arrayText(numbers: readonly number[]): string {
  return `{${numbers.join(',')}}`
}

/** `(id, epoch)` pairs as rows `asked`; arrays go as text because the driver is told to fetch no types. */
export function askedRows(sql: Sql, held: readonly Held[]): Fragment {
  const ids = arrayText(held.map((item) => item.id))
  const epochs = arrayText(held.map((item) => item.epoch))
  return sql`asked as (select * from unnest(${ids}::bigint[], ${epochs}::int[]) as pairs (id, epoch))`
}

/** Tells what of an item `held` has, by id and epoch: the same id may be asked for by a worker of an earlier epoch, too. */
export function byHeld<Row extends { id: string; epoch: number }>(
  rows: readonly Row[],
): (held: Held) => Row | undefined {
  const found = new Map(rows.map((row) => [`${row.id} ${row.epoch}`, row]))
  return ({ id, epoch }) => found.get(`${id} ${epoch}`)
}

/** What is kept about bytes that are not valid media. */
export interface Rejection {
  reason: string
  /** Name of the report in ERROR_DIR. */
  report: string
  sha256: string
  sizeBytes: number
}

/** What the media row said, as the driver returns it: bigint as text, timestamptz as Date. */
export interface MediaFactsRow {
  media_id: string
  user_id: string | null
  title: string | null
  filename: string | null
  content_type: MediaKind | null
  mime_type: string | null
  declared_bytes: string | null
  object_key: string
  approved_at: Date
}

export function toMediaRow(row: MediaFactsRow): MediaRow {
  return {
    mediaId: Number(row.media_id),
    userId: positive(row.user_id),
    title: row.title,
    filename: row.filename,
    contentType: row.content_type,
    mimeType: row.mime_type,
    declaredBytes: positive(row.declared_bytes),
    objectKey: row.object_key,
    approvedAt: row.approved_at,
  }
}

/** A backend's 0 or -1 means that it does not know; a number that JavaScript would round is not known either. */
export function positive(bigint: string | null): number | null {
  const number = Number(bigint)
  return Number.isSafeInteger(number) && number > 0 ? number : null
}

/** Columns of `strongroom.items`. */
export interface ItemRow extends MediaFactsRow {
  id: string
  generation: number
  epoch: number
  state: ItemState
  attempts: number
  error_message: string | null
  archive_path: string | null
  sha256: string | null
  size_bytes: string | null
  bucket: string | null
  etag: string | null
  version_id: string | null
  last_modified: Date | null
  probe: ProbeFacts | null
  proof: Proof | null
  filed_at: Date | null
  archived_at: Date | null
  damage: string | null
}

export function toItem(row: ItemRow): Item {
  return {
    id: Number(row.id),
    generation: row.generation,
    epoch: row.epoch,
    state: row.state,
    media: toMediaRow(row),
    attempts: row.attempts,
    lastError: row.error_message,
    intent: toIntent(row),
    archivedAt: row.archived_at,
    damaged: row.damage !== null,
  }
}

function toIntent(row: ItemRow): Intent | null {
  const { archive_path, sha256, bucket, etag, last_modified, probe, proof, filed_at } = row
  if (archive_path === null || sha256 === null || bucket === null || etag === null) return null
  if (last_modified === null || probe === null || proof === null || filed_at === null) return null
  return {
    archivePath: archive_path,
    sha256,
    source: {
      bucket,
      key: row.object_key,
      etag,
      versionId: row.version_id,
      lastModified: last_modified,
      sizeBytes: Number(row.size_bytes),
    },
    probe,
    proof,
    filedAt: filed_at,
  }
}
