import type { Held, Rejection } from '../../src/db/items.ts'
import type { SimWorker } from './sim-claims.ts'
import type { ItemRecord } from './sim-tables.ts'

/** Item, media row and audit row in one step, as the one SQL statement does it. */
export function recordArchived(
  { tables, now, releaseGraceMs, leaseMs }: SimWorker,
  held: Held,
): 'archived' | 'withdrawing' | 'sick' | 'stale' {
  const item = find(tables.items, held)
  if (item === null) return 'stale'
  if (item.state === 'archived' || item.state === 'withdrawing') return item.state
  if (item.state !== 'publishing') return 'stale'
  if (tables.archive !== null && tables.archive.sick !== null) return 'sick'
  const media = tables.media.find(
    (row) =>
      row.id === item.mediaId &&
      row.status === 'approved' &&
      !row.deleted &&
      row.objectKey === item.objectKey &&
      row.approvedAt === item.approvedAt,
  )
  item.errorCode = null
  item.errorMessage = null
  if (media === undefined) {
    item.state = 'withdrawing'
    item.leaseUntil = now() + leaseMs
    return 'withdrawing'
  }
  media.status = 'archived'
  media.archivePath = item.archivePath
  media.archivedAt = now()
  media.checksum = item.intent?.sha256 ?? null
  item.state = 'archived'
  item.archivedAt = now()
  item.releaseDue = now() + releaseGraceMs
  item.leaseOwner = null
  item.leaseUntil = null
  const details = {
    archive_path: item.archivePath,
    sha256: item.intent?.sha256,
    bytes: item.intent?.source.sizeBytes,
    ...sourceDetails(item),
  }
  tables.audit.push({ mediaId: item.mediaId, action: 'archived', details })
  return 'archived'
}

export function recordRejected(
  { tables }: SimWorker,
  held: Held,
  { reason, report }: Rejection,
): 'rejected' | 'stale' {
  const item = find(tables.items, held)
  if (item?.state === 'rejected') return 'rejected'
  if (item?.state !== 'claimed') return 'stale'
  item.state = 'rejected'
  item.leaseOwner = null
  item.leaseUntil = null
  item.errorCode = 'MEDIA_INVALID'
  item.errorMessage = reason
  const details = { reason, report, object_key: item.objectKey, item: item.id }
  tables.audit.push({ mediaId: item.mediaId, action: 'rejected', details })
  return 'rejected'
}

export function recordReleased(
  { tables, now }: SimWorker,
  held: Held,
  outcome: 'deleted' | 'already_gone',
): boolean {
  const item = find(tables.items, held)
  if (item?.state === 'released') return true
  if (item?.state !== 'releasing') return false
  item.state = 'released'
  item.releasedAt = now()
  item.leaseOwner = null
  item.leaseUntil = null
  item.errorCode = null
  item.errorMessage = null
  const details = { outcome, ...sourceDetails(item) }
  tables.audit.push({ mediaId: item.mediaId, action: 'source_deleted', details })
  return true
}

function sourceDetails(item: ItemRecord) {
  const { bucket, etag } = item.intent?.source ?? {}
  return { bucket, object_key: item.objectKey, etag, item: item.id }
}

function find(items: readonly ItemRecord[], { id, epoch }: Held): ItemRecord | null {
  return items.find((row) => row.id === id && row.epoch === epoch) ?? null
}
