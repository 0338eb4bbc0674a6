/** Tokens that open nothing: each is wrong in one way, and signed with the right secret wherever that is not the wrong. */
import { createHmac, generateKeyPairSync } from 'node:crypto'
import { SignJWT } from 'jose'
import type { TokenConfig } from '../../src/config.ts'

export const secret = 'a-secret-of-at-least-thirty-two-bytes'
export const week = 7 * 86_400
export const tokens: TokenConfig = {
  secrets: [secret],
  audience: null,
  issuer: null,
  maxTtlSeconds: week,
  stringIds: false,
}
export const now = new Date('2026-05-01T12:00:00Z')
export const seconds = now.getTime() / 1000
export const claims = { media_id: 7, user_id: 9, exp: seconds + 60 }
const encode = (value: unknown) =>
  Buffer.from(typeof value === 'string' ? value : JSON.stringify(value)).toString('base64url')

/** A token made by hand, so that it can be wrong in any way and still be signed right. */
export function forge(
  header: unknown,
  payload: unknown,
  how: { key?: string; hash?: string } = {},
) {
  const input = `${encode(header)}.${encode(payload)}`
  const mac = createHmac(how.hash ?? 'sha256', how.key ?? secret).update(input)
  return `${input}.${mac.digest('base64url')}`
}

/** The good claims as text. */
const plain = JSON.stringify(claims)

/** The good claims as text, with something said before them. */
function twice(first: string): string {
  return `{${first},${plain.slice(1)}`
}

function forgeBytes(payload: Buffer): string {
  const input = `${encode({ alg: 'HS256' })}.${payload.toString('base64url')}`
  return `${input}.${createHmac('sha256', secret).update(input).digest('base64url')}`
}

export const good = forge({ alg: 'HS256' }, claims)
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

export const hostile: Record<string, string> = {
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
  'has the header of another': `${encode({ alg: 'HS256', typ: 'JWT' })}.${goodPayload}.${goodSignature}`,
  'has its parts in another order': `${goodPayload}.${goodHeader}.${goodSignature}`,
  'is in the JSON serialisation': JSON.stringify({
    protected: goodHeader,
    payload: goodPayload,
    signature: goodSignature,
  }),
  'is percent-encoded twice': encodeURIComponent(good.replaceAll('.', '%2E')),
  'has full-width letters': good.replace('e', 'ｅ'),
  'has a zero-width space': good.replace('.', '\u200b.'),
  'has two dots in a row': good.replace('.', '..'),
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
  'brings its own key': forge({ alg: 'HS256', jwk: { kty: 'oct', k: encode('mine') } }, claims, {
    key: 'mine',
  }),
  'brings its own key, and is signed right': forge({ alg: 'HS256', jwk: { kty: 'oct' } }, claims),
  'says where its key is': forge({ alg: 'HS256', jku: 'http://127.0.0.1/keys' }, claims),
  'says where its certificate is': forge({ alg: 'HS256', x5u: 'http://127.0.0.1/cert' }, claims),
  'brings its certificate': forge({ alg: 'HS256', x5c: ['MIIB'] }, claims),
  'names its certificate': forge({ alg: 'HS256', 'x5t#S256': 'x' }, claims),
  'is compressed': forge({ alg: 'HS256', zip: 'DEF' }, claims),
  'is encrypted by its own account': forge({ alg: 'HS256', enc: 'A256GCM' }, claims),
  'names a file as its key': forge({ alg: 'HS256', kid: '/dev/null' }, claims, { key: '' }),
  'names a query as its key': forge({ alg: 'HS256', kid: "' union select 'x" }, claims, {
    key: 'x',
  }),
  'says alg twice': forge('{"alg":"HS256","alg":"HS256"}', claims),
  'says alg twice, once escaped': forge('{"\\u0061lg":"none","alg":"HS256"}', claims),
  'says media_id twice': forge({ alg: 'HS256' }, twice('"media_id":8')),
  'says media_id twice, once escaped': forge({ alg: 'HS256' }, twice('"media\\u005fid":8')),
  'says user_id twice': forge({ alg: 'HS256' }, twice('"user_id":9')),
  'says exp twice': forge({ alg: 'HS256' }, twice(`"exp":${seconds - 5}`)),
  'says something twice inside a claim': forge({ alg: 'HS256' }, twice('"x":{"a":1,"a":1}')),
  'says __proto__ twice': forge({ alg: 'HS256' }, twice('"__proto__":{},"__proto__":{}')),
  'has its ids in the prototype': forge(
    { alg: 'HS256' },
    `{"__proto__":{"media_id":7,"user_id":9},"exp":${seconds + 60}}`,
  ),
  'has a payload that is no UTF-8': forgeBytes(
    Buffer.concat([Buffer.from('{"x":"'), Buffer.from([0xff]), Buffer.from(`",${plain.slice(1)}`)]),
  ),
  'has a byte order mark': forge({ alg: 'HS256' }, `\ufeff${plain}`),
  'has something behind its JSON': forge({ alg: 'HS256' }, `${plain}x`),
  'has a payload nested to its limit': forge({ alg: 'HS256' }, '['.repeat(1400) + ']'.repeat(1400)),
  'has a claim nested to its limit': forge(
    { alg: 'HS256' },
    twice(`"media_id":7,"x":${'['.repeat(1300)}${']'.repeat(1300)}`),
  ),
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
  'a jti that is a number': { jti: 5 },
  'a jti that is null': { jti: null },
  'an empty jti': { jti: '' },
  'no downloads left from the beginning': { max_downloads: 0 },
  'half a download': { max_downloads: 0.5 },
  'downloads as text': { max_downloads: '1' },
  'more downloads than can be counted': { max_downloads: 1001 },
  'null downloads': { max_downloads: null },
  'an address that is none': { ip: 'localhost' },
  'a list of addresses': { ip: ['127.0.0.1'] },
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
for (const claim of ['exp', 'media_id', 'user_id', 'nbf', 'iat'])
  hostileClaims[`text that looks like a number as ${claim}`] = { [claim]: '1e3' }
for (const [name, change] of Object.entries(hostileClaims)) {
  const payload = typeof change === 'string' ? change : { ...claims, ...change }
  hostile[`has ${name}`] = forge({ alg: 'HS256' }, payload)
}
