import assert from 'node:assert/strict'
import { createSecretKey } from 'node:crypto'
import { test } from 'node:test'
import fc from 'fast-check'
import { SignJWT } from 'jose'
import { isAppError } from '../../src/errors.ts'
import { createTokenVerifier, mintToken } from '../../src/serve/token.ts'
import { readForm } from '../../src/serve/token-form.ts'
import {
  claims,
  forge,
  good,
  hostile,
  now,
  seconds,
  secret,
  tokens,
} from '../support/hostile-tokens.ts'

const verify = createTokenVerifier(tokens)

function refuses(token: string, judge = verify): void {
  assert.throws(
    () => judge(token, now),
    (error) => {
      assert.ok(isAppError(error, 'TOKEN_INVALID'), String(error))
      assert.equal(token !== '' && token.length > 8 && error.message.includes(token), false)
      return true
    },
  )
}

test('a token made by hand as documented is believed', () => {
  const expected = {
    mediaId: 7,
    userId: 9,
    expiresAt: seconds + 60,
    ip: null,
    jti: null,
    maxDownloads: null,
  }
  assert.deepEqual(verify(good, now), expected)
  assert.deepEqual(verify(forge({ alg: 'HS256', typ: 'JWT', kid: 'x' }, claims), now), expected)
})

for (const [name, token] of Object.entries(hostile)) {
  test(`a token that ${name} is refused`, () => refuses(token))
}

test('a token that is cut short anywhere is refused', () => {
  for (let length = 0; length < good.length; length++) refuses(good.slice(0, length))
})

test('a token with any one character changed is refused', () => {
  fc.assert(
    fc.property(fc.nat(good.length - 1), fc.string({ minLength: 1, maxLength: 1 }), (at, char) => {
      fc.pre(good[at] !== char)
      refuses(good.slice(0, at) + char + good.slice(at + 1))
    }),
    { numRuns: 500 },
  )
})

test('no text whatever makes the judge fail in another way', () => {
  fc.assert(fc.property(fc.string({ unit: 'binary' }), (text) => refuses(text)))
})

test('a token is believed until the second in which it expires', () => {
  const at = (offsetMs: number) => new Date(claims.exp * 1000 + offsetMs)
  assert.equal(verify(good, at(-1)).mediaId, 7)
  assert.throws(() => verify(good, at(0)))
})

test('a token is not believed before its beginning', () => {
  const token = forge({ alg: 'HS256' }, { ...claims, nbf: seconds })
  assert.equal(verify(token, new Date(now.getTime() - 30_000)).mediaId, 7)
  assert.throws(() => verify(token, new Date(now.getTime() - 31_000)))
})

test('a token may live for as long as TOKEN_MAX_TTL and no longer', () => {
  const hour = createTokenVerifier({ ...tokens, maxTtlSeconds: 3600 })
  const token = (exp: number) => forge({ alg: 'HS256' }, { ...claims, exp })
  assert.equal(hour(token(seconds + 3600), now).mediaId, 7)
  refuses(token(seconds + 3601), hour)
})

test('ids as text are believed only where that is configured', () => {
  const lenient = createTokenVerifier({ ...tokens, stringIds: true })
  const token = (ids: object) => forge({ alg: 'HS256' }, { ...claims, ...ids })
  const read = lenient(token({ media_id: '7', user_id: '9007199254740991' }), now)
  assert.deepEqual([read.mediaId, read.userId], [7, Number.MAX_SAFE_INTEGER])
  assert.equal(lenient(token({}), now).mediaId, 7)
  for (const id of ['0', '07', '-7', '7.0', '7e0', ' 7', '', '9007199254740993', '0x7', ['7']])
    refuses(token({ media_id: id }), lenient)
})

test('a token from a backend whose clock runs a little ahead is believed', () => {
  const token = forge({ alg: 'HS256' }, { ...claims, iat: seconds + 30 })
  assert.equal(verify(token, now).mediaId, 7)
})

