import { relativePath } from '../archive-path.ts'
import type { LegacyRow } from '../db/legacy.ts'
import { AppError, type ErrorCode, toAppError } from '../errors.ts'
import type { AdoptedFile } from '../media.ts'
import { adoptInPlace } from './adopt.ts'
import { type AdoptParts, type Binding, readOwnSidecar, requireServable } from './adopt-sidecar.ts'
import { assertUsable } from './media-row.ts'

export const legacyOutcomes = ['adopted', 'already', 'missing', 'mismatched', 'refused'] as const
/**
 * `already`: an item of ours is archived for the row. `mismatched`: the bytes are not what the row or a sidecar says.
 * `refused`: it cannot be served as it is.
 */
export type LegacyOutcome = (typeof legacyOutcomes)[number]

export interface LegacyEntry {
  mediaId: number
  /** As the row has it; '' where it has none. */
  path: string
  outcome: LegacyOutcome
  /** Why it was not adopted, or what is odd about it although it was: its size, or a type that the probe does not know. */
  reason: string | null
}

export interface LegacyParts extends AdoptParts {
  /** Pages of rows, by rising id. */
  rows(afterId: number): Promise<LegacyRow[]>
  keep(row: LegacyRow, file: AdoptedFile): Promise<'kept' | 'changed' | 'taken'>
  /** Absolute spellings of ARCHIVE_DIR that a row's path may begin with. */
  roots: readonly string[]
  /** What a size that is not the row's means. */
  sizeMismatch: 'warn' | 'reject'
  concurrency: number
  /** Looks at names and sizes only, and writes nothing. */
  dryRun: boolean
}

/**
 * Adopts what another service archived: each file stays where it is and gets its sidecar, then its item. A run that was
 * cut short is simply started again.
 *
 * @param told hears of every row, in no particular order
 * @param signal no further file is begun; one that is being read is let go
 * @throws what concerns all files: VOLUME_*, DISK_FULL, DISK_SICK, DB_*, PROBE_MISSING
 */
export async function adoptLegacy(
  parts: LegacyParts,
  told: (entry: LegacyEntry) => void,
  signal: AbortSignal,
): Promise<void> {
  const rows = readAhead(parts, signal)
  const failed = new AbortController()
  const stop = AbortSignal.any([signal, failed.signal])
  const lane = async () => {
    for (let row = await rows(); row !== null && !stop.aborted; row = await rows()) {
      const entry = await settle(parts, row, stop)
      if (entry !== null) told(entry)
    }
  }
  const lanes = Array.from({ length: parts.concurrency }, () =>
    lane().catch((error: unknown) => {
      failed.abort()
      throw error
    }),
  )
  // All lanes end before anything is told: nothing of theirs may run on behind the error's back.
  const ends = await Promise.allSettled(lanes)
  for (const end of ends) if (end.status === 'rejected') throw end.reason
}

/** One row at a time for all lanes; null at the end. */
function readAhead(parts: Pick<LegacyParts, 'rows'>, signal: AbortSignal) {
  let page: LegacyRow[] = []
  let afterId = 0
  let turn: Promise<unknown> = Promise.resolve()
  const next = async (): Promise<LegacyRow | null> => {
    if (page.length === 0 && !signal.aborted) page = await parts.rows(afterId)
    const row = page.shift() ?? null
    if (row !== null) afterId = row.media.mediaId
    return row
  }
  return (): Promise<LegacyRow | null> => {
    const mine = turn.then(next)
    // The lane whose turn failed tells it.
    turn = mine.catch(() => {})
    return mine
  }
}

