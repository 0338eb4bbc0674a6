import type { TokenConfig } from '../config.ts'
import { readAddressRange } from '../ip-address.ts'
import { invalidToken } from './token-form.ts'

/** How far the backend's clock may run ahead of ours: `iat` and `nbf` may lie so far in the future. */
const toleranceSeconds = 30
/** Each download of a token is remembered for an hour. */
export const maxDownloads = 1_000

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
 * Judges what a token says, once it is known who said it (RFC 7519 4.1). `exp` knows no tolerance, and neither a late nor a
 * missing `iat` may stretch a token's life beyond the cap.
 *
 * @throws TOKEN_INVALID
 */
export function readClaims(
  payload: Record<string, unknown>,
  { tokens, now }: { tokens: TokenConfig; now: Date },
): TokenClaims {
  requireParties(payload, tokens)
  const expiresAt = requireTimes(payload, {
    nowSeconds: now.getTime() / 1000,
    maxTtlSeconds: tokens.maxTtlSeconds,
  })
  const mediaId = identifierOf(payload.media_id, tokens)
  const userId = identifierOf(payload.user_id, tokens)
  if (mediaId === null || userId === null) throw invalidToken('claims')
  return {
    mediaId,
    userId,
    expiresAt,
    ip: addressOf(payload.ip),
    jti: jtiOf(payload.jti),
    maxDownloads: maxDownloadsOf(payload.max_downloads),
  }
}

/** Where an audience or an issuer is configured, the token is for that one and from that one. */
function requireParties({ aud, iss }: Record<string, unknown>, tokens: TokenConfig): void {
  const audiences: readonly unknown[] = Array.isArray(aud) ? aud : [aud]
  if (tokens.issuer !== null && iss !== tokens.issuer) throw invalidToken('issuer')
  if (tokens.audience !== null && !audiences.includes(tokens.audience))
    throw invalidToken('audience')
}

/** @returns `exp` */
function requireTimes(
  { exp, nbf, iat }: Record<string, unknown>,
  { nowSeconds, maxTtlSeconds }: { nowSeconds: number; maxTtlSeconds: number },
): number {
  const begins = [nbf, iat].map(numberOrAbsent)
  if (typeof exp !== 'number') throw invalidToken('claims')
  const latest = Math.floor(nowSeconds) + toleranceSeconds
  if (begins.some((second) => second !== null && second > latest))
    throw invalidToken('not_yet_valid')
  if (!(exp > nowSeconds)) throw invalidToken('expired')
  const [, issuedAt = null] = begins
  if (exp - Math.min(nowSeconds, issuedAt ?? nowSeconds) > maxTtlSeconds)
    throw invalidToken('lifetime')
  return exp
}

function numberOrAbsent(claim: unknown): number | null {
  if (claim === undefined) return null
  if (typeof claim === 'number') return claim
  throw invalidToken('claims')
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

export function isPositive(value: unknown): value is number {
  return Number.isSafeInteger(value) && Number(value) > 0
}
