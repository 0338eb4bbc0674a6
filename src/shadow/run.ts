import type { PlannedRow } from '../db/plan.ts'
import type { RowNow } from '../db/shadow.ts'
import { type AppError, toAppError } from '../errors.ts'
import type { Log } from '../log.ts'
import type { Intent, Item, MediaRow, ProbeFacts } from '../media.ts'
import { buildSidecar } from '../sidecar.ts'
import type { Bucket } from '../storage/bucket.ts'
import type { Disk } from '../storage/disk.ts'
import { ofOneKey } from '../storage/one-key.ts'
import type { Downloaded } from '../sync/download.ts'
import type { Verdict } from '../sync/validate.ts'
import type { LastRun } from './last-run.ts'
import { type Records, type ShadowRecord, type ShadowVerdict, versionOf } from './records.ts'

/** The steps of a live sync up to the archive, as they are. */
export interface ShadowSteps {
  /** @throws ROW_INVALID */
  assertUsable(media: MediaRow): void
  download(item: Item, signal: AbortSignal): Promise<Downloaded>
  validate(item: Item, found: Downloaded, signal: AbortSignal): Promise<Verdict>
  /** Files it in SHADOW_DIR, durably. */
  publish(item: Item, found: Downloaded & { facts: ProbeFacts }): Promise<{ intent: Intent }>
  /** Closes and removes a download that is not filed. */
  discard(found: Downloaded): Promise<void>
  /** Nothing of the item is under way any more. */
  settled(item: Item): void
}

export interface ShadowParts {
  steps: ShadowSteps
  records: Records
  disk: Pick<Disk, 'unlink'>
  /** Pages of approved rows, in the order of claims. */
  approved(page: { after: PlannedRow | null; limit: number }): Promise<PlannedRow[]>
  /** Pages of rows that the other service archived since the shadow began. */
  archived(page: { afterId: number; limit: number }): Promise<RowNow[]>
  /** The row as it is now; null when it is gone. */
  rowNow(mediaId: number): Promise<RowNow | null>
  bucket: Pick<Bucket, 'check' | 'head'>
  saveLastRun(run: LastRun): Promise<void>
  keepBytes: number
  concurrency: number
  version: string
  log: Log
}

export interface ShadowRun {
  /** What was looked at in this run, by verdict. */
  items: Record<ShadowVerdict, number>
  bytes: number
  /** The outage that ended the run early. */
  stoppedBy: AppError | null
}

const PAGE = 500
/** Attempts on one version after which it is left to the report. */
const MAX_ATTEMPTS = 8

/**
 * Looks at every version of a row that was not looked at before: first those that are approved, then those that the other
 * service archived meanwhile. Everything is done as in a live run up to the archive; nothing is written but in SHADOW_DIR.
 */
export async function runShadow(
  parts: ShadowParts,
  signals: { drain: AbortSignal; abort: AbortSignal },
): Promise<ShadowRun> {
  const run: ShadowRun = {
    items: { archive: 0, reject: 0, hold: 0, late: 0, missing: 0, retry: 0 },
    bytes: 0,
    stoppedBy: null,
  }
  const rows = oneAtATime(versions(parts))
  const lane = async () => {
    while (run.stoppedBy === null && !signals.drain.aborted) {
      const next = await rows()
      if (next === null) return
      const record = await lookAt(parts, next, signals.abort)
      await save(parts, record)
      run.items[record.verdict] += 1
      run.bytes += record.source?.bytes ?? 0
      const { media_id: media, verdict, reason } = record
      parts.log.info({ media, verdict, ...(reason !== null && { reason }) }, 'looked at')
    }
  }
  const lanes = Array.from({ length: parts.concurrency }, () =>
    lane().catch((error: unknown) => {
      run.stoppedBy ??= toAppError(error)
    }),
  )
  await Promise.all(lanes)
  if (!signals.drain.aborted)
    await parts
      .saveLastRun({ endedAt: new Date(), stoppedBy: run.stoppedBy?.message ?? null })
      .catch((error: unknown) => {
        run.stoppedBy ??= toAppError(error)
      })
  return run
}

interface Version {
  media: MediaRow
  version: string
  attempts: number
}

/** Those that are not settled yet. */
async function* versions(parts: ShadowParts): AsyncGenerator<Version> {
  for (let after: PlannedRow | null = null; ; ) {
    const page = await parts.approved({ after, limit: PAGE })
    for (const { media } of page) yield* unsettled(parts, media)
    after = page.at(-1) ?? null
    if (page.length < PAGE) break
  }
  for (let afterId = 0; ; ) {
    const page = await parts.archived({ afterId, limit: PAGE })
    for (const { media, deletedAt } of page) {
      const { objectKey, approvedAt } = media
      // No claim would ever take these; that they were archived is for the report.
      if (objectKey === null || approvedAt === null || deletedAt !== null) continue
      yield* unsettled(parts, { ...media, objectKey, approvedAt })
    }
    afterId = page.at(-1)?.media.mediaId ?? afterId
    if (page.length < PAGE) return
  }
}

