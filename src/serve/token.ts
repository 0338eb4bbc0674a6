import { createSecretKey, type KeyObject, randomUUID } from 'node:crypto'
import { compactVerify, errors, jwtVerify, SignJWT } from 'jose'
import type { TokenConfig } from '../config.ts'
import { AppError, isAppError } from '../errors.ts'
import { readAddressRange } from '../ip-address.ts'
import { invalidToken, type Refusal, requireCanonical } from './token-form.ts'

/** How far the backend's clock may run ahead of ours: `iat` and `nbf` may lie so far in the future. */
const toleranceSeconds = 30
/** Each download of a token is remembered for an hour. */
const maxDownloads = 1_000

export interface TokenClaims {
  mediaId: number
  userId: number
  /** Seconds since 1970. */
  expiresAt: number
  /** The address, or range of addresses (`2001:db8:1:2::/64`), from which alone it may be used. */
  ip: string | null
  /** By which it can be revoked together with its namesakes. */
  jti: string | null
  /** How many downloads it allows; null for any number. */
  maxDownloads: number | null
}

/**
 * Makes the judge of download tokens: JWTs signed with HS256 by any of the secrets, in their one canonical form. A `kid`
 * is not heeded: with two secrets at most each is simply tried, so that no backend has to name its keys as we do.
 *
 * @returns a function that throws TOKEN_INVALID, whose reason is for the log and not for the visitor
 */
export function createTokenVerifier(
  tokens: TokenConfig,
): (token: string, now: Date) => Promise<TokenClaims> {
  const keys = tokens.secrets.map(keyOf)
  return async (token, now) => {
    requireCanonical(token)
    for (const key of keys) {
      const payload = await verifyWith(key, { token, tokens, now })
      if (payload) return readClaims(payload, { tokens, now })
    }
    throw invalidToken('signature')
  }
}

/**
 * Reads what is needed to revoke a token, valid or not at this moment.
 *
 * @returns null unless one of the secrets signed it; `expiresAt` is null for one whose expiry is none
 */
export async function readSigned(
  token: string,
  { secrets }: TokenConfig,
): Promise<{ jti: string | null; expiresAt: Date | null } | null> {
  for (const secret of secrets) {
    const payload = await payloadOf(token, keyOf(secret))
    if (payload === null) continue
    const { jti, exp } = payload
    const expiresAt = typeof exp === 'number' ? new Date(exp * 1000) : null
    return {
      jti: typeof jti === 'string' && jti !== '' ? jti : null,
      expiresAt: Number.isFinite(expiresAt?.getTime()) ? expiresAt : null,
    }
  }
  return null
}

async function payloadOf(token: string, key: KeyObject): Promise<Record<string, unknown> | null> {
  try {
    requireCanonical(token)
    const { payload } = await compactVerify(token, key, { algorithms: ['HS256'] })
    return JSON.parse(Buffer.from(payload).toString()) as Record<string, unknown>
  } catch (error) {
    if (isAppError(error, 'TOKEN_INVALID') || error instanceof errors.JOSEError) return null
    throw error
  }
}

/** Signs a token with the first secret, as a backend would. @throws USAGE */
export async function mintToken(order: {
  mediaId: number
  userId: number
  ttlSeconds: number
  tokens: TokenConfig
  now: Date
  /** Null or absent: from everywhere. */
  ip?: string | null
  /** Null or absent: any number. */
  maxDownloads?: number | null
}): Promise<string> {
  const { mediaId, userId, ttlSeconds, tokens, now } = order
  const [secret] = tokens.secrets
  if (secret === undefined) throw new AppError('CONFIG_INVALID', 'no token secret is configured')
  for (const [name, value] of Object.entries({ mediaId, userId, ttlSeconds })) {
    if (isPositive(value)) continue
    throw new AppError('USAGE', `${name} must be a positive whole number`)
  }
  const issuedAt = Math.floor(now.getTime() / 1000)
  if (ttlSeconds > tokens.maxTtlSeconds) {
    throw new AppError('USAGE', `no token may be valid for longer than ${tokens.maxTtlSeconds} s`, {
      hint: 'ask for a shorter time, or raise TOKEN_MAX_TTL',
    })
  }
  const draft = new SignJWT({ media_id: mediaId, user_id: userId, ...limitsOf(order) })
    .setProtectedHeader({ alg: 'HS256', typ: 'JWT' })
    .setIssuedAt(issuedAt)
    .setExpirationTime(issuedAt + ttlSeconds)
    .setJti(randomUUID())
  if (tokens.audience !== null) draft.setAudience(tokens.audience)
  if (tokens.issuer !== null) draft.setIssuer(tokens.issuer)
  return draft.sign(keyOf(secret))
}

