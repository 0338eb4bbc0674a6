import type { ArchivedFile } from '../../src/db/archived.ts'
import type { HealVerdict, Held } from '../../src/db/items.ts'
import type { ItemState } from '../../src/item-states.ts'
import { archiveIsSound, isFree, type SimWorker, takeOver } from './sim-claims.ts'
import type { ItemRecord } from './sim-tables.ts'

const HOUR_MS = 3_600_000
const FILED: readonly ItemState[] = [
  'archived',
  'releasing',
  'released',
  'source_differs',
  'lost',
  'kept',
]

function isFiled({ state, archivePath }: ItemRecord): boolean {
  return FILED.includes(state) && archivePath !== null
}

export function claimFiled(
  worker: SimWorker,
  id: number,
  held: readonly Held[],
): ItemRecord | null {
  const { tables } = worker
  if (!archiveIsSound(worker) || tables.archive?.healPaused !== null) return null
  const item = tables.items.find((row) => row.id === id)
  if (item === undefined || !isFiled(item) || !isFree(worker, item, held)) return null
  return takeOver(worker, item)
}

export function settleHeal(row: ItemRecord, verdict: HealVerdict, nowMs: number): boolean {
  if (!isFiled(row)) return false
  if (verdict.outcome === 'lost') {
    row.state = 'lost'
    row.errorCode = verdict.error.code
    row.errorMessage = verdict.error.message
  }
  row.leaseOwner = null
  row.leaseUntil = null
  const damage = verdict.outcome === 'whole' ? null : verdict.damage
  noteReading(row, verdict.outcome === 'damaged' ? (row.damage ?? damage) : damage, nowMs)
  return true
}

/** What was read of a file, and that one which was lost is there again. */
export function noteReading(row: ItemRecord, damage: string | null, nowMs: number): void {
  if (damage === null && row.state === 'lost') {
    row.state = row.releasedAt === null ? 'archived' : 'released'
    row.errorCode = null
    row.errorMessage = null
  }
  noteDamage(row, damage, nowMs)
}

export function noteDamage(row: ItemRecord, damage: string | null, nowMs: number): void {
  if (damage !== null && row.damage === null) row.damagedAt = nowMs
  row.damage = damage
  row.verifiedAt = nowMs
}

/** What a scrub reads: all whose last look was a day ago or is not known, and in an hour again what is damaged. */
export function takeForScrub({ tables, now }: Pick<SimWorker, 'tables' | 'now'>): ArchivedFile[] {
  const isDue = ({ verifiedAt, damage }: ItemRecord) =>
    verifiedAt === null || verifiedAt < now() - (damage === null ? 24 * HOUR_MS : HOUR_MS)
  return tables.items.filter((row) => isFiled(row) && isDue(row)).map((row) => toFile(row, now()))
}

export function archivedFile(
  { tables, now }: Pick<SimWorker, 'tables' | 'now'>,
  id: number,
): ArchivedFile | null {
  const row = tables.items.find((item) => item.id === id)
  return row === undefined || !isFiled(row) ? null : toFile(row, now())
}

function toFile(row: ItemRecord, nowMs: number): ArchivedFile {
  return {
    item: row.id,
    epoch: row.epoch,
    mediaId: row.mediaId,
    archivePath: row.archivePath ?? '',
    sha256: row.intent?.sha256 ?? '',
    sizeBytes: row.intent?.source.sizeBytes ?? 0,
    leased: row.leaseUntil !== null && row.leaseUntil > nowMs,
    damaged: row.damage !== null,
  }
}
