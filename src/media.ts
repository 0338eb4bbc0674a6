/**
 * Glossary.
 *
 * - **media row**: a row of the backend's media table; `approved` is the backend's word that it may be archived.
 * - **item**: our record of one *version* of a media row (key, size, approval time). A row approved again with
 *   other facts is a new **generation**, hence a new item.
 * - **source**: the object in the bucket. **ETag**: the store's name for its exact bytes.
 * - **lease**: the right to work on an item until a point in database time; each takeover raises its **epoch**,
 *   and the database refuses whoever comes with an older one.
 * - **intent**: archive path, hash and size committed before any final name appears on disk.
 * - **sidecar**: the JSON file beside an archived file that alone can rebuild its database row.
 * - **release**: deletion of the source, long after `archived` was recorded.
 * - **proof**: the digest that showed that the downloaded bytes are the store's bytes.
 */

import type { ItemState } from './item-states.ts'

export const mediaKinds = ['video', 'image', 'audio'] as const
export type MediaKind = (typeof mediaKinds)[number]

/** What the backend's row said when it was claimed. */
export interface MediaRow {
  mediaId: number
  userId: number | null
  title: string | null
  filename: string | null
  /** The declared kind; null when the backend does not say. */
  contentType: MediaKind | null
  mimeType: string | null
  /** Declared size; null and 0 both mean "not set". */
  declaredBytes: number | null
  objectKey: string
  approvedAt: Date
}

/** What is known of a medium whose file Strongroom did not archive itself; of one that was put there by hand only the ids. */
export type AdoptedMedia = Omit<MediaRow, 'objectKey' | 'approvedAt'> & {
  objectKey: string | null
  approvedAt: Date | null
}

/** A file that lay there before us, as it was found. */
export interface AdoptedFile {
  /** Relative to ARCHIVE_DIR. */
  archivePath: string
  sizeBytes: number
  /** Hex. */
  sha256: string
  mimeType: string
  /** Null for what is no media. */
  kind: MediaKind | null
  /** Null where ffprobe does not know the file. */
  probe: ProbeFacts | null
  adoptedAt: Date
}

/** The exact object version that was downloaded. */
export interface Source {
  bucket: string
  key: string
  /** As the store sends it, without quotes. */
  etag: string
  versionId: string | null
  lastModified: Date
  sizeBytes: number
}

/** How the downloaded bytes were proven to be the store's. `opaque-etag` and `read-twice` both mean two full reads. */
export const proofKinds = ['crc64nvme', 'md5', 'md5-of-parts', 'read-twice', 'opaque-etag'] as const
export type ProofKind = (typeof proofKinds)[number]

/** The proof and the value that the store gave for it (null where two reads had to agree). */
export interface Proof {
  kind: ProofKind
  value: string | null
}

export interface ProbedStream {
  type: 'video' | 'audio' | 'subtitle' | 'data' | 'attachment'
  codec: string | null
  width: number | null
  height: number | null
  /** Frames per second. */
  frameRate: number | null
  channels: number | null
  sampleRate: number | null
  /** Cover art and the like: a picture inside another medium. */
  attachedPicture: boolean
}

/** What ffprobe found, as kept in the item and the sidecar. */
export interface ProbeFacts {
  /** Our name of the container, from the table of accepted formats, for example `mp4`. */
  container: string
  /** The MIME type that follows from container and streams; it is what the file server sends. */
  mimeType: string
  kind: MediaKind
  durationSeconds: number | null
  streams: ProbedStream[]
}

/** One version of a media row under our care; mirrors `strongroom.items`. */
export interface Item {
  id: number
  generation: number
  epoch: number
  state: ItemState
  media: MediaRow
  attempts: number
  /** Why the last attempt that told it failed, or null. */
  lastError: string | null
  /** Known from the intent on. */
  intent: Intent | null
  archivedAt: Date | null
  /** By the last reading of the archived file. */
  damaged: boolean
}

/** One whose source is due to go. */
export interface DueItem extends Item {
  /** Another worker, or this one earlier, may have sent the DELETE, and its outcome is not known. */
  begun: boolean
}

/** What is committed before a final name appears; recovery reads it instead of guessing. */
export interface Intent {
  /** Relative to ARCHIVE_DIR, rendered once, in UTC. */
  archivePath: string
  /** Hex. */
  sha256: string
  source: Source
  probe: ProbeFacts
  proof: Proof
  /** When the copy was proven and filed, by the worker's clock; for the sidecar only. */
  filedAt: Date
}
