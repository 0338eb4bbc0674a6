import type { PlannedRow } from '../db/plan.ts'
import type { RowNow } from '../db/shadow.ts'
import { type Comparison, compare, type Meaning, type Skip, skips } from './compare.ts'
import type { DifferenceKind } from './evidence.ts'
import { foldGeneral, type General } from './general.ts'
import { type LastRun, whyBlind } from './last-run.ts'
import { type ObserveParts, observe } from './observe.ts'

export interface Report {
  /** Since when both were at work, by the database's clock. */
  since: Date
  at: Date
  compared: number
  /** Of these, how many have a difference of their own. */
  differ: number
  /** Of the compared ones, those whose source Strongroom had not read when they were archived. */
  byOldFile: number
  skipped: Record<Skip, number>
  generals: General[]
  /** Kinds that were said to be meant. */
  accepted: readonly DifferenceKind[]
  /** By media id; files that belong to none come last. */
  comparisons: Comparison[]
  safe: boolean
  notes: string[]
}

export interface ReportParts extends Omit<ObserveParts, 'latest'> {
  since: Date
  at: Date
  meaning: Meaning
  lastRun: LastRun | null
  /** Pages of rows that are approved, in the order of claims. */
  approved(page: { after: PlannedRow | null; limit: number }): Promise<PlannedRow[]>
  /** Pages of rows that were archived since the shadow began. */
  archived(page: { afterId: number; limit: number }): Promise<RowNow[]>
  /** Which of these files of the archive any row names; null where the table keeps no paths. */
  named: ((paths: readonly string[]) => Promise<ReadonlySet<string>>) | null
  accepted: readonly DifferenceKind[]
}

const PAGE = 200

/**
 * Compares all that the other service did since the shadow began with what Strongroom would have done. What differs is
 * looked at twice, because the other service is at work meanwhile.
 */
export async function report(parts: ReportParts): Promise<Report> {
  const { ids, latest } = await mediaOf(parts)
  const observing: ObserveParts = { ...parts, latest }
  for (const page of pagesOf(ids)) await noteOwners(observing, page)
  const first = await compareAll(observing, parts, ids)
  const doubtful = first.flatMap(({ mediaId, differences }) =>
    mediaId !== null && differences.length > 0 ? [mediaId] : [],
  )
  const again = new Map(
    (await compareAll(observing, parts, doubtful)).map((one) => [one.mediaId, one]),
  )
  const settled = first.map((one) => again.get(one.mediaId) ?? one)
  return summed(parts, [...settled, ...(await strangers(parts))])
}

async function mediaOf(
  parts: ReportParts,
): Promise<{ ids: number[]; latest: ObserveParts['latest'] }> {
  const ids = new Set(parts.recorded)
  for (let after: PlannedRow | null = null; ; ) {
    const page = await parts.approved({ after, limit: PAGE })
    for (const { media } of page) ids.add(media.mediaId)
    after = page.at(-1) ?? null
    if (page.length < PAGE) break
  }
  let latest: ObserveParts['latest'] = null
  for (let afterId = 0; ; ) {
    const page = await parts.archived({ afterId, limit: PAGE })
    for (const { media } of page) {
      const { mediaId, approvedAt } = media
      ids.add(mediaId)
      if (approvedAt !== null && (latest === null || approvedAt > latest.approvedAt))
        latest = { mediaId, approvedAt }
      afterId = mediaId
    }
    if (page.length < PAGE) break
  }
  return { ids: [...ids].sort((one, other) => one - other), latest }
}

/** Before any file is taken for a medium's by its bytes, those that rows name are known. */
async function noteOwners(parts: ObserveParts, ids: readonly number[]): Promise<void> {
  for (const [id, { archivePath }] of await parts.rows(ids))
    if (archivePath !== null) parts.owners.set(parts.relative(archivePath), id)
}

async function compareAll(
  observing: ObserveParts,
  { meaning }: ReportParts,
  ids: readonly number[],
): Promise<Comparison[]> {
  const found: Comparison[] = []
  for (const page of pagesOf(ids))
    for (const seen of await observe(observing, page)) found.push(compare(seen, meaning))
  return found.sort((one, other) => (one.mediaId ?? 0) - (other.mediaId ?? 0))
}

function* pagesOf(ids: readonly number[]): Generator<readonly number[]> {
  for (let from = 0; from < ids.length; from += PAGE) yield ids.slice(from, from + PAGE)
}

/** Files that came into the archive and belong to no row. */
async function strangers({ archive, owners, named }: ReportParts): Promise<Comparison[]> {
  if (named === null) return []
  const unknown = [...archive.fresh.keys()].filter((path) => !owners.has(path))
  const known = await named(unknown)
  const found: Comparison[] = []
  for (const path of unknown) {
    if (known.has(path) || !(await archive.isThere(path))) continue
    found.push({
      mediaId: null,
      name: path,
      would: { verdict: 'nothing', path: null, sizeBytes: null, sha256: null },
      did: { verdict: 'archived', path, sizeBytes: archive.fresh.get(path) ?? null, sha256: null },
      basis: 'old-file',
      skipped: null,
      differences: [{ kind: 'extra', text: `${path} came into the archive, and no row names it` }],
      media: null,
    })
  }
  return found
}

function summed(parts: ReportParts, all: readonly Comparison[]): Report {
  const { since, at, accepted, named } = parts
  const blind = whyBlind(parts.lastRun, new Date())
  const wanted = all.map((one) => ({
    ...one,
    differences: one.differences.filter(({ kind }) => !accepted.includes(kind)),
  }))
  const { comparisons, generals } = foldGeneral(wanted)
  const judged = comparisons.filter(({ skipped }) => skipped === null)
  const differ = judged.filter(({ differences }) => differences.length > 0).length
  const byOldFile = judged.filter(({ basis, mediaId }) => basis === 'old-file' && mediaId !== null)
  const bySource = judged.filter(({ basis }) => basis === 'source').length
  const skipped = Object.fromEntries(
    skips.map((skip) => [skip, comparisons.filter((one) => one.skipped === skip).length]),
  ) as Record<Skip, number>
  // Accepted, they are no differences either.
  const unread = accepted.includes('unread') ? 0 : skipped.unread
  const isSafe = bySource > 0 && differ === 0 && generals.length === 0 && unread === 0
  const notes = [
    blind,
    bySource === 0 ? 'nothing was compared with its source yet' : null,
    byOldFile.length > 0
      ? `${byOldFile.length} of them only by the other service's file: Strongroom had not read their sources by then (a shorter SYNC_INTERVAL looks sooner)`
      : null,
    named === null ? 'the media table keeps no paths, so files without a row are not found' : null,
    accepted.length > 0 ? `not counted, as it is meant: ${accepted.join(', ')}` : null,
  ].filter((note) => note !== null)
  return {
    since,
    at,
    compared: judged.length,
    differ,
    byOldFile: byOldFile.length,
    skipped,
    generals,
    accepted,
    comparisons,
    safe: isSafe && blind === null,
    notes,
  }
}
