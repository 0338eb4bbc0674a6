import type { RowNow } from '../db/shadow.ts'
import type { MediaRow } from '../media.ts'
import type { Difference, DifferenceKind, Evidence } from './evidence.ts'
import { factsOf } from './known-facts.ts'
import { wrongFacts } from './old-sidecar.ts'

/** What the statements and settings say of the backend's tables. */
export interface Meaning {
  actions: { archived: string; rejected: string }
  /** The backend's own words for each kind. */
  kinds: Readonly<Partial<Record<string, string>>>
  /** The media table has a column archived_at. */
  keepsArchivedAt: boolean
}

/**
 * Why a medium cannot be compared: `waiting`, the other service has not come to it yet; `missing`, neither could find its
 * object; `changed`, somebody changed its row meanwhile; `unread`, Strongroom could not read it yet.
 */
export const skips = ['waiting', 'missing', 'changed', 'unread'] as const
export type Skip = (typeof skips)[number]

export interface Side {
  verdict: string
  path: string | null
  sizeBytes: number | null
  sha256: string | null
}

/** One medium, or a file that belongs to none. */
export interface Comparison {
  mediaId: number | null
  name: string
  would: Side
  did: Side
  /** `old-file`: Strongroom had not read its source by then, so its part is what it makes of the other service's file. */
  basis: 'source' | 'old-file'
  skipped: Skip | null
  differences: Difference[]
  /** What a layout may name of it; null where no path can be rendered. */
  media: MediaRow | null
}

const NEVER = new Date(8.64e15)
const nothing: Side = { verdict: 'nothing', path: null, sizeBytes: null, sha256: null }

/** Judges one medium by what was seen of it; what cannot be compared yet has no differences. */
export function compare(seen: Evidence, meaning: Meaning): Comparison {
  const { mediaId, record, row, file } = seen
  const { filename = null, title = null } = row?.media ?? {}
  const basis = isOfSource(seen) ? 'source' : 'old-file'
  const base = {
    mediaId,
    name: filename ?? title ?? record?.sidecar?.filename ?? `media ${mediaId}`,
    would: wouldOf(seen),
    did: didOf(seen),
    basis,
    media: mediaOf(row),
  } as const
  const skipped = whySkipped(seen, meaning)
  if (skipped !== null) return { ...base, skipped, differences: [] }
  const differences =
    row?.status === 'archived' || file !== null
      ? differencesOfArchived(seen, meaning)
      : differencesOfOthers(seen, meaning)
  return { ...base, skipped: null, differences }
}

function mediaOf(row: RowNow | null): MediaRow | null {
  if (row === null) return null
  const { objectKey, approvedAt } = row.media
  if (objectKey === null || approvedAt === null) return null
  return { ...row.media, objectKey, approvedAt }
}

/** The bytes of its source were judged, and it was not replaced by others before the other service archived it. */
export function isOfSource({ record, row }: Pick<Evidence, 'record' | 'row'>): boolean {
  if (record === null) return false
  if (record.source === null) return record.verdict === 'hold'
  const archivedAt = row?.archivedAt ?? null
  return archivedAt === null || Date.parse(record.source.last_modified) <= archivedAt.getTime()
}

function wouldOf(seen: Evidence): Side {
  const { record, wouldPath, oldVerdict, file } = seen
  if (record !== null && isOfSource(seen)) {
    const { verdict, source, reason } = record
    const why = reason === null ? '' : `: ${reason}`
    return {
      verdict: verdict === 'archive' ? 'archived' : `${verdict}${why}`,
      path: wouldPath,
      sizeBytes: source?.bytes ?? null,
      sha256: source?.sha256 ?? null,
    }
  }
  // What was cut short says nothing of what its source was.
  if (oldVerdict === null || (oldVerdict.valid === false && isShort(seen))) return nothing
  const { valid, reason, archivePath } = oldVerdict
  if (valid === null) return nothing
  const bytes = { sizeBytes: file?.sizeBytes ?? null, sha256: file?.sha256 ?? null }
  return valid
    ? { verdict: 'archived', path: archivePath, ...bytes }
    : { verdict: `reject: ${reason}`, path: null, ...bytes }
}

