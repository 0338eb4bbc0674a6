import type { DueWish } from '../../src/db/item-rows.ts'
import type { Held } from '../../src/db/items.ts'
import type { Begun } from '../../src/db/release-check.ts'
import type { ItemState } from '../../src/item-states.ts'
import type { ItemRecord, MediaRecord, SimTables } from './sim-tables.ts'

/** What binds a simulated worker's statements, as `WorkerContext` does the real ones. */
export interface SimWorker {
  tables: SimTables
  /** Database time in milliseconds. */
  now: () => number
  archiveId: string
  bucket: string
  owner: string
  leaseMs: number
  releaseGraceMs: number
  releaseDailyMax: number | null
}

const DAY_MS = 86_400_000
const CLAIMABLE: readonly ItemState[] = ['claimed', 'waiting', 'missing']
const UNFINISHED: readonly ItemState[] = ['publishing', 'withdrawing']
const SETTLED: readonly ItemState[] = [
  'archived',
  'releasing',
  'released',
  'source_differs',
  'kept',
]

export function claimApproved(worker: SimWorker, limit: number, held: readonly Held[]) {
  if (!archiveIsSound(worker)) return []
  const { tables } = worker
  const candidates = tables.media
    .filter((media) => media.status === 'approved' && !media.deleted && media.approvedAt !== null)
    .filter((media) => mayClaim(worker, media, held))
    .sort((a, b) => Number(a.approvedAt) - Number(b.approvedAt) || a.id - b.id)
    .slice(0, limit)
  return candidates.map((media) => claimOne(worker, media))
}

function mayClaim(worker: SimWorker, media: MediaRecord, held: readonly Held[]): boolean {
  const item = latestItem(worker.tables, media.id)
  if (item === null) return true
  if (CLAIMABLE.includes(item.state))
    return isFree(worker, item, held) && item.nextAttemptAt <= worker.now()
  if (UNFINISHED.includes(item.state)) return false
  if (item.state === 'withdrawn') return true
  return !isSameVersion(item, media)
}

function claimOne(worker: SimWorker, media: MediaRecord): ItemRecord {
  const { tables, owner, leaseMs, now } = worker
  const facts = {
    userId: media.userId,
    title: media.title,
    filename: media.filename,
    contentType: media.contentType,
    mimeType: media.mimeType,
    declaredBytes: media.fileSize || null,
    objectKey: media.objectKey,
    approvedAt: Number(media.approvedAt),
    leaseOwner: owner,
    leaseUntil: now() + leaseMs,
    state: 'claimed' as const,
    archivePath: null,
  }
  tables.lastItemId += 1
  const latest = latestItem(tables, media.id)
  if (latest !== null && CLAIMABLE.includes(latest.state)) {
    const ranOut = latest.state === 'claimed' && latest.leaseOwner !== owner
    if (ranOut && latest.leaseOwner !== null) latest.attempts += 1
    return Object.assign(latest, facts, { epoch: latest.epoch + 1 })
  }
  const item: ItemRecord = {
    ...facts,
    id: tables.lastItemId,
    mediaId: media.id,
    generation: (latest?.generation ?? 0) + 1,
    epoch: 1,
    attempts: 0,
    nextAttemptAt: now(),
    intent: null,
    errorCode: null,
    errorMessage: null,
    archivedAt: null,
    releaseDue: null,
    releasedAt: null,
    damage: null,
    damagedAt: null,
    verifiedAt: null,
  }
  tables.items.push(item)
  return item
}

export function claimAbandoned(worker: SimWorker, { limit, held, dueBy }: DueWish) {
  if (!archiveIsSound(worker)) return []
  const { tables, now } = worker
  const by = Math.min(now(), dueBy?.getTime() ?? now())
  return tables.items
    .filter((item) => UNFINISHED.includes(item.state) && item.nextAttemptAt <= by)
    .filter((item) => isFree(worker, item, held))
    .sort((a, b) => a.id - b.id)
    .slice(0, limit)
    .map((item) => takeOver(worker, item))
}

export function claimDue(worker: SimWorker, { limit, held, dueBy }: DueWish) {
  const { tables, now } = worker
  const by = Math.min(now(), dueBy?.getTime() ?? now())
  const room = roomUnderCap(worker, held)
  const inOrder = tables.items
    .filter((item) => mayBeReleased(worker, item))
    .sort((a, b) => Number(a.releaseDue) - Number(b.releaseDue))
  const leftOver = inOrder
    .filter(({ state, nextAttemptAt }) => state === 'releasing' && nextAttemptAt <= by)
    .filter((item) => isFree(worker, item, held))
    .slice(0, Math.min(limit, room.leftOver))
  const due = inOrder
    .filter(({ state, releaseDue }) => state === 'archived' && Number(releaseDue) <= by)
    .filter((item) => isFree(worker, item, held))
    .slice(0, Math.min(limit - leftOver.length, room.due))
  return [...leftOver, ...due].map((item) => {
    const begun = item.state === 'releasing'
    return { item: Object.assign(takeOver(worker, item), { state: 'releasing' as const }), begun }
  })
}

