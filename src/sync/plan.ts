import { renderArchivePath } from '../archive-path.ts'
import type { PlannedRow } from '../db/plan.ts'
import { toAppError } from '../errors.ts'
import type { MediaRow } from '../media.ts'
import type { Bucket } from '../storage/bucket.ts'
import { isNewerThanApproval } from './download.ts'
import { assertUsable } from './media-row.ts'

/** What a live run would begin with for one row; a dry run looks at the object, never at its bytes. */
export interface PlanEntry {
  media: MediaRow
  would: 'archive' | 'hold' | 'report-missing' | 'retry-later' | 'leave'
  archivePath: string | null
  sizeBytes: number | null
  reason: string | null
}

const PAGE = 500

/**
 * Walks over all approved rows, in the order of claims, and says what a live run would do. Writes nothing anywhere: statements read, and the bucket
 * sees HEAD requests only.
 */
export async function* plan(parts: {
  bucket: Bucket
  rows: (page: { after: PlannedRow | null; limit: number }) => Promise<PlannedRow[]>
  layout: string
  changedAfterApproval: 'hold' | 'accept'
  signal: AbortSignal
}): AsyncGenerator<PlanEntry> {
  for (let after: PlannedRow | null = null; ; ) {
    const page = await parts.rows({ after, limit: PAGE })
    for (const row of page) yield await planRow(parts, row)
    const last = page.at(-1)
    if (last === undefined || page.length < PAGE) return
    after = last
  }
}

async function planRow(
  parts: Parameters<typeof plan>[0],
  { media, state }: PlannedRow,
): Promise<PlanEntry> {
  const entry = (would: PlanEntry['would'], reason: string | null): PlanEntry => ({
    media,
    would,
    reason,
    archivePath: null,
    sizeBytes: null,
  })
  if (state !== null && !['claimed', 'waiting', 'missing', 'withdrawn'].includes(state))
    return entry('leave', `its item is ${state}`)
  try {
    assertUsable(media)
    const facts = await parts.bucket.head(media.objectKey, parts.signal)
    if (facts === null)
      return entry('report-missing', `the bucket has no object "${media.objectKey}"`)
    if (isNewerThanApproval(media, facts) && parts.changedAfterApproval === 'hold')
      return entry('hold', 'the object was written after its approval')
    const archivePath = renderArchivePath(parts.layout, { media, sha256: '0'.repeat(64) })
    return { ...entry('archive', null), archivePath, sizeBytes: facts.sizeBytes }
  } catch (error) {
    const reason = toAppError(error)
    if (reason.retry === 'outage') throw reason
    if (reason.code === 'ROW_INVALID') return entry('hold', reason.message)
    return entry('retry-later', reason.message)
  }
}