test('tokens of every configured secret are believed, and of no other', () => {
  const rotating = createTokenVerifier({ ...tokens, secrets: ['new', secret, 'older'] })
  for (const key of ['new', secret, 'older']) {
    assert.equal(rotating(forge({ alg: 'HS256' }, claims, { key }), now).mediaId, 7)
  }
  refuses(forge({ alg: 'HS256' }, claims, { key: 'oldest' }), rotating)
})

test('an expired token is refused whichever secret signed it', () => {
  const rotating = createTokenVerifier({ ...tokens, secrets: ['new', secret] })
  for (const key of ['new', secret]) {
    refuses(forge({ alg: 'HS256' }, { ...claims, exp: seconds - 1 }, { key }), rotating)
  }
})

test('audience and issuer must be the configured ones', () => {
  const strict = createTokenVerifier({ ...tokens, audience: 'files', issuer: 'backend' })
  const token = (change: object) =>
    forge({ alg: 'HS256' }, { ...claims, aud: 'files', iss: 'backend', ...change })
  assert.equal(strict(token({}), now).mediaId, 7)
  assert.equal(strict(token({ aud: ['x', 'files'] }), now).mediaId, 7)
  for (const change of [
    { aud: undefined },
    { aud: 'other' },
    { aud: ['other'] },
    { aud: 1 },
    { iss: undefined },
    { iss: 'other' },
    { iss: ['backend'] },
  ]) {
    refuses(token(change), strict)
  }
})

test('audience and issuer do not matter where none is configured', () => {
  const token = forge({ alg: 'HS256' }, { ...claims, aud: 'any', iss: 'any' })
  assert.equal(verify(token, now).mediaId, 7)
})

test('a minted token is believed for exactly its time to live', async () => {
  const strict = { ...tokens, audience: 'files', issuer: 'backend' }
  const token = await mintToken({ mediaId: 7, userId: 9, ttlSeconds: 60, tokens: strict, now })
  const { jti, ...read } = createTokenVerifier(strict)(token, now)
  assert.match(jti ?? '', /^[\da-f-]{36}$/, 'and can be revoked by its own name')
  assert.deepEqual(read, {
    mediaId: 7,
    userId: 9,
    expiresAt: seconds + 60,
    ip: null,
    maxDownloads: null,
  })
  refuses(token, createTokenVerifier({ ...strict, issuer: 'other' }))
})

test('a minted token says from where and how often it may be used', async () => {
  const order = { mediaId: 7, userId: 9, ttlSeconds: 60, tokens, now }
  const token = await mintToken({ ...order, ip: '2001:db8::/64', maxDownloads: 3 })
  const { ip, maxDownloads } = verify(token, now)
  assert.deepEqual([ip, maxDownloads], ['2001:db8::/64', 3])
})

test('a token is signed with the first secret', async () => {
  const order = { mediaId: 7, userId: 9, ttlSeconds: 60, now }
  const token = await mintToken({ ...order, tokens: { ...tokens, secrets: ['first', secret] } })
  const first = createTokenVerifier({ ...tokens, secrets: ['first'] })
  assert.equal(first(token, now).mediaId, 7)
  refuses(token)
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
    { ip: 'localhost' },
    { ip: '' },
    { maxDownloads: 0 },
    { maxDownloads: 1_001 },
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

test('of all texts that mean the same bytes, one alone is the spelling of a signature', () => {
  const [header, payload] = good.split('.')
  const letters = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_'
  const isRead = (text: string): boolean => {
    try {
      readForm(`${header}.${payload}.${text}`)
      return true
    } catch {
      return false
    }
  }
  for (let length = 1; length <= 12; length++) {
    for (const last of letters) {
      const text = `${'x'.repeat(length - 1)}${last}`
      const isCanonical = Buffer.from(text, 'base64url').toString('base64url') === text
      assert.equal(isRead(text), isCanonical, text)
    }
  }
})