export function confirmRelease(worker: SimWorker, { id, epoch, begun }: Begun) {
  const item = worker.tables.items.find((row) => row.id === id && row.epoch === epoch)
  if (item?.state === 'archived') return 'refused'
  if (item?.state !== 'releasing') return 'stale'
  if (item.leaseOwner === null) return 'refused'
  if (mayBeReleased(worker, item)) return 'confirmed'
  Object.assign(item, {
    state: begun ? 'releasing' : 'archived',
    leaseOwner: null,
    leaseUntil: null,
  })
  return 'refused'
}

export function dueElsewhere({ tables, bucket, now }: SimWorker) {
  const counts = new Map<string, number>()
  for (const { state, releaseDue, intent } of tables.items) {
    const isDue = state === 'releasing' || (state === 'archived' && Number(releaseDue) <= now())
    const where = intent?.source.bucket ?? bucket
    if (isDue && where !== bucket) counts.set(where, (counts.get(where) ?? 0) + 1)
  }
  return [...counts].map(([name, items]) => ({ bucket: name, items }))
}

export function newestSource({ tables, bucket }: SimWorker): string | null {
  const waiting = tables.items.filter(
    ({ state, intent }) => state === 'archived' && intent?.source.bucket === bucket,
  )
  waiting.sort((a, b) => Number(b.releaseDue) - Number(a.releaseDue))
  return waiting[0]?.objectKey ?? null
}

function mayBeReleased(worker: SimWorker, item: ItemRecord): boolean {
  const { tables, bucket } = worker
  if (item.intent?.source.bucket !== bucket) return false
  if (!archiveIsSound(worker) || tables.archive?.releasePaused !== null) return false
  return !tables.media.some((media) => stillNeeds(tables, media, item))
}

function roomUnderCap(worker: SimWorker, held: readonly Held[]) {
  const { tables, now, releaseDailyMax } = worker
  const cap = releaseDailyMax ?? Number.POSITIVE_INFINITY
  const released = tables.items.filter(
    ({ releasedAt }) => releasedAt !== null && releasedAt > now() - DAY_MS,
  )
  const releasing = tables.items.filter(({ state }) => state === 'releasing')
  const live = releasing.filter((item) => !isFree(worker, item, held))
  return {
    leftOver: Math.max(0, cap - released.length - live.length),
    due: Math.max(0, cap - released.length - releasing.length),
  }
}

/** A live media row, the item's own or another, lives on the same object and is not archived. */
function stillNeeds(tables: SimTables, media: MediaRecord, item: ItemRecord): boolean {
  const spellings = [
    item.objectKey,
    item.objectKey.normalize('NFC'),
    item.objectKey.normalize('NFD'),
  ]
  if (media.deleted || media.status === 'archived') return false
  if (!spellings.includes(media.objectKey)) return false
  if (media.id === item.mediaId) return true
  return !tables.items.some(
    (other) =>
      other.mediaId === media.id &&
      SETTLED.includes(other.state) &&
      other.objectKey.normalize('NFC') === item.objectKey.normalize('NFC'),
  )
}

export function latestItem(tables: SimTables, mediaId: number): ItemRecord | null {
  const own = tables.items.filter((item) => item.mediaId === mediaId)
  return own.reduce<ItemRecord | null>(
    (latest, item) => (latest === null || item.generation > latest.generation ? item : latest),
    null,
  )
}

export function isSameVersion(item: ItemRecord, media: MediaRecord): boolean {
  return (
    item.objectKey === media.objectKey &&
    item.declaredBytes === (media.fileSize || null) &&
    item.approvedAt === media.approvedAt
  )
}

export function isFree(
  { now, owner }: SimWorker,
  item: ItemRecord,
  held: readonly Held[],
): boolean {
  if (item.leaseUntil === null || item.leaseUntil < now()) return true
  return item.leaseOwner === owner && !held.some(({ id }) => id === item.id)
}

export function takeOver({ owner, leaseMs, now }: SimWorker, item: ItemRecord): ItemRecord {
  item.epoch += 1
  item.leaseOwner = owner
  item.leaseUntil = now() + leaseMs
  return item
}

export function archiveIsSound({ tables, archiveId }: SimWorker): boolean {
  return tables.archive?.id === archiveId && tables.archive.sick === null
}
