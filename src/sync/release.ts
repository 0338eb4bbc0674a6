import { AppError, toAppError } from '../errors.ts'
import type { DueItem, Intent, Item } from '../media.ts'
import { onceOpened } from '../waiting.ts'
import { honoursConditionalDelete } from './conditional-delete.ts'
import { findDamage } from './damage.ts'
import { deleteSource, isStillDue, type Unanswered } from './delete-source.ts'
import { createFeed } from './feed.ts'
import { makeDurable } from './filed.ts'
import { heal, lostError } from './heal.ts'
import { inTurn } from './large.ts'
import { databaseTime, giveBack } from './leases.ts'
import { type Brake, createBrake } from './mass-change.ts'
import type { ReleaseParts } from './parts.ts'
import type { ReleaseOutcome } from './report.ts'

/** So many DELETEs in a row without an answer are no trouble of single objects. */
const UNANSWERED_LIMIT = 3
/** A claim costs as much as the statements of several items. */
const BATCH = 64
const RETRY_MS = 60_000
const LONGEST_RETRY_MS = 24 * 60 * 60_000
const DAMAGED_RETRY_MS = 60 * 60_000

/**
 * Deletes the sources of items whose grace is over: the archived file is read again (read-back.ts), the object must be the very
 * version that was archived, and the state `releasing` is committed before the DELETE is sent. In doubt the source stays.
 *
 * @param told what became of each
 * @throws MASS_CHANGE, VOLUME_*, BUCKET_* and DB_* outages: the pass ends there and nothing is lost
 */
export async function releaseDue(
  parts: ReleaseParts,
  signal: AbortSignal,
  told: (outcome: ReleaseOutcome) => void = () => {},
): Promise<Record<ReleaseOutcome, number>> {
  const tally = { released: 0, kept: 0, source_differs: 0, healed: 0, lost: 0, stale: 0 }
  const brake = createBrake(parts, signal)
  // Once for all: several at a time would each write a probe into the bucket.
  const honoursCondition = onceOpened(() => honoursConditionalDelete(parts, signal))
  await tellDueElsewhere(parts)
  let unanswered = 0
  const count = async (outcome: Outcome) => {
    unanswered = outcome === 'unanswered' ? unanswered + 1 : 0
    const counted = outcome === 'unanswered' ? 'kept' : outcome
    tally[counted] += 1
    told(counted)
    if (unanswered === UNANSWERED_LIMIT)
      throw new AppError('BUCKET_UNAVAILABLE', `${unanswered} DELETEs in a row went unanswered`)
  }
  const pass = { ...parts, brake, honoursCondition, begunAt: await databaseTime(parts) }
  // Once more when all is done: what was in hand counted against RELEASE_DAILY_MAX, and some of it may have stayed.
  while (!signal.aborted && (await releaseAll(pass, { signal, count })) > 0);
  return tally
}

/**
 * Several at once, until nothing more is due; the first failure that is not one item's own ends them all.
 *
 * @returns how many were claimed
 */
async function releaseAll(
  parts: PassParts,
  { signal, count }: { signal: AbortSignal; count: (outcome: Outcome) => Promise<void> },
): Promise<number> {
  const inHand = new Set<Item>()
  let claimed = 0
  const failed = new AbortController()
  const stop = AbortSignal.any([signal, failed.signal])
  const feed = createFeed(
    async () => {
      const due = await claimDue(parts)
      claimed += due.length
      return due.map((item) => {
        inHand.add(item)
        return { item, lost: parts.leases.hold(item) }
      })
    },
    () => stop.aborted,
  )
  const lane = async () => {
    for (let next = await feed(); next !== undefined && !stop.aborted; next = await feed()) {
      const { item, lost } = next
      await parts.reached('release-claimed', item)
      const outcome = await releaseItem(parts, item, { stop: signal, lost })
      inHand.delete(item)
      await count(outcome)
    }
  }
  const lanes = Array.from({ length: parts.policy.releasesAtOnce }, () =>
    lane().catch((error: unknown) => failed.abort(error)),
  )
  try {
    await Promise.all(lanes)
    if (failed.signal.aborted) throw failed.signal.reason
    return claimed
  } finally {
    // Those that this pass did not finish stay `releasing` without a lease: the next pass takes them first.
    await giveBack(parts, [...inHand])
  }
}

/** @throws VOLUME_*, DB_* */
async function claimDue(parts: PassParts): Promise<readonly DueItem[]> {
  const { volume, leases, items, begunAt, log } = parts
  await volume.verify()
  if (await leases.clockIsSteady()) return items.claimDue(BATCH, leases.held(), begunAt)
  log.error({}, 'the database clock jumped; releases pause until it runs steadily')
  return []
}

async function tellDueElsewhere({ items, bucket, log }: ReleaseParts): Promise<void> {
  for (const { bucket: other, items: count } of await items.dueElsewhere())
    log.warn(
      { items: count },
      `${count} sources in bucket "${other}" are due, but R2_BUCKET is "${bucket.name}": they stay where they are`,
    )
}

type Outcome = ReleaseOutcome | 'unanswered'
type PassParts = ReleaseParts & {
  brake: Brake
  honoursCondition: () => Promise<boolean>
  /** In database time. */
  begunAt: Date
}