/** @returns null for a row that was let go */
async function settle(
  parts: LegacyParts,
  row: LegacyRow,
  signal: AbortSignal,
): Promise<LegacyEntry | null> {
  const entry = (outcome: LegacyOutcome, reason: string | null = null): LegacyEntry => ({
    mediaId: row.media.mediaId,
    path: row.pathText,
    outcome,
    reason,
  })
  if (row.known) return entry('already')
  try {
    assertUsable(row.media)
    if (row.pathText === '')
      throw new AppError('PATH_UNSAFE', 'its row says archived, and not where')
    const binding = { media: row.media, archivePath: relativePath(parts.roots, row.pathText) }
    const reason = parts.dryRun
      ? await look(parts, binding)
      : await adoptRow(parts, { row, binding, signal })
    return entry('adopted', reason)
  } catch (thrown) {
    const error = toAppError(thrown)
    if (error.code === 'CANCELLED') return null
    const outcome = OUTCOMES[error.code]
    if (outcome === undefined) throw error
    // An empty mount point would miss every file of the archive that belongs there, and a dead disk give none.
    if (outcome === 'missing' || error.code === 'ARCHIVE_UNREADABLE') await parts.volume.verify()
    return entry(outcome, elsewhere(parts.roots, row.pathText) ?? error.message)
  }
}

/** Why nothing is found under a path of another mount point. */
function elsewhere(roots: readonly string[], path: string): string | null {
  if (!path.startsWith('/') || roots.some((root) => path.startsWith(`${root}/`))) return null
  return `its row names ${path}, which is not below ARCHIVE_DIR (${roots[0]}): mount the archive where the rows have it, and set ARCHIVE_DIR to that`
}

/** What says something of one file only; everything else ends the run. */
const OUTCOMES: Partial<Record<ErrorCode, LegacyOutcome>> = {
  FILE_MISSING: 'missing',
  ARCHIVE_DAMAGED: 'mismatched',
  NAME_TAKEN: 'mismatched',
  PATH_UNSAFE: 'refused',
  FILE_CHANGED: 'refused',
  ROW_INVALID: 'refused',
  SIDECAR_INVALID: 'refused',
  DISK_DENIED: 'refused',
  ARCHIVE_UNREADABLE: 'refused',
}

/** @returns what is odd about it all the same */
async function adoptRow(
  parts: LegacyParts,
  { row, binding, signal }: { row: LegacyRow; binding: Binding; signal: AbortSignal },
): Promise<string | null> {
  const { sha256, media } = row
  const sizeBytes = parts.sizeMismatch === 'reject' ? media.declaredBytes : null
  const expected = { sha256, sizeBytes }
  const { file, unknown } = await adoptInPlace(parts, {
    ...binding,
    strict: false,
    expected,
    signal,
  })
  const outcome = await parts.keep(row, file)
  if (outcome === 'taken')
    throw new AppError('NAME_TAKEN', `another item of ours has the path ${file.archivePath}`)
  if (outcome === 'changed')
    throw new AppError('FILE_CHANGED', 'the media row was changed meanwhile; run it again')
  const doubts = [
    unknown === null ? null : `served as ${file.mimeType}: ${unknown}`,
    sizeDoubt(media, file.sizeBytes),
  ]
  return doubts.filter((doubt) => doubt !== null).join('; ') || null
}

/** A copy that the old service did not finish has its name all the same: its source must not be deleted unseen. */
function sizeDoubt({ declaredBytes }: LegacyRow['media'], sizeBytes: number): string | null {
  if (declaredBytes === null || declaredBytes === sizeBytes) return null
  return `it has ${sizeBytes} bytes, its row says ${declaredBytes}`
}

async function look(parts: LegacyParts, binding: Binding): Promise<string | null> {
  const { archivePath, media } = binding
  requireServable(archivePath)
  const facts = await parts.disk.stat(archivePath)
  if (facts === null) throw new AppError('FILE_MISSING', `${archivePath} does not exist`)
  if (facts.kind !== 'file')
    throw new AppError('PATH_UNSAFE', `${archivePath} is a link, a folder or a device`)
  const doubt = sizeDoubt(media, facts.sizeBytes)
  if (doubt !== null && parts.sizeMismatch === 'reject')
    throw new AppError('ARCHIVE_DAMAGED', `${archivePath}: ${doubt}`)
  await readOwnSidecar(parts, binding)
  return doubt
}