function didOf(seen: Evidence): Side {
  const { row, file } = seen
  const bytes = { sizeBytes: file?.sizeBytes ?? null, sha256: file?.sha256 ?? null }
  const path = file?.path ?? row?.archivePath ?? null
  if (row?.status === 'archived' || file !== null) return { verdict: 'archived', path, ...bytes }
  if (seen.rejectedCopy !== null)
    return { ...nothing, verdict: 'rejected', path: seen.rejectedCopy }
  if (row?.status === 'rejected') return { ...nothing, verdict: 'rejected' }
  return nothing
}

function whySkipped(seen: Evidence, meaning: Meaning): Skip | null {
  const { row, record, superseded, file, source, overtakenBy } = seen
  if (row === null) return 'changed'
  // Whoever deletes a row afterwards may delete its file as well.
  if (row.deletedAt !== null && (record !== null || row.deletedAt > (row.archivedAt ?? NEVER)))
    return 'changed'
  if (row.status === 'archived') return superseded && record === null ? 'changed' : null
  // Whatever a status is called, what lies in ERROR_DIR was rejected.
  if (row.deletedAt !== null || (row.status === 'other' && !hasRejected(seen, meaning)))
    return 'changed'
  if (record === null) return superseded ? 'changed' : whyUnseen(seen, meaning)
  if (record.verdict === 'missing' || record.verdict === 'late') return 'missing'
  if (record.verdict === 'retry') return 'unread'
  if (file !== null || hasRejected(seen, meaning) || overtakenBy !== null) return null
  // Nobody but the other service deletes sources.
  return source === null && record.source !== null ? null : 'waiting'
}

/** Approved, and Strongroom has not come to it yet either. */
function whyUnseen(seen: Evidence, meaning: Meaning): Skip | null {
  if (seen.source === null) return 'missing'
  if (hasRejected(seen, meaning)) return 'unread'
  return seen.overtakenBy === null ? 'waiting' : null
}

function hasRejected({ row, audits, rejectedCopy }: Evidence, { actions }: Meaning): boolean {
  return row?.status === 'rejected' || rejectedCopy !== null || audits.has(actions.rejected)
}

/** The other service archived it, or at least put a file there. */
function differencesOfArchived(seen: Evidence, meaning: Meaning): Difference[] {
  const found: Difference[] = []
  const add = (kind: DifferenceKind, text: string) => void found.push({ kind, text })
  const extra = whyNeverArchived(seen)
  if (extra !== null) add('extra', extra)
  const unread = whyUnread(seen)
  if (unread !== null) add('unread', unread)
  const { verdict } = wouldOf(seen)
  if (extra === null && verdict !== 'archived' && verdict !== 'nothing')
    add('verdict', `the other service archived it; Strongroom would not (${verdict})`)
  found.push(...differencesOfFile(seen, meaning), ...differencesOfRow(seen, meaning))
  const kept = whyKept(seen)
  if (kept !== null) add('source-kept', kept)
  return found
}

/** @returns why no claim would ever take this row */
function whyNeverArchived({ row, record }: Evidence): string | null {
  if (row === null || record !== null) return null
  const { approvedAt, objectKey } = row.media
  if (row.deletedAt !== null) return 'the other service archived a row that is deleted'
  if (approvedAt === null) return 'the other service archived a row that was never approved'
  if (objectKey === null) return 'the other service archived a row that names no object'
  return null
}

/** @returns why Strongroom cannot say what it would have done */
function whyUnread({ record, oldVerdict }: Evidence): string | null {
  if (record?.verdict === 'retry')
    return `Strongroom could not read its source in ${record.attempts} attempts: ${record.reason}`
  if (oldVerdict?.valid === null)
    return `Strongroom had not read its source, and cannot judge the file: ${oldVerdict.reason}`
  return null
}

