import assert from 'node:assert/strict'
import { createHmac, createSecretKey, generateKeyPairSync } from 'node:crypto'
import { test } from 'node:test'
import fc from 'fast-check'
import { SignJWT } from 'jose'
import type { TokenConfig } from '../../src/config.ts'
import { isAppError } from '../../src/errors.ts'
import { createTokenVerifier, mintToken } from '../../src/serve/token.ts'

const secret = 'a-secret-of-at-least-thirty-two-bytes'
const week = 7 * 86_400
const tokens: TokenConfig = {
  secrets: [secret],
  audience: null,
  issuer: null,
  maxTtlSeconds: week,
  stringIds: false,
}
const now = new Date('2026-05-01T12:00:00Z')
const seconds = now.getTime() / 1000
const claims = { media_id: 7, user_id: 9, exp: seconds + 60 }
const verify = createTokenVerifier(tokens)

const encode = (value: unknown) =>
  Buffer.from(typeof value === 'string' ? value : JSON.stringify(value)).toString('base64url')

/** A token made by hand, so that it can be wrong in any way and still be signed right. */
function forge(header: unknown, payload: unknown, how: { key?: string; hash?: string } = {}) {
  const input = `${encode(header)}.${encode(payload)}`
  const mac = createHmac(how.hash ?? 'sha256', how.key ?? secret).update(input)
  return `${input}.${mac.digest('base64url')}`
}

const good = forge({ alg: 'HS256' }, claims)
const [goodHeader = '', goodPayload = '', goodSignature = ''] = good.split('.')
const rsa = generateKeyPairSync('rsa', { modulusLength: 2048 })
const rsaToken = await new SignJWT(claims).setProtectedHeader({ alg: 'RS256' }).sign(rsa.privateKey)
const publicPem = rsa.publicKey.export({ type: 'spki', format: 'pem' }).toString()

/** Base64url leaves unused bits in the last character; setting them gives another spelling of the same bytes. */
function respell(part: string): string {
  const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_'
  const last = alphabet.indexOf(part.at(-1) ?? '')
  return part.slice(0, -1) + alphabet[last ^ 1]
}

const hostile: Record<string, string> = {
  'is empty': '',
  'is one dot': '.',
  'is two dots': '..',
  'is one part': goodHeader,
  'is two parts': `${goodHeader}.${goodPayload}`,
  'has no signature': `${goodHeader}.${goodPayload}.`,
  'has four parts': `${good}.${goodSignature}`,
  'has five parts, as an encrypted one': `${goodHeader}....${goodSignature}`,
  'has a space in front': ` ${good}`,
  'has a space behind': `${good} `,
  'has a line end behind': `${good}\n`,
  'has a NUL behind': `${good}\0`,
  'has a tab in the middle': good.replace('.', '\t.'),
  'has padding behind': `${good}=`,
  'has padding in a part': `${goodHeader}=.${goodPayload}.${goodSignature}`,
  'is spelled in plain base64': `${goodHeader}.${goodPayload}.+/${goodSignature.slice(2)}`,
  'has unused bits set in its signature': `${goodHeader}.${goodPayload}.${respell(goodSignature)}`,
  'lacks the last character': good.slice(0, -1),
  'lacks the first character': good.slice(1),
  'has a short signature': `${goodHeader}.${goodPayload}.${goodSignature.slice(0, 20)}`,
  'has a long signature': `${goodHeader}.${goodPayload}.${goodSignature}AAAA`,
  'has a signature of zeros': `${goodHeader}.${goodPayload}.${'A'.repeat(43)}`,
  'has "Bearer" in front': `Bearer ${good}`,
  'has the payload of another': `${goodHeader}.${encode({ ...claims, media_id: 8 })}.${goodSignature}`,
  'is longer than 4 KiB': forge({ alg: 'HS256' }, { ...claims, pad: 'x'.repeat(4000) }),
  'is signed with another secret': forge({ alg: 'HS256' }, claims, { key: 'another' }),
  'is signed with an empty secret': forge({ alg: 'HS256' }, claims, { key: '' }),
  'is signed with RS256': rsaToken,
  'is signed with a public key as the secret': forge({ alg: 'HS256' }, claims, { key: publicPem }),
  'claims RS256 over an HMAC': forge({ alg: 'RS256' }, claims),
  'is signed with HS384': forge({ alg: 'HS384' }, claims, { hash: 'sha384' }),
  'is signed with HS512': forge({ alg: 'HS512' }, claims, { hash: 'sha512' }),
  'claims HS384 over an HS256': forge({ alg: 'HS384' }, claims),
  'claims HS256 over an HS512': forge({ alg: 'HS256' }, claims, { hash: 'sha512' }),
  'has no alg': forge({}, claims),
  'has a null alg': forge({ alg: null }, claims),
  'has a list as alg': forge({ alg: ['HS256'] }, claims),
  'has an alg in lower case': forge({ alg: 'hs256' }, claims),
  'has an alg with a space': forge({ alg: 'HS256 ' }, claims),
  'names its own key': `${encode({ alg: 'none', jwk: {} })}.${goodPayload}.${goodSignature}`,
  'has crit': forge({ alg: 'HS256', crit: ['exp'] }, claims),
  'has an empty crit': forge({ alg: 'HS256', crit: [] }, claims),
  'has b64 false': forge({ alg: 'HS256', b64: false, crit: ['b64'] }, claims),
  'has b64 true': forge({ alg: 'HS256', b64: true }, claims),
  'has b64 true and critical': forge({ alg: 'HS256', b64: true, crit: ['b64'] }, claims),
  'has a header that is no JSON': forge('nonsense', claims),
  'has a header that is null': forge('null', claims),
  'has a header that is a list': forge('[{"alg":"HS256"}]', claims),
  'has a payload that is no JSON': forge({ alg: 'HS256' }, 'nonsense'),
  'has a payload that is null': forge({ alg: 'HS256' }, 'null'),
  'has a payload that is a list': forge({ alg: 'HS256' }, '[]'),
}
for (const alg of ['none', 'None', 'NONE', 'nOnE', 'none ', '', 'HS', 'ES256', 'dir']) {
  const unsigned = `${encode({ alg })}.${goodPayload}`
  hostile[`has alg "${alg}" and no signature`] = `${unsigned}.`
  hostile[`has alg "${alg}" and an HMAC`] = forge({ alg }, claims)
}

