import { AppError } from '../errors.ts'
import type { ObjectFacts, Sink, Take } from '../storage/bucket.ts'
import type { Parts } from './parts.ts'
import { persistently } from './persistently.ts'

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

/** A sink that knows how much of the version it has. */
export interface CountedSink extends Sink {
  received(): number
}

/** @param from what the sink has already */
export function countTaken(sink: Sink, from: number): CountedSink {
  let received = from
  return {
    ...sink,
    take(chunk) {
      received += chunk.byteLength
      return sink.take(chunk)
    },
    received: () => received,
  }
}

/**
 * Brings the rest of one object version over one connection. A transfer that breaks off goes on where it ended, by Range and
 * with If-Match, until three tries in a row have brought next to nothing.
 *
 * @param sink what its `take` throws ends the transfer
 * @returns how many pieces it took
 * @throws OBJECT_CHANGED, OBJECT_MISSING, TRANSFER_*, BUCKET_*
 */
export async function receiveInOne(
  parts: Pick<Parts, 'bucket' | 'log'>,
  wanted: Omit<Wanted, 'from'>,
  sink: CountedSink,
): Promise<number> {
  const { facts, stillWanted } = wanted
  let pieces = 0
  await persistently(parts, { ...wanted, progress: sink.received }, async () => {
    const from = sink.received()
    if (from === facts.sizeBytes) return
    if (pieces > 0) await stillWanted?.()
    pieces += 1
    await receivePiece(parts, { ...wanted, from }, sink)
    assertLength(sink.received(), facts)
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

export function assertLength(sizeBytes: number, facts: ObjectFacts): void {
  if (sizeBytes !== facts.sizeBytes)
    throw new AppError('TRANSFER_BROKEN', `${sizeBytes} of ${facts.sizeBytes} bytes arrived`)
}
