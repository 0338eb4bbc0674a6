/** What became of a medium, why, and what now: one line for a person, the same in every place that says it. */
import type { ItemHistory, MediaStatus } from './db/history.ts'
import { ERRORS } from './errors.ts'
import { ITEM_STATES, isOpen } from './item-states.ts'
import { bytesText, things } from './units.ts'

/** What the backend says of a medium now, and its versions, newest first. */
export interface History {
  row: MediaStatus | null
  items: readonly ItemHistory[]
}

/** What is known of one version, in words; null for what is not. */
export interface VersionTexts {
  /** Bucket and key. */
  source: string
  size: string | null
  /** What showed that the copy is whole. */
  proof: string | null
  /** Why it is no further, or not well. */
  reason: string | null
}

export function versionTexts(item: ItemHistory): VersionTexts {
  const { bucket, objectKey, sizeBytes, proof, errorCode, errorMessage } = item
  return {
    source: bucket === null ? objectKey : `${bucket}/${objectKey}`,
    size: sizeBytes === null ? null : `${bytesText(sizeBytes)} (${sizeBytes} bytes)`,
    proof: proof && [proof.kind, proof.value].filter((part) => part !== null).join(' '),
    reason: errorMessage === null ? null : `${errorMessage} (${errorCode})`,
  }
}

/** @param approved what the backend writes into `status` for it */
export function whyLine({ row, items }: History, approved: string): string {
  const [newest] = items
  const waiting = isWaiting(row, approved)
  if (newest === undefined) return waiting ? nextRun : rowText(row)
  const again = waiting && !newest.current && !isOpen(newest.state)
  return [
    `${newest.state}. ${ITEM_STATES[newest.state].sentence}`,
    ...reasonOf(newest),
    ...timesOf(newest),
    ...(again ? ['The row was approved again since: the next run makes a new version.'] : []),
  ].join(' ')
}

const nextRun = 'approved, and not begun yet. The next run takes it, the oldest approval first.'

/** Whether a run would take it, if it were new. */
function isWaiting(row: MediaStatus | null, approved: string): boolean {
  return row?.status === approved && !row.deleted && row.hasKey && row.hasApproval
}

/** What the backend says of it. */
export function rowText(row: MediaStatus | null): string {
  if (row === null) return 'its media row is gone.'
  const lacks = [
    ...(row.deleted ? ['is deleted'] : []),
    ...(row.hasKey ? [] : ['has no object key']),
    ...(row.hasApproval ? [] : ['has no time of approval']),
  ]
  return `its media row has the status ${row.status}${lacks.map((text) => ` and ${text}`).join('')}.`
}

function reasonOf(item: ItemHistory): string[] {
  const { errorCode, damage } = item
  const { reason } = versionTexts(item)
  const next = Object.entries(ERRORS).find(([code]) => code === errorCode)?.[1].next
  const because = reason === null ? [] : [`Reason: ${reason}.`]
  const found = damage === null ? [] : [`Its file is not as it was archived: ${damage}.`]
  return [...because, ...(next === undefined ? [] : [`What now: ${next}.`]), ...found]
}

function timesOf(item: ItemHistory): string[] {
  const { state, attempts, leaseOwner, nextAttemptAt, releaseDue, damage } = item
  const tried = attempts === 0 ? '' : `, after ${things(attempts, 'attempt')}`
  if (leaseOwner !== null) return [`${leaseOwner} works on it now.`]
  if (state === 'waiting' || state === 'missing')
    return [`Next try ${nextAttemptAt.toISOString()}${tried}.`]
  if (state === 'archived' && damage !== null)
    return ['The source stays until the file was read again and is whole.']
  if (state === 'archived' && releaseDue !== null)
    return [`The source may go from ${releaseDue.toISOString()} on.`]
  return []
}