const hostileClaims: Record<string, object | string> = {
  'no expiry': { exp: undefined },
  'a null expiry': { exp: null },
  'an expiry in the past': { exp: seconds - 1 },
  'an expiry right now': { exp: seconds },
  'an expiry of zero': { exp: 0 },
  'a negative expiry': { exp: -1 },
  'an expiry as text': { exp: String(seconds + 60) },
  'an expiry as a list': { exp: [seconds + 60] },
  'an expiry that is true': { exp: true },
  'an expiry in milliseconds': { exp: (seconds + 60) * 1000 },
  'an expiry beyond exact numbers': { exp: 2 ** 60 },
  'an infinite expiry': `{"media_id":7,"user_id":9,"exp":1e999}`,
  'a beginning in the future': { nbf: seconds + 31 },
  'a beginning as text': { nbf: 'now' },
  'an issue time in the future': { iat: seconds + 31 },
  'more than a week to live': { exp: seconds + week + 1 },
  'more than a week since its issue': { exp: seconds + 60, iat: seconds + 59 - week },
  'an issue time that would slide the cap': { exp: seconds + week + 30, iat: seconds + 30 },
  'an issue time as text': { iat: 'now' },
  'no media id': { media_id: undefined },
  'no user id': { user_id: undefined },
}
for (const [name, value] of Object.entries({
  zero: 0,
  negative: -7,
  fractional: 7.5,
  text: '7',
  'a list': [7],
  'an object': {},
  null: null,
  true: true,
  'beyond exact numbers': 2 ** 53,
})) {
  hostileClaims[`a media id that is ${name}`] = { media_id: value }
  hostileClaims[`a user id that is ${name}`] = { user_id: value }
}
for (const [name, change] of Object.entries(hostileClaims)) {
  const payload = typeof change === 'string' ? change : { ...claims, ...change }
  hostile[`has ${name}`] = forge({ alg: 'HS256' }, payload)
}

function refuses(token: string, judge = verify): Promise<void> {
  return assert.rejects(judge(token, now), (error) => {
    assert.ok(isAppError(error, 'TOKEN_INVALID'), String(error))
    assert.equal(token !== '' && token.length > 8 && error.message.includes(token), false)
    return true
  })
}

test('a token made by hand as documented is believed', async () => {
  const expected = { mediaId: 7, userId: 9, expiresAt: seconds + 60 }
  assert.deepEqual(await verify(good, now), expected)
  assert.deepEqual(
    await verify(forge({ alg: 'HS256', typ: 'JWT', kid: 'x' }, claims), now),
    expected,
  )
})

for (const [name, token] of Object.entries(hostile)) {
  test(`a token that ${name} is refused`, () => refuses(token))
}

test('a token that is cut short anywhere is refused', async () => {
  for (let length = 0; length < good.length; length++) await refuses(good.slice(0, length))
})

test('a token with any one character changed is refused', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.nat(good.length - 1),
      fc.string({ minLength: 1, maxLength: 1 }),
      async (at, char) => {
        fc.pre(good[at] !== char)
        await refuses(good.slice(0, at) + char + good.slice(at + 1))
      },
    ),
    { numRuns: 500 },
  )
})

test('no text whatever makes the judge fail in another way', async () => {
  await fc.assert(fc.asyncProperty(fc.string({ unit: 'binary' }), (text) => refuses(text)))
})

test('a token is believed until the second in which it expires', async () => {
  const at = (offsetMs: number) => new Date(claims.exp * 1000 + offsetMs)
  assert.equal((await verify(good, at(-1))).mediaId, 7)
  await assert.rejects(verify(good, at(0)))
})

