import type { Sink, Take } from '../storage/bucket.ts'
import { receiveInOne, type Wanted } from './in-one.ts'
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
  if (inOne || facts.sizeBytes - wanted.from <= WORTH_BYTES)
    return receiveInOne(parts, wanted, sink)
  const { log } = parts
  const tooSlow = new Error('one connection brings too little')
  let received = wanted.from
  const take: Take = (chunk) => {
    received += chunk.byteLength
    return sink.take(chunk)
  }
  const takePaced: Take = (chunk) => {
    pace.arrived(chunk.byteLength)
    if (facts.sizeBytes - received > WORTH_BYTES && pace.isSlow()) throw tooSlow
    const taken = take(chunk)
    if (taken !== undefined) return taken.then(pace.ready)
    pace.ready()
    return undefined
  }
  try {
    return await receiveInOne(parts, wanted, { ...sink, take: takePaced })
  } catch (error) {
    if (error !== tooSlow) throw error
  }
  log.debug({ item, received, of: facts.sizeBytes }, 'goes on over several connections')
  try {
    await receiveInParts(parts, { ...wanted, from: received }, { take })
  } catch (error) {
    if (!mayPass(error)) throw error
    log.warn({ item, received, error }, 'what several connections cannot bring, one may')
  }
  return 2 + (await receiveInOne(parts, { ...wanted, from: received }, { ...sink, take }))
}