function* unsettled({ records }: ShadowParts, media: MediaRow): Generator<Version> {
  const version = versionOf(media)
  const { verdict = null, attempts = 0 } = records.known(media.mediaId, version) ?? {}
  const again = verdict === 'missing' || (verdict === 'retry' && attempts < MAX_ATTEMPTS)
  if (verdict === null || again) yield { media, version, attempts }
}

/** One row at a time for all lanes; null at the end. */
function oneAtATime(rows: AsyncGenerator<Version>): () => Promise<Version | null> {
  return async () => {
    const { value, done } = await rows.next()
    return done === true ? null : value
  }
}

type Found = Pick<ShadowRecord, 'verdict' | 'reason' | 'source' | 'sidecar' | 'kept'>
const nothing = { source: null, sidecar: null, kept: false } as const

/** @throws what concerns all items: an outage, or that the run is to end */
async function lookAt(
  parts: ShadowParts,
  { media, version, attempts }: Version,
  signal: AbortSignal,
): Promise<ShadowRecord> {
  const item = itemOf(media, attempts)
  const found = await tryOut(parts, item, signal)
    .catch((error: unknown) => whyNot(parts, media, toAppError(error)))
    .finally(() => parts.steps.settled(item))
  return {
    schema_version: 1,
    media_id: media.mediaId,
    version,
    looked_at: new Date().toISOString(),
    attempts: item.attempts,
    ...found,
  }
}

/** Only what is remembered loses its copy; the sidecar always stays. */
async function save({ records, disk }: ShadowParts, record: ShadowRecord): Promise<void> {
  await records.save(record)
  if (record.sidecar !== null && !record.kept) await disk.unlink(record.sidecar.archive_path)
}

/** What the steps know an item by; its temporaries carry the number of the attempt. */
function itemOf(media: MediaRow, attempts: number): Item {
  return {
    id: media.mediaId,
    generation: 1,
    epoch: attempts + 1,
    state: 'claimed',
    media,
    attempts: attempts + 1,
    lastError: null,
    intent: null,
    archivedAt: null,
    damaged: false,
  }
}

async function tryOut(parts: ShadowParts, item: Item, signal: AbortSignal): Promise<Found> {
  const { steps } = parts
  steps.assertUsable(item.media)
  const downloaded = await steps.download(item, signal)
  const { etag, lastModified, sizeBytes } = downloaded.source
  const source = {
    etag,
    last_modified: lastModified.toISOString(),
    bytes: sizeBytes,
    sha256: downloaded.sha256,
  }
  try {
    const verdict = await steps.validate(item, downloaded, signal)
    if (!verdict.valid) {
      await steps.discard(downloaded)
      return { ...nothing, verdict: 'reject', reason: verdict.reason, source }
    }
    signal.throwIfAborted()
    const { intent } = await steps.publish(item, { ...downloaded, facts: verdict.facts })
    const sidecar = buildSidecar({ media: item.media, intent, version: parts.version })
    const kept = parts.records.keptBytes() + source.bytes <= parts.keepBytes
    return { verdict: 'archive', reason: null, source, sidecar, kept }
  } catch (error) {
    // Its temporary would be in nobody's way; the error is the one to tell.
    await steps.discard(downloaded).catch(() => {})
    throw error
  }
}

async function whyNot(parts: ShadowParts, media: MediaRow, error: AppError): Promise<Found> {
  const reason = error.message
  if (error.code === 'OBJECT_MISSING') {
    const { isArchived } = await archivingOf(parts, media)
    return { ...nothing, verdict: isArchived ? 'late' : 'missing', reason }
  }
  if (error.code === 'CHANGED_AFTER_APPROVAL')
    return { ...nothing, verdict: (await isAnotherNow(parts, media)) ? 'late' : 'hold', reason }
  if ((await ofOneKey(parts.bucket, media.objectKey, error)) !== error)
    return { ...nothing, verdict: 'retry', reason }
  if (error.retry === 'outage') throw error
  return { ...nothing, verdict: error.retry === 'never' ? 'hold' : 'retry', reason }
}

/** What the other service has made of this version by now. */
async function archivingOf({ rowNow }: ShadowParts, media: MediaRow) {
  const now = await rowNow(media.mediaId)
  const isArchived = now?.status === 'archived' && versionOf(now.media) === versionOf(media)
  return { isArchived, archivedAt: now?.archivedAt ?? null }
}

/** What came under its key after the other service had archived it says nothing of what it archived. */
async function isAnotherNow(parts: ShadowParts, media: MediaRow): Promise<boolean> {
  const { isArchived, archivedAt } = await archivingOf(parts, media)
  if (!isArchived || archivedAt === null) return false
  const object = await parts.bucket.head(media.objectKey)
  return object !== null && object.lastModified > archivedAt
}
