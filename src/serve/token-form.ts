import { isUtf8 } from 'node:buffer'
import { AppError } from '../errors.ts'

/** Why a token is not believed, for the log. */
export type Refusal =
  /** The request has none. */
  | 'missing'
  /** Too long, no JWT, another spelling of one, or JSON that says something twice. */
  | 'malformed'
  /** Another algorithm than HS256, or a header that asks for other rules. */
  | 'header'
  | 'signature'
  | 'expired'
  | 'not_yet_valid'
  /** Longer than TOKEN_MAX_TTL. */
  | 'lifetime'
  /** One that is required is missing, or one is not of its type. */
  | 'claims'
  /** From another address than its `ip` claim allows. */
  | 'address'
  | 'audience'
  | 'issuer'

const maxTokenBytes = 4096

/** Header members that change how a token is to be read or which key opens it (RFC 7515 4.1, RFC 7516 4.1, RFC 7797). */
const foreignRules = [
  'crit',
  'b64',
  'enc',
  'zip',
  'jku',
  'jwk',
  'x5u',
  'x5c',
  'x5t',
  'x5t#S256',
] as const

/** One word for the log, the same words for every visitor. */
export function invalidToken(reason: Refusal): AppError {
  const message = 'the token is missing, malformed, forged or expired'
  return new AppError('TOKEN_INVALID', message, { reason })
}

/** A token taken apart, before anybody has looked at who signed it. */
export interface Form {
  /** What the signature is of. */
  signed: string
  signature: Buffer
  /** Its text, which may still be anything. */
  payload: string
}

/**
 * Takes a token apart. One token has one spelling, so that a revoked or cached one cannot come back in another.
 *
 * @throws TOKEN_INVALID for whatever is not three parts of exact base64url (RFC 7515 2), or does not ask for HS256 alone
 */
export function readForm(token: string): Form {
  if (token.length > maxTokenBytes || !/^[\w-]+\.[\w-]+\.[\w-]+$/.test(token))
    throw invalidToken('malformed')
  const [header = '', payload = '', signature = ''] = token.split('.')
  requireRules(header)
  return {
    signed: token.slice(0, -1 - signature.length),
    signature: bytesOf(signature),
    payload: textOf(payload),
  }
}

/** A backend writes the same header into each of its tokens. */
let knownHeader = ''

function requireRules(header: string): void {
  if (header === knownHeader) return
  const rules = parseUnambiguous(textOf(header))
  if (rules.alg !== 'HS256') throw invalidToken('header')
  if (foreignRules.some((name) => Object.hasOwn(rules, name))) throw invalidToken('header')
  knownHeader = header
}

/** Of the last character two or four bits are of no byte; only with zeros there is it the one spelling (RFC 4648 3.5). */
const lastOfTwo = 'AQgw'
const lastOfThree = 'AEIMQUYcgkosw048'

/** @param part base64url, which its characters were seen to be */
function bytesOf(part: string): Buffer {
  const rest = part.length % 4
  const last = part.at(-1) ?? ''
  const isExact =
    rest === 0 ||
    (rest === 2 && lastOfTwo.includes(last)) ||
    (rest === 3 && lastOfThree.includes(last))
  if (!isExact) throw invalidToken('malformed')
  return Buffer.from(part, 'base64url')
}

function textOf(part: string): string {
  const bytes = bytesOf(part)
  if (!isUtf8(bytes)) throw invalidToken('malformed')
  return bytes.toString()
}

/**
 * Reads a JSON object in which no object has two members of one name: of those some readers take the first and some the
 * last (RFC 7519 4 lets a reader refuse them).
 *
 * @throws TOKEN_INVALID
 */
export function parseUnambiguous(json: string): Record<string, unknown> {
  const value = parseJson(json)
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    throw invalidToken('malformed')
  // Each colon belongs to one member, and what JSON.parse returns has each name once.
  if (countColons(json) !== countMembers(value)) throw invalidToken('malformed')
  return value as Record<string, unknown>
}

/** Those outside of texts, of valid JSON. */
function countColons(json: string): number {
  let count = 0
  let isText = false
  for (let at = 0; at < json.length; at++) {
    const char = json[at]
    if (char === '"') isText = !isText
    else if (isText && char === '\\') at += 1
    else if (!isText && char === ':') count += 1
  }
  return count
}

function countMembers(value: unknown): number {
  if (typeof value !== 'object' || value === null) return 0
  const own = Array.isArray(value) ? 0 : Object.keys(value).length
  return Object.values(value).reduce<number>((sum, inner) => sum + countMembers(inner), own)
}

function parseJson(json: string): unknown {
  try {
    return JSON.parse(json)
  } catch {
    throw invalidToken('malformed')
  }
}
