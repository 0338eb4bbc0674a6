/** The judge of tokens is written out, for its speed; here jose judges the same tokens. */
import assert from 'node:assert/strict'
import { createSecretKey } from 'node:crypto'
import { test } from 'node:test'
import fc from 'fast-check'
import { errors, type JWTPayload, jwtVerify } from 'jose'
import type { TokenConfig } from '../../src/config.ts'
import { isAppError } from '../../src/errors.ts'
import { createTokenVerifier, mintToken } from '../../src/serve/token.ts'
import {
  forge,
  good,
  hostile,
  now,
  seconds,
  secret,
  tokens,
  week,
} from '../support/hostile-tokens.ts'
import { createMutants, createRandom } from '../support/mutants.ts'

const toleranceSeconds = 30

/** @returns what the token says, or null where jose refuses it for each of the secrets */
async function joseReads(token: string, config: TokenConfig, at: Date): Promise<JWTPayload | null> {
  for (const secret of config.secrets) {
    try {
      const { payload } = await jwtVerify(token, createSecretKey(Buffer.from(secret)), {
        algorithms: ['HS256'],
        requiredClaims: ['exp'],
        currentDate: at,
        clockTolerance: toleranceSeconds,
        ...(config.audience === null ? {} : { audience: config.audience }),
        ...(config.issuer === null ? {} : { issuer: config.issuer }),
      })
      return payload
    } catch (error) {
      if (!(error instanceof errors.JOSEError)) throw error
    }
  }
  return null
}

function believes(token: string, config: TokenConfig, at: Date): boolean {
  try {
    createTokenVerifier(config)(token, at)
    return true
  } catch (error) {
    assert.ok(isAppError(error, 'TOKEN_INVALID'), String(error))
    return false
  }
}

/** What is asked beyond jose's rules: the exact end of a token, and its longest life. */
function keepsOurRules({ exp = 0, iat }: JWTPayload, config: TokenConfig, at: Date): boolean {
  const nowSeconds = at.getTime() / 1000
  const latestIssue = Math.floor(nowSeconds) + toleranceSeconds
  return (
    exp > nowSeconds &&
    exp <= nowSeconds + config.maxTtlSeconds &&
    (iat === undefined || (iat <= latestIssue && exp - iat <= config.maxTtlSeconds))
  )
}

const nearby = fc.oneof(
  fc.constantFrom(-31, -30, -29, -1, 0, 1, 29, 30, 31, 32, 60, 3600),
  fc.constantFrom(week - 31, week - 30, week - 1, week, week + 1, week + 30, -week, 1 - week),
  fc.integer({ min: -40, max: 40 }),
  fc.double({ min: -40, max: 40, noNaN: true }),
)
const time = fc.oneof(
  { weight: 8, arbitrary: nearby.map((offset) => seconds + offset) },
  {
    weight: 1,
    arbitrary: fc.constantFrom(null, '', String(seconds + 60), true, [], {}, -0, 2 ** 53),
  },
)
const party = fc.constantFrom(
  'files',
  'backend',
  'other',
  '',
  null,
  1,
  ['files'],
  ['x', 'files'],
  [],
  {},
)
const claims = fc.record(
  {
    exp: time,
    nbf: time,
    iat: time,
    aud: party,
    iss: party,
    media_id: fc.constant(7),
    user_id: fc.constant(9),
  },
  { requiredKeys: ['media_id', 'user_id'] },
)
const header = fc.record(
  {
    alg: fc.oneof(
      { weight: 9, arbitrary: fc.constant('HS256') },
      { weight: 1, arbitrary: fc.constantFrom('none', 'HS384', 'RS256') },
    ),
    typ: fc.constantFrom('JWT', 'jwt', 'x', 1),
    kid: fc.constantFrom('1', 'current', ''),
    cty: fc.constantFrom('JWT', 'x'),
  },
  { requiredKeys: ['alg'] },
)
const config = fc.record({
  secrets: fc.constantFrom<string[][]>(
    [secret],
    ['new', secret],
    ['new', secret, 'older'],
    ['new'],
  ),
  audience: fc.constantFrom(null, 'files'),
  issuer: fc.constantFrom(null, 'backend'),
  maxTtlSeconds: fc.constantFrom(week, 60),
  stringIds: fc.constant(false),
})

test('whatever a token says, it is believed exactly if jose believes it and it keeps our own rules', async () => {
  let believed = 0
  await fc.assert(
    fc.asyncProperty(header, claims, config, fc.nat(999), async (header, claims, config, ms) => {
      const at = new Date(now.getTime() + ms)
      const token = forge(header, claims)
      const payload = await joseReads(token, config, at)
      const expected = payload !== null && keepsOurRules(payload, config, at)
      assert.equal(believes(token, config, at), expected)
      if (expected) believed += 1
    }),
    { numRuns: 10_000 },
  )
  assert.ok(believed > 100, `only ${believed} of them were believed`)
})

test('what jose refuses is refused, of all hostile tokens and of 10,000 mutants', async () => {
  const seed = Date.now() % 2 ** 31
  const mutant = createMutants(good, createRandom(seed))
  const mutants = Array.from({ length: 10_000 }, mutant)
  let refusedByJose = 0
  for (const token of [...Object.values(hostile), ...mutants]) {
    if ((await joseReads(token, tokens, now)) !== null) continue
    refusedByJose += 1
    assert.equal(believes(token, tokens, now), false, `seed ${seed}: ${JSON.stringify(token)}`)
  }
  assert.ok(refusedByJose > 5_000)
})

test('a minted token says the same to jose', async () => {
  const strict = { ...tokens, audience: 'files', issuer: 'backend' }
  const token = await mintToken({ mediaId: 7, userId: 9, ttlSeconds: 60, tokens: strict, now })
  const { jti, ...payload } = (await joseReads(token, strict, now)) ?? {}
  assert.equal(createTokenVerifier(strict)(token, now).jti, jti)
  assert.deepEqual(payload, {
    media_id: 7,
    user_id: 9,
    iat: seconds,
    exp: seconds + 60,
    aud: 'files',
    iss: 'backend',
  })
})
