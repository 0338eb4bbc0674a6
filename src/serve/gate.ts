import { hash } from 'node:crypto'
import type { IncomingMessage, ServerResponse } from 'node:http'
import { AppError, isAppError } from '../errors.ts'
import { createFailedTokens } from '../failed-tokens.ts'
import { type AddressRange, createRangeCheck, networkOf, readAddressRange } from '../ip-address.ts'
import type { Log } from '../log.ts'
import type { ClientAddress } from './client-address.ts'
import { createDownloads } from './downloads.ts'
import type { RevokedTokens } from './revocations.ts'
import type { Query } from './target.ts'
import type { TokenClaims } from './token.ts'
import { invalidToken } from './token-form.ts'

export interface GateRules {
  /** Proxies whose CF-Connecting-IP is believed. */
  trustedProxies: readonly AddressRange[]
  /** Failed tokens of one client in a minute, 0 for any number; then 429. */
  tokenFailuresPerMinute: number
}

interface Caller {
  readonly incoming: IncomingMessage
  readonly outgoing: ServerResponse
  client: string | null
}

/** What a token that is believed allows. */
export interface Pass {
  claims: TokenClaims
  /**
   * Begins an answer, once it is known that there is a file for it.
   *
   * @returns what to call at its end, with the bytes of the file that were sent
   * @throws TOKEN_ENDED when the downloads of the token are used up
   */
  begin(): (bytes: number) => void
}

/**
 * Makes the gate of the file server: lets in who brings a token that is believed, from where it may be used.
 *
 * @param options.verify throws TOKEN_INVALID
 * @returns a function that throws TOKEN_INVALID, TOKEN_ENDED, TOO_MANY_FAILURES (the Retry-After is set) and
 *   REQUEST_INVALID, and notes in the caller who was refused
 */
export function createGate(options: {
  verify: (token: string, now: Date) => TokenClaims
  clientOf: ClientAddress
  /** See {@link GateRules}. */
  tokenFailuresPerMinute: number
  revoked: RevokedTokens
  now: () => Date
  /** Milliseconds, never going back. */
  clock: () => number
  log: Log
}): (caller: Caller, query: Query) => Pass {
  const { verify, clientOf, revoked, now, clock, log } = options
  const failed = createFailedTokens({ perMinute: options.tokenFailuresPerMinute, nowMs: clock })
  const downloads = createDownloads({
    clock,
    onForgotten: () =>
      log.warn({}, 'more tokens with max_downloads are in use than can be counted at one time'),
  })

  const begin = (caller: Caller, token: string, max: number) => {
    const client = clientOf(caller.incoming)
    const key = hash('sha256', token, 'base64url')
    const end = downloads.begin({ key, max }, networkOf(client))
    if (end !== null) return end
    caller.client = client
    throw new AppError('TOKEN_ENDED', 'the token allows no more downloads', { reason: 'used_up' })
  }
  const admit = (caller: Caller, query: Query): Pass => {
    const { incoming } = caller
    const token = onlyToken(query, incoming.headers.authorization)
    const claims = verify(token, now())
    if (claims.ip !== null && !isFrom(claims.ip, clientOf(incoming))) throw invalidToken('address')
    if (revoked.has(token, claims.jti))
      throw new AppError('TOKEN_ENDED', 'the token was revoked', { reason: 'revoked' })
    const { maxDownloads: max } = claims
    return { claims, begin: max === null ? beginUncounted : () => begin(caller, token, max) }
  }
  const refuse = (caller: Caller, error: AppError): AppError => {
    caller.client = clientOf(caller.incoming)
    const waitSeconds = failed.fail(networkOf(caller.client))
    if (waitSeconds === null) return error
    caller.outgoing.setHeader('Retry-After', waitSeconds)
    return new AppError('TOO_MANY_FAILURES', 'too many requests without a valid token', {
      reason: error.reason ?? 'missing',
    })
  }
  return (caller, query) => {
    try {
      return admit(caller, query)
    } catch (error) {
      throw isAppError(error, 'TOKEN_INVALID') ? refuse(caller, error) : error
    }
  }
}

const beginUncounted = () => () => {}

function isFrom(claim: string, client: string): boolean {
  const range = readAddressRange(claim)
  return range !== null && createRangeCheck([range])(client)
}

/**
 * The token of the link, or of `Authorization: Bearer`. Two would let a proxy and this server disagree on which one counts
 * (RFC 6750 2 forbids them to clients).
 *
 * @throws REQUEST_INVALID for more than one, TOKEN_INVALID for none
 */
function onlyToken(query: Query, authorization: string | undefined): string {
  const bearer = authorization && /^Bearer +([^ ]+)$/i.exec(authorization.trim())?.[1]
  const [token, second] = [...query.getAll('token'), ...(bearer ? [bearer] : [])]
  if (second !== undefined) throw new AppError('REQUEST_INVALID', 'there is more than one token')
  if (token !== undefined) return token
  throw invalidToken('missing')
}
