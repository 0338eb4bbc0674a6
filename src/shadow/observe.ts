import { renderArchivePath, withSuffix } from '../archive-path.ts'
import type { RowNow } from '../db/shadow.ts'
import { AppError, isAppError } from '../errors.ts'
import type { MediaRow } from '../media.ts'
import { describedMedia } from '../sidecar.ts'
import type { Bucket } from '../storage/bucket.ts'
import type { PinnedFile } from '../storage/pinned-file.ts'
import type { Validate } from '../sync/validate.ts'
import { isOfSource } from './compare.ts'
import type { Evidence, OldFile, OldVerdict } from './evidence.ts'
import { hashOf, type OldFolder } from './old-files.ts'
import { type ShadowRecord, versionOf } from './records.ts'

export interface ObserveParts {
  rows(mediaIds: readonly number[]): Promise<Map<number, RowNow>>
  audits(mediaIds: readonly number[]): Promise<Map<number, Map<string, number>>>
  /** @returns null when this version of the row was not looked at */
  record(of: { media_id: number; version: string }): Promise<ShadowRecord | null>
  /** Media of which any version was looked at. */
  recorded: ReadonlySet<number>
  bucket: Pick<Bucket, 'head'>
  archive: OldFolder
  /** Which medium each file of the archive is, as far as it is known. */
  owners: Map<string, number>
  /** ERROR_DIR; null where there is none. */
  errors: OldFolder | null
  validate: Validate
  layout: string
  /** A row's path, relative to ARCHIVE_DIR. */
  relative(archivePath: string): string
  /** The medium that was approved last of those that are archived. */
  latest: { mediaId: number; approvedAt: Date } | null
  concurrency: number
  signal: AbortSignal
}

/** Looks at all that is known of these media; nothing is written. */
export async function observe(
  parts: ObserveParts,
  mediaIds: readonly number[],
): Promise<Evidence[]> {
  const rows = await parts.rows(mediaIds)
  const audits = await parts.audits(mediaIds)
  const queue = [...mediaIds]
  const seen: Evidence[] = []
  const lane = async () => {
    for (let id = queue.shift(); id !== undefined; id = queue.shift()) {
      parts.signal.throwIfAborted()
      const row = rows.get(id) ?? null
      seen.push(await observeOne(parts, { id, row, audits: audits.get(id) ?? new Map() }))
    }
  }
  await Promise.all(Array.from({ length: parts.concurrency }, lane))
  return seen
}

async function observeOne(
  parts: ObserveParts,
  { id, row, audits }: { id: number; row: RowNow | null; audits: ReadonlyMap<string, number> },
): Promise<Evidence> {
  const record =
    row === null ? null : await parts.record({ media_id: id, version: versionOf(row.media) })
  const key = row?.media.objectKey ?? null
  const source = key === null ? null : await parts.bucket.head(key, parts.signal)
  const judges = row?.status === 'archived' && !isOfSource({ record, row })
  const found = await fileOf(parts, { row, record, judges })
  const isFiled = found.file !== null || row?.status === 'archived'
  return {
    mediaId: id,
    record,
    wouldPath: wouldPathOf(parts, record),
    superseded: record === null && parts.recorded.has(id),
    row,
    audits,
    ...found,
    rejectedCopy: isFiled || row === null ? null : await rejectedCopyOf(parts, row, record),
    source,
    overtakenBy: overtakenBy(parts, row),
  }
}

/** ARCHIVE_LAYOUT may have been changed since it was looked at; a suffix for a name that was taken stays. */
function wouldPathOf(
  { layout }: Pick<ObserveParts, 'layout'>,
  record: ShadowRecord | null,
): string | null {
  if (record === null || record.sidecar === null) return null
  const { archive_path: recorded, sha256 } = record.sidecar
  const { objectKey, approvedAt, ...media } = describedMedia(record.sidecar)
  if (objectKey === null || approvedAt === null) return recorded
  const rendered = renderArchivePath(layout, { media: { ...media, objectKey, approvedAt }, sha256 })
  return recorded === withSuffix(rendered, sha256.slice(0, 8)) ? recorded : rendered
}

function overtakenBy({ latest }: ObserveParts, row: RowNow | null): number | null {
  const approvedAt = row?.media.approvedAt ?? null
  if (latest === null || approvedAt === null) return null
  return approvedAt < latest.approvedAt ? latest.mediaId : null
}

