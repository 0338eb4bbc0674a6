import { AppError } from '../errors.ts'
import type { Intent, Item } from '../media.ts'
import { honoursConditionalDelete } from './conditional-delete.ts'
import type { ReleaseParts } from './parts.ts'

/** A DELETE later than this after its HEAD is not sent: what the HEAD saw may have changed. */
const HEAD_VALID_MS = 2_000

/** `not due`: the item was given back without a DELETE. */
export type Verdict = 'deleted' | 'gone' | 'changed' | 'not due'

/**
 * Asks the database for the last time, then HEAD, compare, DELETE. Where the store was seen to honour it the DELETE is conditional; otherwise, as on R2, which
 * documents none, the window between HEAD and DELETE is at most two seconds.
 */
export async function deleteSource(
  parts: ReleaseParts,
  { item, intent }: { item: Item; intent: Intent },
  signal: AbortSignal,
): Promise<Verdict> {
  const { bucket, leases, reached, now } = parts
  const { source } = intent
  let conditional = await honoursConditionalDelete(parts, signal)
  for (;;) {
    if (!(await isStillDue(parts, item))) return 'not due'
    const seenAt = now()
    const facts = await bucket.head(source.key, signal)
    if (facts === null) return 'gone'
    if (facts.etag !== source.etag || facts.sizeBytes !== source.sizeBytes) return 'changed'
    await reached('source-seen', item)
    leases.assertAlive(item)
    signal.throwIfAborted()
    if (now() - seenAt > HEAD_VALID_MS) continue
    const options = conditional ? { ifMatch: source.etag, signal } : { signal }
    const outcome = await bucket.delete(source.key, options)
    if (outcome !== 'changed') return outcome
    // Some stores answer 412 for every multipart object although nothing changed: look again, then without condition.
    conditional = false
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
  item: Item,
): Promise<boolean> {
  const answer = await items.confirmRelease(item)
  if (answer === 'stale') throw new AppError('LEASE_LOST', `item ${item.id} is another worker's`)
  if (answer === 'refused') log.info({ item: item.id }, 'the source may not go now; it stays')
  return answer === 'confirmed'
}