test('a token is not believed before its beginning', async () => {
  const token = forge({ alg: 'HS256' }, { ...claims, nbf: seconds })
  assert.equal((await verify(token, new Date(now.getTime() - 30_000))).mediaId, 7)
  await assert.rejects(verify(token, new Date(now.getTime() - 31_000)))
})

test('a token may live for as long as TOKEN_MAX_TTL and no longer', async () => {
  const hour = createTokenVerifier({ ...tokens, maxTtlSeconds: 3600 })
  const token = (exp: number) => forge({ alg: 'HS256' }, { ...claims, exp })
  assert.equal((await hour(token(seconds + 3600), now)).mediaId, 7)
  await refuses(token(seconds + 3601), hour)
})

test('ids as text are believed only where that is configured', async () => {
  const lenient = createTokenVerifier({ ...tokens, stringIds: true })
  const token = (ids: object) => forge({ alg: 'HS256' }, { ...claims, ...ids })
  const read = await lenient(token({ media_id: '7', user_id: '9007199254740991' }), now)
  assert.deepEqual([read.mediaId, read.userId], [7, Number.MAX_SAFE_INTEGER])
  assert.equal((await lenient(token({}), now)).mediaId, 7)
  for (const id of ['0', '07', '-7', '7.0', '7e0', ' 7', '', '9007199254740993', '0x7', ['7']])
    await refuses(token({ media_id: id }), lenient)
})

test('a token from a backend whose clock runs a little ahead is believed', async () => {
  const token = forge({ alg: 'HS256' }, { ...claims, iat: seconds + 30 })
  assert.equal((await verify(token, now)).mediaId, 7)
})

test('tokens of every configured secret are believed, and of no other', async () => {
  const rotating = createTokenVerifier({ ...tokens, secrets: ['new', secret, 'older'] })
  for (const key of ['new', secret, 'older']) {
    assert.equal((await rotating(forge({ alg: 'HS256' }, claims, { key }), now)).mediaId, 7)
  }
  await refuses(forge({ alg: 'HS256' }, claims, { key: 'oldest' }), rotating)
})

test('an expired token is refused whichever secret signed it', async () => {
  const rotating = createTokenVerifier({ ...tokens, secrets: ['new', secret] })
  for (const key of ['new', secret]) {
    await refuses(forge({ alg: 'HS256' }, { ...claims, exp: seconds - 1 }, { key }), rotating)
  }
})

test('audience and issuer must be the configured ones', async () => {
  const strict = createTokenVerifier({ ...tokens, audience: 'files', issuer: 'backend' })
  const token = (change: object) =>
    forge({ alg: 'HS256' }, { ...claims, aud: 'files', iss: 'backend', ...change })
  assert.equal((await strict(token({}), now)).mediaId, 7)
  assert.equal((await strict(token({ aud: ['x', 'files'] }), now)).mediaId, 7)
  for (const change of [
    { aud: undefined },
    { aud: 'other' },
    { aud: ['other'] },
    { aud: 1 },
    { iss: undefined },
    { iss: 'other' },
    { iss: ['backend'] },
  ]) {
    await refuses(token(change), strict)
  }
})

test('audience and issuer do not matter where none is configured', async () => {
  const token = forge({ alg: 'HS256' }, { ...claims, aud: 'any', iss: 'any' })
  assert.equal((await verify(token, now)).mediaId, 7)
})

test('a minted token is believed for exactly its time to live', async () => {
  const strict = { ...tokens, audience: 'files', issuer: 'backend' }
  const token = await mintToken({ mediaId: 7, userId: 9, ttlSeconds: 60, tokens: strict, now })
  assert.deepEqual(await createTokenVerifier(strict)(token, now), {
    mediaId: 7,
    userId: 9,
    expiresAt: seconds + 60,
  })
  await refuses(token, createTokenVerifier({ ...strict, issuer: 'other' }))
})

test('a token is signed with the first secret', async () => {
  const order = { mediaId: 7, userId: 9, ttlSeconds: 60, now }
  const token = await mintToken({ ...order, tokens: { ...tokens, secrets: ['first', secret] } })
  const first = createTokenVerifier({ ...tokens, secrets: ['first'] })
  assert.equal((await first(token, now)).mediaId, 7)
  await refuses(token)
})

test('a token that nobody would believe is not minted', async () => {
  const order = { mediaId: 7, userId: 9, ttlSeconds: 60, tokens, now }
  for (const change of [
    { mediaId: 0 },
    { mediaId: 1.5 },
    { userId: -1 },
    { userId: 2 ** 53 },
    { ttlSeconds: 0 },
    { ttlSeconds: Number.NaN },
    { ttlSeconds: Number.MAX_SAFE_INTEGER },
  ]) {
    await assert.rejects(mintToken({ ...order, ...change }), (error) => isAppError(error, 'USAGE'))
  }
})

test('jose and the hand-made tokens of this file agree on what a good token is', async () => {
  const token = await new SignJWT(claims)
    .setProtectedHeader({ alg: 'HS256' })
    .sign(createSecretKey(Buffer.from(secret)))
  assert.equal(token, good)
})
