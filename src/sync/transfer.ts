import type { Sink, Take } from '../storage/bucket.ts'
import { countTaken, receiveInOne, type Wanted } from './in-one.ts'
import { receiveInParts } from './in-parts.ts'
import { createPace, type Pace } from './pace.ts'
import type { Parts } from './parts.ts'
import { mayPass } from './persistently.ts'

/** For less, new connections are not worth their round trips. */
const WORTH_BYTES = 16 << 20

/**
 * Brings one object version from byte `from` to its end: over one connection, and where that one brings little though nothing
 * here holds it up, as over any line with a long round trip, over several.
 *
 * @param how.inOne the bytes of one connection at a time only
 * @param how.pace judges the first connection
 * @returns how many pieces it took, at least
 * @throws what `sink.take` threw; OBJECT_CHANGED, OBJECT_MISSING, TRANSFER_*, BUCKET_*
 */
export async function receive(
  parts: Pick<Parts, 'bucket' | 'log'>,
  wanted: Wanted,
  sink: Sink,
  { inOne = false, pace = createPace() }: { inOne?: boolean; pace?: Pace } = {},
): Promise<number> {
  const { item, facts } = wanted
  const counted = countTaken(sink, wanted.from)
  const isWorthMore = () => facts.sizeBytes - counted.received() > WORTH_BYTES
  if (inOne || !isWorthMore()) return receiveInOne(parts, wanted, counted)
  const { log } = parts
  const tooSlow = new Error('one connection brings too little')
  const take: Take = (chunk) => {
    pace.arrived(chunk.byteLength)
    if (isWorthMore() && pace.isSlow()) throw tooSlow
    const taken = counted.take(chunk)
    if (taken !== undefined) return taken.then(pace.ready)
    pace.ready()
    return undefined
  }
  try {
    return await receiveInOne(parts, wanted, { ...counted, take })
  } catch (error) {
    if (error !== tooSlow) throw error
  }
  const from = counted.received()
  log.debug({ item, received: from, of: facts.sizeBytes }, 'goes on over several connections')
  try {
    await receiveInParts(parts, { ...wanted, from }, counted)
  } catch (error) {
    if (!mayPass(error)) throw error
    log.warn(
      { item, received: counted.received(), error },
      'what several connections cannot bring, one may',
    )
  }
  return 2 + (await receiveInOne(parts, wanted, counted))
}
