import type { Asked, Fault } from './faulty-store.ts'
import type { Random } from './random.ts'

/** How the store misbehaves: a probability for each request, and the weights of what happens then. */
export interface Weather {
  probability: number
  weights: Readonly<Record<FaultName, number>>
}

export type FaultName =
  | Exclude<Fault['kind'], 'status'>
  | '500'
  | '503'
  | '429'
  | '401'
  | '403'
  | '404'
  | '412'

/** Anything may happen. */
export const anyFault: Weather['weights'] = {
  '500': 4,
  '503': 4,
  '429': 1,
  '401': 1,
  '403': 2,
  '404': 2,
  '412': 2,
  reset: 4,
  truncate: 4,
  flip: 4,
  stall: 0,
  'wrong-range': 4,
  'lost-answer': 3,
}

/** Little that ends a whole run, so that many transfers are spoilt in each. */
const storm: Weather['weights'] = {
  ...anyFault,
  '500': 1,
  '503': 1,
  '429': 0.02,
  '401': 0.02,
  '403': 1,
  '404': 0.5,
  reset: 10,
  truncate: 10,
  flip: 10,
  stall: 0.01,
}

/** Nearly every download is spoilt; the questions before it are let through more often, or nothing would be downloaded. */
export function createStorm(random: Random): (asked: Asked) => Fault | null {
  const downloads = createFaults(random, { probability: 0.985, weights: storm })
  const others = createFaults(random, { probability: 0.1, weights: storm })
  return (asked) => (asked.method === 'GET' ? downloads(asked) : others(asked))
}

/**
 * Which requests are spoilt, and how. A store without checksums of its own, as Swift, cannot tell a bit that was flipped
 * alike in two readings from an opaque ETag; chance would bring that about once in millions, with files as small as these
 * once in thousands. So no bit of a key is flipped twice.
 */
export function createFaults(random: Random, { probability, weights }: Weather) {
  const flipped = new Map<string, number>()
  return (asked: Asked): Fault | null => {
    // The bucket itself is asked whether an outage is one: that answer stays true.
    if (asked.key === '' || !random.chance(probability)) return null
    const kind = random.weighted(weights)
    switch (kind) {
      case 'reset':
      case 'truncate':
      case 'stall':
        return { kind, at: random.below(8_192) }
      case 'flip': {
        if (asked.method !== 'GET') return null
        const next = flipped.get(asked.key) ?? random.below(1_000)
        flipped.set(asked.key, next + 1)
        return { kind, byte: next >> 3, bit: next & 7 }
      }
      case 'wrong-range':
        return asked.isRange ? { kind } : null
      case 'lost-answer':
        return { kind }
      case '412':
        return asked.method === 'HEAD' ? null : { kind: 'status', status: 412 }
      default:
        return { kind: 'status', status: Number(kind) }
    }
  }
}