function differencesOfFile(seen: Evidence, { kinds }: Meaning): Difference[] {
  const { file, fileFault, record, row } = seen
  if (file === null) {
    const why = fileFault ?? 'nothing was found that could be it'
    return [{ kind: 'file-missing', text: `there is no file of it: ${why}${orphaned(seen)}` }]
  }
  const found: Difference[] = []
  const add = (kind: DifferenceKind, text: string) => void found.push({ kind, text })
  if (record?.source && isOfSource(seen)) {
    const { bytes, sha256 } = record.source
    const is = `${file.path} has ${file.sizeBytes} bytes`
    if (file.sizeBytes < bytes) add('truncated', `${is} of ${bytes}${orphaned(seen)}`)
    else if (file.sha256 !== sha256)
      add(
        'bytes',
        `${is} with SHA-256 ${file.sha256}, the source had ${bytes} with ${sha256}${orphaned(seen)}`,
      )
  } else if (isShort(seen))
    add(
      'truncated',
      `${file.path} has ${file.sizeBytes} bytes, its row says ${row?.media.declaredBytes}`,
    )
  const { path } = wouldOf(seen)
  if (path !== null && path !== file.path)
    add('path', `it lies at ${file.path}; Strongroom would have filed it at ${path}`)
  const wrong = file.sidecar === null ? [] : wrongFacts(file.sidecar, factsOf(seen, file, kinds))
  if (wrong.length > 0) add('sidecar', `its sidecar says what is not so: ${wrong.join(', ')}`)
  return found
}

/** By its row, where its source cannot be asked. */
function isShort({ file, row }: Evidence): boolean {
  const declared = row?.media.declaredBytes ?? null
  return file !== null && declared !== null && file.sizeBytes < declared
}

/** A bad copy is worse when it is the only one. */
function orphaned({ source }: Evidence): string {
  return source === null ? '; its source is gone' : ''
}

function differencesOfRow(seen: Evidence, { actions, keepsArchivedAt }: Meaning): Difference[] {
  const { row, audits, file, record } = seen
  const found: Difference[] = []
  const add = (kind: DifferenceKind, text: string) => void found.push({ kind, text })
  if (row?.status !== 'archived')
    add('status', `its file is in the archive, but its row still says ${row?.statusText}`)
  else if (keepsArchivedAt && row.archivedAt === null)
    add('row-fact', 'archived_at is not set; Strongroom sets it')
  const hashes = [file?.sha256, record?.source?.sha256]
  if (row?.checksum != null && file !== null && !hashes.includes(row.checksum))
    add('row-fact', `checksum_sha256 is ${row.checksum}, the file's is ${file.sha256}`)
  const written = audits.get(actions.archived) ?? 0
  if (written === 0)
    add('audit-missing', `no audit row says "${actions.archived}"${others(audits)}`)
  if (written > 1) add('audit-doubled', `${written} audit rows say "${actions.archived}"`)
  return found
}

function others(audits: ReadonlyMap<string, number>): string {
  const names = [...audits.keys()].map((name) => `"${name}"`)
  return names.length === 0 ? '' : `; there is ${names.join(', ')}`
}

function whyKept(seen: Evidence): string | null {
  const { source, record, row } = seen
  if (source === null) return null
  const isSame =
    record?.source && isOfSource(seen)
      ? source.etag === record.source.etag
      : row?.archivedAt != null && source.lastModified <= row.archivedAt
  return isSame ? 'its source is still in the bucket' : null
}

/** The other service archived nothing of it. */
function differencesOfOthers(seen: Evidence, meaning: Meaning): Difference[] {
  const { record, source, overtakenBy } = seen
  const found: Difference[] = []
  const isGone = source === null && record?.source != null
  if (record?.verdict === 'archive' && hasRejected(seen, meaning))
    found.push({
      kind: 'verdict',
      text: 'the other service rejected it; Strongroom would have archived it',
    })
  else if ((record === null || record.verdict === 'archive') && !isGone) {
    const neither = record === null ? '; Strongroom has not looked at it yet either' : ''
    found.push({
      kind: 'missed',
      text: `the other service passed it over: media ${overtakenBy} was approved later and is archived${neither}`,
    })
  }
  if (isGone)
    found.push({
      kind: 'source-early',
      text: 'its source is gone, and no good copy of it is in the archive',
    })
  return found
}