/** @throws USAGE for what no server would believe */
function limitsOf(order: { ip?: string | null; maxDownloads?: number | null }) {
  const { ip = null, maxDownloads: max = null } = order
  if (ip !== null && readAddressRange(ip) === null)
    throw new AppError('USAGE', 'the address must be one, or a range such as 2001:db8:1:2::/64')
  if (max !== null && !(isPositive(max) && max <= maxDownloads))
    throw new AppError('USAGE', `a link allows from 1 to ${maxDownloads} downloads`)
  return { ...(ip === null ? {} : { ip }), ...(max === null ? {} : { max_downloads: max }) }
}

function keyOf(secret: string): KeyObject {
  return createSecretKey(Buffer.from(secret))
}

/** @returns null when another secret signed it */
async function verifyWith(
  key: KeyObject,
  { token, tokens, now }: { token: string; tokens: TokenConfig; now: Date },
): Promise<Record<string, unknown> | null> {
  try {
    const { payload } = await jwtVerify(token, key, {
      algorithms: ['HS256'],
      requiredClaims: ['exp'],
      currentDate: now,
      clockTolerance: toleranceSeconds,
      ...(tokens.audience === null ? {} : { audience: tokens.audience }),
      ...(tokens.issuer === null ? {} : { issuer: tokens.issuer }),
    })
    return payload
  } catch (error) {
    if (error instanceof errors.JWSSignatureVerificationFailed) return null
    if (error instanceof errors.JOSEError) throw invalidToken(refusalOf(error))
    throw error
  }
}

function refusalOf(error: errors.JOSEError): Refusal {
  if (error instanceof errors.JWTExpired) return 'expired'
  if (!(error instanceof errors.JWTClaimValidationFailed)) return 'malformed'
  const { claim, reason } = error
  if (claim === 'nbf' && reason === 'check_failed') return 'not_yet_valid'
  if (claim === 'aud') return 'audience'
  return claim === 'iss' ? 'issuer' : 'claims'
}

/** `exp` knows no tolerance, and neither a late nor a missing `iat` may stretch a token's life beyond the cap. */
function readClaims(
  payload: Record<string, unknown>,
  { tokens, now }: { tokens: TokenConfig; now: Date },
): TokenClaims {
  const { exp: expiresAt, iat: issuedAt } = payload
  const mediaId = identifierOf(payload.media_id, tokens)
  const userId = identifierOf(payload.user_id, tokens)
  if (mediaId === null || userId === null || typeof expiresAt !== 'number')
    throw invalidToken('claims')
  const nowSeconds = now.getTime() / 1000
  if (!(expiresAt > nowSeconds)) throw invalidToken('expired')
  if (expiresAt > nowSeconds + tokens.maxTtlSeconds) throw invalidToken('lifetime')
  if (typeof issuedAt === 'number') {
    if (issuedAt > nowSeconds + toleranceSeconds) throw invalidToken('not_yet_valid')
    if (expiresAt - issuedAt > tokens.maxTtlSeconds) throw invalidToken('lifetime')
  }
  return {
    mediaId,
    userId,
    expiresAt,
    ip: addressOf(payload.ip),
    jti: jtiOf(payload.jti),
    maxDownloads: maxDownloadsOf(payload.max_downloads),
  }
}

/** @throws TOKEN_INVALID for what is no limit: it must not open the file any number of times */
function maxDownloadsOf(claim: unknown): number | null {
  if (claim === undefined) return null
  if (isPositive(claim) && claim <= maxDownloads) return claim
  throw invalidToken('claims')
}

/** RFC 7519 4.1.7. @throws TOKEN_INVALID for what is no text: it could not be revoked by what it says */
function jtiOf(claim: unknown): string | null {
  if (claim === undefined) return null
  if (typeof claim === 'string' && claim !== '') return claim
  throw invalidToken('claims')
}

/** @throws TOKEN_INVALID for what binds a token to no address: it must not open the file from everywhere */
function addressOf(claim: unknown): string | null {
  if (claim === undefined) return null
  if (typeof claim === 'string' && readAddressRange(claim) !== null) return claim
  throw invalidToken('claims')
}

function identifierOf(value: unknown, { stringIds }: TokenConfig): number | null {
  const isText = stringIds && typeof value === 'string' && /^[1-9]\d{0,15}$/.test(value)
  const number = isText ? Number(value) : value
  return isPositive(number) ? number : null
}

function isPositive(value: unknown): value is number {
  return Number.isSafeInteger(value) && Number(value) > 0
}
