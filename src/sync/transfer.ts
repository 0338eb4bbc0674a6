import { AppError, isAppError } from '../errors.ts'
import type { ObjectFacts, Sink, Take } from '../storage/bucket.ts'
import { pause } from '../waiting.ts'
import type { Parts } from './parts.ts'

export interface Wanted {
  /** For the log. */
  item: number
  key: string
  facts: ObjectFacts
  /** What the receiver has already. */
  from: number
  signal: AbortSignal
  /** Asked before a transfer that broke off goes on; throws when that would be for nothing. */
  stillWanted?: () => Promise<void>
}

const TRIES = 3
/** Tries that together brought so much do not count: a large object over a bad line may break off any number of times. */
const PROGRESS_BYTES = 1 << 20

/**
 * Brings one object version from byte `from` to its end. A transfer that breaks off goes on where it ended, by Range and
 * with If-Match, until three tries in a row have brought next to nothing.
 *
 * @param sink what its `take` throws ends the transfer
 * @returns how many pieces it took
 * @throws OBJECT_CHANGED, OBJECT_MISSING, TRANSFER_*, BUCKET_*
 */
export async function receive(
  parts: Pick<Parts, 'bucket' | 'log'>,
  wanted: Wanted,
  sink: Sink,
): Promise<number> {
  const { facts, from, stillWanted } = wanted
  let received = from
  let pieces = 0
  const take: Take = (chunk) => {
    received += chunk.byteLength
    return sink.take(chunk)
  }
  await persistently(parts, { ...wanted, progress: () => received }, async () => {
    if (received === facts.sizeBytes) return
    if (pieces > 0) await stillWanted?.()
    pieces += 1
    await receivePiece(parts, { ...wanted, from: received }, { ...sink, take })
    assertLength(received, facts)
  })
  return pieces
}

async function receivePiece(
  { bucket }: Pick<Parts, 'bucket'>,
  { key, facts, from, signal }: Wanted,
  sink: Sink,
): Promise<void> {
  const { body, ...head } = await bucket.get(key, { ifMatch: facts.etag, from, signal })
  try {
    assertLength(head.sizeBytes, facts)
    let known = from - head.from
    const take: Take = (chunk) => {
      const fresh = chunk.subarray(known)
      known -= chunk.byteLength - fresh.byteLength
      return fresh.byteLength > 0 ? sink.take(fresh) : undefined
    }
    await body.drain({ ...sink, take })
  } finally {
    body.destroy()
  }
}

function assertLength(sizeBytes: number, facts: ObjectFacts): void {
  if (sizeBytes !== facts.sizeBytes)
    throw new AppError('TRANSFER_BROKEN', `${sizeBytes} of ${facts.sizeBytes} bytes arrived`)
}

/** Calls again, after a pause, what failed for a reason that may pass; gives up at the third failure without progress. */
export async function persistently<T>(
  { log }: Pick<Parts, 'log'>,
  {
    item,
    signal,
    progress = () => 0,
  }: { item: number; signal: AbortSignal; progress?: () => number },
  call: () => Promise<T>,
): Promise<T> {
  let before = progress()
  for (let tries = 1; ; tries++) {
    try {
      return await call()
    } catch (error) {
      const received = progress()
      if (received - before >= PROGRESS_BYTES) {
        before = received
        tries = 1
      }
      if (!mayPass(error) || tries >= TRIES) throw error
      // What fails from the first byte on is told by whoever gives up; here its code is enough.
      const why = received > 0 ? { error } : { code: error.code }
      log.warn({ item, received, ...why }, 'the transfer broke off and goes on from there')
      await pause(100 * 4 ** tries, signal)
    }
  }
}

function mayPass(error: unknown): error is AppError {
  return isAppError(
    error,
    'TRANSFER_BROKEN',
    'TRANSFER_STALLED',
    'BUCKET_UNAVAILABLE',
    'BUCKET_THROTTLED',
  )
}
