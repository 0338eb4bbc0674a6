import { createSecretKey, type KeyObject } from 'node:crypto'
import { errors, jwtVerify, SignJWT } from 'jose'
import type { TokenConfig } from '../config.ts'
import { AppError } from '../errors.ts'
import { readAddressRange } from '../ip-address.ts'
import { invalidToken, type Refusal, requireCanonical } from './token-form.ts'

/** How far the backend's clock may run ahead of ours: `iat` and `nbf` may lie so far in the future. */
const toleranceSeconds = 30

export interface TokenClaims {
  mediaId: number
  userId: number
  /** Seconds since 1970. */
  expiresAt: number
  /** The address, or range of addresses (`2001:db8:1:2::/64`), from which alone it may be used. */
  ip: string | null
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

/** Signs a token with the first secret, as a backend would. @throws USAGE */
export async function mintToken(order: {
  mediaId: number
  userId: number
  ttlSeconds: number
  tokens: TokenConfig
  now: Date
}): Promise<string> {
  const { mediaId, userId, ttlSeconds, tokens, now } = order
  const [secret] = tokens.secrets
  if (secret === undefined) throw new AppError('CONFIG_INVALID', 'no token secret is configured')
  for (const [name, value] of Object.entries({ mediaId, userId, ttlSeconds })) {
    if (isIdentifier(value)) continue
    throw new AppError('USAGE', `${name} must be a positive whole number`)
  }
  const issuedAt = Math.floor(now.getTime() / 1000)
  if (ttlSeconds > tokens.maxTtlSeconds) {
    throw new AppError('USAGE', `no token may be valid for longer than ${tokens.maxTtlSeconds} s`, {
      hint: 'ask for a shorter time, or raise TOKEN_MAX_TTL',
    })
  }
  const draft = new SignJWT({ media_id: mediaId, user_id: userId })
    .setProtectedHeader({ alg: 'HS256', typ: 'JWT' })
    .setIssuedAt(issuedAt)
    .setExpirationTime(issuedAt + ttlSeconds)
  if (tokens.audience !== null) draft.setAudience(tokens.audience)
  if (tokens.issuer !== null) draft.setIssuer(tokens.issuer)
  return draft.sign(keyOf(secret))
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
  return { mediaId, userId, expiresAt, ip: addressOf(payload.ip) }
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
  return isIdentifier(number) ? number : null
}

function isIdentifier(value: unknown): value is number {
  return Number.isSafeInteger(value) && Number(value) > 0
}