async function releaseItem(
  parts: PassParts,
  item: DueItem,
  { stop, lost }: { stop: AbortSignal; lost: AbortSignal },
): Promise<Outcome> {
  const { items, leases, log } = parts
  let outcome: Outcome
  try {
    outcome = await releaseOne(parts, item, { signal: AbortSignal.any([stop, lost]), lost })
  } catch (error) {
    // What a lost lease breaks off is cancelled for this item alone.
    const reason = toAppError(lost.aborted ? lost.reason : error)
    // An outage ends the pass; the items in hand are given back as they are.
    if (reason.retry === 'outage' && reason.code !== 'OBJECT_LOCKED') throw reason
    if (reason.code === 'LEASE_LOST') outcome = 'stale'
    else {
      await items.keepSource(item, {
        state: 'archived',
        error: reason,
        delayMs: retryMs(parts, item, reason),
      })
      log.warn({ item: item.id, error: reason }, 'the source stays for now')
      outcome = 'kept'
    }
  }
  leases.drop(item)
  return outcome
}

async function releaseOne(
  parts: PassParts,
  item: DueItem,
  signals: { signal: AbortSignal; lost: AbortSignal },
): Promise<Outcome> {
  const { brake, bucket, items, reached } = parts
  const { signal } = signals
  const { intent } = item
  if (intent === null) throw new AppError('INTERNAL', `archived item ${item.id} has no intent`)
  // Those behind one that took hours need not be read to learn that releases pause since.
  if (!(await isStillDue(parts, item))) return 'kept'
  // A reading that says otherwise was later.
  const readBacks = item.damaged ? null : parts.readBacks
  const damage = await inTurn(intent.source.sizeBytes, signal, () =>
    findDamage(parts, intent, signal, readBacks),
  )
  if (damage !== null) {
    // Before anything is done about it: there may be many more of them in hand.
    await brake.foundChanged()
    return healFirst(parts, { item, intent, damage }, signal)
  }
  await makeDurable(parts, item, intent)
  await reached('rehashed', item)
  const verdict = await deleteSource(parts, { item, intent }, signals)
  if (verdict === 'not due') return 'kept'
  if (typeof verdict === 'object') return leaveUnknown(parts, item, verdict)
  if (verdict === 'gone') await brake.foundGone()
  else brake.foundThere()
  if (verdict === 'changed') {
    await brake.foundChanged()
    const error = new AppError(
      'OBJECT_CHANGED',
      `${bucket.name} now holds other bytes under "${intent.source.key}"`,
    )
    const mine = await items.keepSource(item, { state: 'source_differs', error, delayMs: 0 })
    parts.log.error(
      { item: item.id, error },
      'the source differs from what was archived and is kept',
    )
    return mine ? 'source_differs' : 'stale'
  }
  await reached('source-deleted', item)
  const mine = await items.released(item, verdict === 'gone' ? 'already_gone' : 'deleted')
  await reached('released', item)
  return mine ? 'released' : 'stale'
}

/** Still `releasing`: whether the source is gone is what the next look finds. */
async function leaveUnknown(
  { brake, items, log }: PassParts,
  item: Item,
  { request, error }: Unanswered,
): Promise<Outcome> {
  const wasSeen = request === 'DELETE'
  if (wasSeen) brake.foundThere()
  log.warn({ item: item.id, error }, 'whether the source is gone is not known; looked at later')
  if (!(await items.yield(item, { error, delayMs: jittered(RETRY_MS) }))) return 'stale'
  return wasSeen ? 'unanswered' : 'kept'
}

/** The source stays, whatever comes of it, and is looked at again in an hour. */
async function healFirst(
  parts: PassParts,
  found: { item: Item; intent: Intent; damage: AppError },
  signal: AbortSignal,
): Promise<Outcome> {
  const { items, log } = parts
  const { item, damage } = found
  const keep = { state: 'archived', error: damage, delayMs: DAMAGED_RETRY_MS } as const
  // What was moved once has no source any more.
  const healed = await heal({ ...parts, second: null }, found, signal)
  if (healed === 'healed') {
    await items.keepSource(item, { ...keep, damage: null })
    return 'healed'
  }
  if (healed !== 'lost')
    return (await items.keepSource(item, { ...keep, damage: damage.message })) ? 'kept' : 'stale'
  const error = lostError(damage)
  const lost = { state: 'lost', error, delayMs: 0, damage: error.message } as const
  const mine = await items.keepSource(item, lost)
  log.error({ item: item.id, error }, 'an archived file is lost')
  return mine ? 'lost' : 'stale'
}

/**
 * A lock rule may hold for months, and a right be missing until a person sees it, while each look reads the archived file
 * once more: they come ever more seldom, the longer ago the file was archived.
 */
function retryMs({ begunAt }: PassParts, { archivedAt }: Item, { code }: AppError): number {
  if (code !== 'OBJECT_LOCKED' && code !== 'OBJECT_DENIED') return jittered(RETRY_MS)
  const ageMs = begunAt.getTime() - (archivedAt ?? begunAt).getTime()
  return jittered(Math.max(RETRY_MS, Math.min(ageMs / 4, LONGEST_RETRY_MS)))
}

function jittered(ms: number): number {
  return Math.round(ms * (0.8 + Math.random() * 0.4))
}
