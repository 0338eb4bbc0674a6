import {
  createHmac,
  createSecretKey,
  type KeyObject,
  randomUUID,
  timingSafeEqual,
} from 'node:crypto'
import { SignJWT } from 'jose'
import type { TokenConfig } from '../config.ts'
import { AppError, isAppError } from '../errors.ts'
import { readAddressRange } from '../ip-address.ts'
import { isPositive, maxDownloads, readClaims, type TokenClaims } from './token-claims.ts'
import { type Form, invalidToken, parseUnambiguous, readForm } from './token-form.ts'

export type { TokenClaims } from './token-claims.ts'

/**
 * Makes the judge of download tokens: JWTs signed with HS256 by any of the secrets, in their one canonical form. A `kid`
 * is not heeded: with two secrets at most each is simply tried, so that no backend has to name its keys as we do.
 *
 * It is written out because jose's takes 90 µs for each token and this one 8, most of the difference for promises. Tests hold
 * it against jose's: nothing is believed that jose refuses.
 *
 * @returns a function that throws TOKEN_INVALID, whose reason is for the log and not for the visitor
 */
export function createTokenVerifier(
  tokens: TokenConfig,
): (token: string, now: Date) => TokenClaims {
  const keys = tokens.secrets.map(keyOf)
  return (token, now) => {
    const form = readForm(token)
    if (!isSigned(form, keys)) throw invalidToken('signature')
    return readClaims(parseUnambiguous(form.payload), { tokens, now })
  }
}

/**
 * Reads what is needed to revoke a token, valid or not at this moment.
 *
 * @returns null unless one of the secrets signed it; `expiresAt` is null for one whose expiry is none
 */
export function readSigned(
  token: string,
  { secrets }: TokenConfig,
): { jti: string | null; expiresAt: Date | null } | null {
  try {
    const form = readForm(token)
    if (!isSigned(form, secrets.map(keyOf))) return null
    const { jti, exp } = parseUnambiguous(form.payload)
    const expiresAt = typeof exp === 'number' ? new Date(exp * 1000) : null
    return {
      jti: typeof jti === 'string' && jti !== '' ? jti : null,
      expiresAt: Number.isFinite(expiresAt?.getTime()) ? expiresAt : null,
    }
  } catch (error) {
    if (isAppError(error, 'TOKEN_INVALID')) return null
    throw error
  }
}

/** RFC 7515 5.2; compared in a time that tells nothing of where the difference is. */
function isSigned({ signed, signature }: Form, keys: readonly KeyObject[]): boolean {
  return keys.some((key) => {
    const right = createHmac('sha256', key).update(signed).digest()
    return signature.length === right.length && timingSafeEqual(signature, right)
  })
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
