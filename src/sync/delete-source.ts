import { AppError, isAppError } from '../errors.ts'
import type { DueItem, Intent } from '../media.ts'
import type { Bucket, ObjectFacts } from '../storage/bucket.ts'
import type { ReleaseParts } from './parts.ts'

/** A DELETE is over, answered or not, so long after its HEAD was sent: what that saw may have changed since. */
const HEAD_VALID_MS = 2_000
const LOOKS = 5

/**
 * `not due`: the item was given back without a DELETE. An object: whether the source is gone is for a later look to find out.
 */
export type Verdict = 'deleted' | 'gone' | 'changed' | 'not due' | Unanswered

/** The object was seen, and its DELETE had no answer; or it could not be looked at, and an earlier DELETE may have been sent. */
export interface Unanswered {
  request: 'DELETE' | 'HEAD'
  error: AppError
}

/**
 * Asks the database for the last time, then HEAD, compare, DELETE. Where the store was seen to honour it the DELETE is
 * conditional; otherwise, as on R2, which documents none, the window between HEAD and the end of the DELETE is at most two
 * seconds.
 *
 * @param parts.honoursCondition whether the bucket honours one
 * @param signals.signal ends everything but the DELETE itself, whose answer is at most two seconds away and is worth knowing;
 *   `signals.lost` ends that too
 * @throws OBJECT_CHANGED when the condition is refused: the source stays; BUCKET_UNAVAILABLE from a bucket that is too slow
 */
export async function deleteSource(
  parts: ReleaseParts & { honoursCondition: () => Promise<boolean> },
  { item, intent }: { item: DueItem; intent: Intent },
  { signal, lost }: { signal: AbortSignal; lost: AbortSignal },
): Promise<Verdict> {
  const { bucket, leases, reached, now } = parts
  const { source } = intent
  let conditional = await parts.honoursCondition()
  for (let look = 1; look <= LOOKS; look++) {
    if (!(await isStillDue(parts, item))) return 'not due'
    const seenAt = now()
    const askedAtMs = await leases.confirm(item)
    const facts = await headOf(bucket, item, { key: source.key, signal })
    if (facts === null) return 'gone'
    if ('request' in facts) return facts
    if (facts.etag !== source.etag || facts.sizeBytes !== source.sizeBytes) return 'changed'
    await reached('source-seen', item)
    // Our own clock stands still while the machine sleeps, the database's does not.
    const passedMs = Math.max(now() - seenAt, (await leases.confirm(item)) - askedAtMs)
    signal.throwIfAborted()
    const withinMs = HEAD_VALID_MS - passedMs
    if (withinMs <= 0) continue
    const condition = conditional ? { ifMatch: source.etag } : {}
    const outcome = await sendDelete(bucket, source.key, { ...condition, withinMs, signal: lost })
    if (outcome !== 'changed' && outcome !== 'refused') return outcome
    // Swift answers 412 for every multipart object although nothing changed: look again, then without condition.
    const isSwift = outcome === 'changed' && /-\d+$/.test(source.etag)
    if (!isSwift || facts.lastModified.getTime() !== source.lastModified.getTime())
      throw new AppError(
        'OBJECT_CHANGED',
        `${bucket.name} refused to delete "${source.key}" on condition that it is what was archived`,
        { hint: 'nothing to do: somebody may be writing it; it is looked at again by itself' },
      )
    conditional = false
  }
  throw new AppError(
    'BUCKET_UNAVAILABLE',
    `bucket ${bucket.name} answers too slowly to be looked at and deleted from within ${HEAD_VALID_MS} ms`,
  )
}

/** While an object cannot be looked at whose DELETE may have been sent, nobody says that it stays. */
async function headOf(
  bucket: Bucket,
  { begun }: DueItem,
  { key, signal }: { key: string; signal: AbortSignal },
): Promise<ObjectFacts | null | Unanswered> {
  try {
    return await bucket.head(key, signal)
  } catch (error) {
    if (begun && isAppError(error) && error.retry !== 'outage') return { request: 'HEAD', error }
    throw error
  }
}

async function sendDelete(
  bucket: Bucket,
  key: string,
  options: NonNullable<Parameters<Bucket['delete']>[1]>,
): Promise<Awaited<ReturnType<Bucket['delete']>> | Unanswered> {
  try {
    return await bucket.delete(key, options)
  } catch (error) {
    // The HEAD before it was answered: it may be this one object that the store has trouble with.
    if (isAppError(error, 'BUCKET_UNAVAILABLE')) return { request: 'DELETE', error }
    throw error
  }
}

/**
 * False: releases were paused, the disk fell sick, or a media row came to need the object since the claim; the item was
 * given back.
 *
 * @throws LEASE_LOST
 */
export async function isStillDue(
  { items, log }: Pick<ReleaseParts, 'items' | 'log'>,
  item: DueItem,
): Promise<boolean> {
  const answer = await items.confirmRelease(item)
  if (answer === 'stale') throw new AppError('LEASE_LOST', `item ${item.id} is another worker's`)
  if (answer === 'refused') log.info({ item: item.id }, 'the source may not go now; it stays')
  return answer === 'confirmed'
}
