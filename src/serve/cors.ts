import type { IncomingMessage, ServerResponse } from 'node:http'
import { commonHeaders, neverStored } from './file-headers.ts'

/** The sites whose pages may read our answers; empty for none. */
export type CorsOrigins = '*' | readonly string[]

/** What a player needs beside the few that every page may read (https://fetch.spec.whatwg.org/#cors-protocol). */
const exposed =
  'Accept-Ranges, Content-Disposition, Content-Range, ETag, Repr-Digest, Retry-After, WWW-Authenticate'
const asked =
  'Authorization, If-Match, If-Modified-Since, If-None-Match, If-Range, If-Unmodified-Since, Range'
/** Browsers keep the answer to a preflight for two hours at most. */
const preflightSeconds = 7200

/**
 * Puts on the answer, whatever it will be, that a page of the request's origin may read it. A token is its only
 * credential, so cookies are never asked for.
 */
export function allowOrigin(
  incoming: IncomingMessage,
  outgoing: ServerResponse,
  origins: CorsOrigins,
): void {
  // A cache between must not give one site's answer to another (RFC 9110 12.5.5).
  if (origins !== '*' && origins.length > 0) outgoing.setHeader('Vary', 'Origin')
  const allowed = allowedOrigin(incoming, origins)
  if (allowed === null) return
  outgoing.setHeader('Access-Control-Allow-Origin', allowed)
  outgoing.setHeader('Access-Control-Expose-Headers', exposed)
}

/** Answers OPTIONS, where a browser asks whether the page may send its request at all. */
export function answerOptions(
  incoming: IncomingMessage,
  outgoing: ServerResponse,
  origins: CorsOrigins,
): void {
  const preflight = {
    'Access-Control-Allow-Methods': 'GET, HEAD',
    'Access-Control-Allow-Headers': asked,
    'Access-Control-Max-Age': preflightSeconds,
  }
  const headers = allowedOrigin(incoming, origins) === null ? {} : preflight
  const all = { ...commonHeaders, ...neverStored, Allow: allowedMethods(origins), ...headers }
  outgoing.writeHead(204, all).end()
}

/** What a 405 must list (RFC 9110 15.5.6). */
export function allowedMethods(origins: CorsOrigins): string {
  return knowsOptions(origins) ? 'GET, HEAD, OPTIONS' : 'GET, HEAD'
}

export function knowsOptions(origins: CorsOrigins): boolean {
  return origins.length > 0
}

function allowedOrigin({ headers }: IncomingMessage, origins: CorsOrigins): string | null {
  const { origin } = headers
  if (origin === undefined) return null
  if (origins === '*') return '*'
  return origins.includes(origin) ? origin : null
}
