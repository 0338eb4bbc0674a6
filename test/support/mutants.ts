/** Tokens that are nearly right, made by the million from a seed. */
import { claims, forge, secret, week } from './hostile-tokens.ts'

export type Random = (below: number) => number

/** Marsaglia's xorshift with 32 bits: enough for tests, and the same numbers for the same seed everywhere. */
export function createRandom(seed: number): Random {
  let state = seed >>> 0 || 1
  return (below) => {
    state ^= state << 13
    state ^= state >>> 17
    state ^= state << 5
    return (state >>> 0) % below
  }
}

type Mutate = (random: Random, good: string) => string

const characters =
  'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_' +
  '.=+/% \t\n\0"\'\\{}[]:,;&#?~\u00e9\u0130\u200b\uff21'

function pick<T>(random: Random, choices: readonly [T, ...T[]]): T {
  return choices[random(choices.length)] ?? choices[0]
}

function splice(text: string, at: number, { remove, insert }: { remove: number; insert: string }) {
  return text.slice(0, at) + insert + text.slice(at + remove)
}

function someCharacter(random: Random): string {
  return characters[random(characters.length)] ?? 'x'
}

/** Changes one part of three and leaves the others. */
function changePart(random: Random, token: string, change: (part: string) => string): string {
  const parts = token.split('.')
  const at = random(parts.length)
  return parts.map((part, index) => (index === at ? change(part) : part)).join('.')
}

/** Changes of the text alone. */
const ofText: readonly [Mutate, ...Mutate[]] = [
  (random, good) => splice(good, random(good.length), { remove: 1, insert: someCharacter(random) }),
  (random, good) =>
    splice(good, random(good.length + 1), { remove: 0, insert: someCharacter(random) }),
  (random, good) => splice(good, random(good.length), { remove: 1 + random(40), insert: '' }),
  (random, good) => good.slice(0, random(good.length)),
  (random, good) => good.slice(1 + random(good.length)),
  (random, good) => {
    const from = random(good.length)
    return splice(good, random(good.length), {
      remove: 0,
      insert: good.slice(from, from + 1 + random(60)),
    })
  },
  (random, good) => {
    const at = random(good.length - 1)
    return splice(good, at, { remove: 2, insert: `${good[at + 1]}${good[at]}` })
  },
  (random, good) => changePart(random, good, (part) => part.toLowerCase()),
  (random, good) => changePart(random, good, (part) => [...part].reverse().join('')),
  (random, good) => changePart(random, good, (part) => part + '='.repeat(1 + random(2))),
  (random, good) => changePart(random, good, () => ''),
  (random, good) => changePart(random, good, (part) => `${part}.${part}`),
  (random, good) => changePart(random, good, (part) => Buffer.from(part).toString('base64url')),
  (random, good) => {
    const bytes = Buffer.from(good)
    for (let count = 1 + random(8); count > 0; count--) bytes[random(bytes.length)] = random(256)
    return bytes.toString('latin1')
  },
  (random) => Array.from({ length: random(300) }, () => someCharacter(random)).join(''),
]

/** Changes of a bit, so that the form stays right and only the signature can tell. */
const ofBits: Mutate = (random, good) =>
  changePart(random, good, (part) => {
    const bytes = Buffer.from(part, 'base64url')
    const at = random(bytes.length)
    bytes[at] = (bytes[at] ?? 0) ^ (1 << random(8))
    return bytes.toString('base64url')
  })

/** Other claims or another header under the old signature, or under one by another key or hash. */
const ofContents: Mutate = (random, good) => {
  const wish = { ...claims, media_id: 1 + random(1000), user_id: 1 + random(1000) }
  const forged = forge({ alg: 'HS256', n: random(2 ** 31) }, wish, {
    key: pick(random, ['', 'x', secret.slice(1), `${secret} `, secret.toUpperCase()]),
    hash: pick(random, ['sha256', 'sha384', 'sha512', 'md5']),
  })
  const signature = pick(random, [forged.split('.')[2], good.split('.')[2]])
  return `${forged.split('.').slice(0, 2).join('.')}.${signature}`
}

const strangeValues = [
  null,
  true,
  false,
  '',
  '7',
  [],
  {},
  -1,
  0,
  0.5,
  -(2 ** 53),
  2 ** 53,
  Number.MAX_VALUE,
  [7],
  { a: 7 },
  undefined,
] as const

/** Signed right, and wrong all the same: one claim is none, or the header asks for what is not granted. */
const ofMeaning: Mutate = (random) => {
  const claim = pick(random, ['media_id', 'user_id', 'exp'])
  const value = strangeValues[random(strangeValues.length)]
  const noise = { n: random(2 ** 31), [`x${random(100)}`]: someCharacter(random) }
  const alg = pick(random, ['none', 'HS384', 'hs256', 'RS256', 'HS256\0', `HS${random(255)}`])
  return pick(random, [
    () => forge({ alg: 'HS256' }, { ...claims, ...noise, [claim]: lateOr(value, claim) }),
    () => forge({ alg: 'HS256' }, { ...claims, ...noise, exp: claims.exp - 60 - random(2 ** 30) }),
    () =>
      forge({ alg: 'HS256' }, { ...claims, ...noise, exp: claims.exp + week + random(2 ** 30) }),
    () => forge({ alg: 'HS256' }, { ...claims, ...noise, nbf: claims.exp + random(2 ** 30) }),
    () => forge({ alg }, { ...claims, ...noise }),
    () => forge({ alg: 'HS256', [pick(random, ['crit', 'b64', 'jwk'])]: value ?? 1 }, claims),
    () => forge({ alg: 'HS256' }, `{"${claim}":${random(1000)},${JSON.stringify(claims).slice(1)}`),
  ])()
}

/** Every strange value is wrong for every claim, but for one: an expiry of 2^53 is beyond the cap, which is as good. */
function lateOr(value: (typeof strangeValues)[number], claim: string): unknown {
  return claim === 'exp' && value === undefined ? null : value
}

/** @returns a maker of texts none of which is `good`, although most are nearly */
export function createMutants(good: string, random: Random): () => string {
  return () => {
    for (;;) {
      const kind = random(10)
      const mutate =
        kind < 5 ? pick(random, ofText) : kind < 7 ? ofBits : kind < 8 ? ofContents : ofMeaning
      const mutant = mutate(random, good).toWellFormed()
      if (mutant !== good) return mutant
    }
  }
}