type Found = Pick<Evidence, 'file' | 'fileFault' | 'oldVerdict'>
const none: Found = { file: null, fileFault: null, oldVerdict: null }

interface Wanted {
  row: RowNow | null
  record: ShadowRecord | null
  /** The file is all that there is to judge by. */
  judges: boolean
}

async function fileOf(parts: ObserveParts, wanted: Wanted): Promise<Found> {
  const { row, record } = wanted
  if (row === null) return none
  if (row.archivePath !== null) {
    const path = parts.relative(row.archivePath)
    const found = await readAt(parts, path, wanted)
    if (!(found instanceof AppError)) return found
    // A path may be set long before there is a file.
    if (row.status === 'archived') return { ...none, fileFault: found.message }
  }
  const { mediaId } = row.media
  const isFree = (one: string) => (parts.owners.get(one) ?? mediaId) === mediaId
  const path = record?.source ? await freshCopy(parts.archive, record.source, isFree) : null
  if (path === null) return none
  parts.owners.set(path, mediaId)
  const found = await readAt(parts, path, wanted)
  return found instanceof AppError ? none : found
}

/** @returns where these bytes lie under a name that no row tells */
async function freshCopy(
  folder: OldFolder,
  { bytes, sha256 }: { bytes: number; sha256: string },
  isFree: (path: string) => boolean = () => true,
): Promise<string | null> {
  for (const [path, sizeBytes] of folder.fresh) {
    if (sizeBytes !== bytes || !isFree(path)) continue
    if ((await folder.sha256(path)) === sha256) return path
  }
  return null
}

async function readAt(
  parts: ObserveParts,
  path: string,
  { row, judges }: Wanted,
): Promise<Found | AppError> {
  const sidecar = await parts.archive.sidecarOf(path)
  return parts.archive.withFile(path, async (pinned) => {
    const { sizeBytes } = pinned
    const sha256 = await hashOf(pinned, parts.signal)
    const file: OldFile = { path, sizeBytes, sha256, sidecar }
    const oldVerdict = judges && row !== null ? await judge(parts, row, { pinned, file }) : null
    return { file, fileFault: null, oldVerdict }
  })
}

/** What Strongroom makes of these bytes, as if they were the source's. @returns null for what no claim would ever take */
async function judge(
  parts: ObserveParts,
  { media }: RowNow,
  { pinned, file }: { pinned: PinnedFile; file: OldFile },
): Promise<OldVerdict | null> {
  const { objectKey, approvedAt, contentType: kind } = media
  if (objectKey === null || approvedAt === null) return null
  const { neutralPath: absolutePath, sizeBytes } = pinned
  const row: MediaRow = { ...media, objectKey, approvedAt }
  const archivePath = renderArchivePath(parts.layout, { media: row, sha256: file.sha256 })
  try {
    const verdict = await parts.validate({ absolutePath, kind, sizeBytes, signal: parts.signal })
    return verdict.valid
      ? { valid: true, reason: null, facts: verdict.facts, archivePath }
      : { valid: false, reason: verdict.reason, facts: null, archivePath }
  } catch (error) {
    if (isAppError(error, 'PROBE_FAILED'))
      return { valid: null, reason: error.message, facts: null, archivePath }
    throw error
  }
}

/** The very bytes, or whatever bears the name, among what has come into ERROR_DIR. */
async function rejectedCopyOf(
  { errors }: ObserveParts,
  { media }: RowNow,
  record: ShadowRecord | null,
): Promise<string | null> {
  if (errors === null) return null
  const same = record?.source ? await freshCopy(errors, record.source) : null
  if (same !== null) return same
  const last = (path: string) => path.slice(path.lastIndexOf('/') + 1)
  const names = [media.filename, last(media.objectKey ?? '')].filter((name) => name)
  const numbered = new RegExp(`^${media.mediaId}[-_.]`)
  const isNamed = (path: string) => names.includes(last(path)) || numbered.test(last(path))
  // Another medium may have the name; a copy that was cut short is smaller.
  const most = record?.source?.bytes ?? Number.POSITIVE_INFINITY
  const named = [...errors.fresh].find(([path, bytes]) => bytes < most && isNamed(path))
  return named?.[0] ?? null
}
