import { createSecretKey, type KeyObject } from 'node:crypto'
import { errors, jwtVerify, SignJWT } from 'jose'
import type { TokenConfig } from '../config.ts'
import { AppError } from '../errors.ts'

const maxTokenBytes = 4096

/** How far the backend's clock may run ahead of ours: `iat` and `nbf` may lie so far in the future. */
const toleranceSeconds = 30

export interface TokenClaims {
  mediaId: number
  userId: number
  /** Seconds since 1970. */
  expiresAt: number
}

/**
 * Makes the judge of download tokens: JWTs signed with HS256 by any of the secrets, in their one canonical form.
 *
 * @returns a function that throws TOKEN_INVALID, with no reason that would help a forger
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
    throw invalid()
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

/** One token has one spelling, so that a revoked or cached one cannot come back in another. */
function requireCanonical(token: string): void {
  if (token.length > maxTokenBytes || !/^[\w-]+\.[\w-]+\.[\w-]+$/.test(token)) throw invalid()
  const parts = token.split('.')
  for (const part of parts) {
    if (Buffer.from(part, 'base64url').toString('base64url') !== part) throw invalid()
  }
  const header = parseObject(Buffer.from(parts[0] ?? '', 'base64url').toString())
  if (header?.alg !== 'HS256') throw invalid()
  if (Object.hasOwn(header, 'crit') || Object.hasOwn(header, 'b64')) throw invalid()
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
    if (error instanceof errors.JOSEError) throw invalid()
    throw error
  }
}

/** `exp` knows no tolerance, and neither a late nor a missing `iat` may stretch a token's life beyond the cap. */
function readClaims(
  payload: Record<string, unknown>,
  { tokens, now }: { tokens: TokenConfig; now: Date },
): TokenClaims {
  const { exp: expiresAt, iat: issuedAt } = payload
  const mediaId = identifierOf(payload.media_id, tokens)
  const userId = identifierOf(payload.user_id, tokens)
  if (mediaId === null || userId === null || typeof expiresAt !== 'number') throw invalid()
  const nowSeconds = now.getTime() / 1000
  if (!(expiresAt > nowSeconds) || expiresAt > nowSeconds + tokens.maxTtlSeconds) throw invalid()
  if (typeof issuedAt === 'number') {
    if (issuedAt > nowSeconds + toleranceSeconds) throw invalid()
    if (expiresAt - issuedAt > tokens.maxTtlSeconds) throw invalid()
  }
  return { mediaId, userId, expiresAt }
}

function identifierOf(value: unknown, { stringIds }: TokenConfig): number | null {
  const isText = stringIds && typeof value === 'string' && /^[1-9]\d{0,15}$/.test(value)
  const number = isText ? Number(value) : value
  return isIdentifier(number) ? number : null
}

function isIdentifier(value: unknown): value is number {
  return Number.isSafeInteger(value) && Number(value) > 0
}

function parseObject(json: string): Record<string, unknown> | null {
  try {
    const value: unknown = JSON.parse(json)
    return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : null
  } catch {
    // Whatever is not JSON is no header; the caller refuses it.
    return null
  }
}

function invalid(): AppError {
  return new AppError('TOKEN_INVALID', 'the token is missing, malformed, forged or expired')
}
