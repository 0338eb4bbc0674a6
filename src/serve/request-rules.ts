import type { IncomingMessage } from 'node:http'
import { AppError } from '../errors.ts'

const maxUrlBytes = 8 * 1024
/** Node's parser limits the bytes of names and values only, and drops lines beyond 2,000 without a word. */
const maxHeaderLines = 256

/** RFC 3986 3.2.2, without percent escapes, and an optional port; empty names no host (RFC 9110 4.2.1). */
const host = /^(?:\[[0-9a-f:.]+\]|[\w\-.~!$&'()*+,;=]+)(?::(\d*))?$/i
const absoluteForm = /^https?:\/\/(?<authority>[^/?#]*)(?<rest>.*)$/i

/**
 * Puts a request target into its one form, path and query, and finds what `node:http` lets pass although RFC 9112 has
 * it refused. Nothing else may look at a request before.
 *
 * @returns REQUEST_INVALID or what is told more exactly; null for a request that may be answered
 */
export function prepareRequest(incoming: IncomingMessage): AppError | null {
  const { httpVersion, rawHeaders } = incoming
  if (httpVersion !== '1.1' && httpVersion !== '1.0')
    return new AppError('HTTP_VERSION_UNKNOWN', 'only HTTP/1.1 and 1.0 are spoken here')
  if (rawHeaders.length > 2 * maxHeaderLines)
    return new AppError('HEADERS_TOO_MANY', 'the request has too many headers')
  const target = originFormOf(incoming)
  if (target === null) return invalid('the request target has no form that is known here')
  incoming.url = target
  dropDoubleDates(incoming)
  if (target.length > maxUrlBytes) return new AppError('URL_TOO_LONG', 'the address is too long')
  return hostFault(incoming) ?? doubleTokenFault(incoming) ?? framingFault(incoming)
}

/** After these nobody knows where the next request on the connection would begin. */
export function isUnframed(incoming: IncomingMessage): boolean {
  return incoming.headers['transfer-encoding'] !== undefined && framingFault(incoming) !== null
}

/**
 * RFC 9112 3.2: origin-form, absolute-form (any server must take it; user names in it are an error, RFC 9110 4.2.4),
 * and `*` for OPTIONS, which here asks about every file alike.
 */
function originFormOf({ url = '', method }: IncomingMessage): string | null {
  if (url.includes('#')) return null
  if (url.startsWith('/')) return url
  if (url === '*') return method === 'OPTIONS' ? '/' : null
  const { authority, rest } = absoluteForm.exec(url)?.groups ?? {}
  if (authority === undefined || rest === undefined || !isHost(authority)) return null
  return rest.startsWith('/') ? rest : `/${rest}`
}

/** RFC 9110 13.1.3 and 13.1.4: two dates are as good as none, where Node would go by the first. */
function dropDoubleDates({ rawHeaders, headers }: IncomingMessage): void {
  for (const name of ['if-modified-since', 'if-unmodified-since'] as const)
    if (headers[name] !== undefined && countLines(rawHeaders, name) > 1) delete headers[name]
}

/** RFC 9112 3.2: none (but in HTTP/1.0, which had none), several, or one that is no host. */
function hostFault({ rawHeaders, headers, httpVersion }: IncomingMessage): AppError | null {
  const lines = countLines(rawHeaders, 'host')
  if (lines === 0 && httpVersion === '1.0') return null
  if (lines !== 1) return invalid('a request names one host')
  return isHost(headers.host ?? '') ? null : invalid('the Host header names no host')
}

/** Node drops all lines but the first, and a proxy in front may have gone by another. */
function doubleTokenFault({ rawHeaders, headers }: IncomingMessage): AppError | null {
  if (headers.authorization === undefined) return null
  if (countLines(rawHeaders, 'authorization') === 1) return null
  return invalid('a request has one Authorization')
}

/** RFC 9112 6.1 and 6.3; that there is no Content-Length beside it, and no broken one, `node:http` sees to itself. */
function framingFault({ headers, httpVersion }: IncomingMessage): AppError | null {
  const coding = headers['transfer-encoding']?.trim().toLowerCase()
  if (coding === undefined) return null
  if (httpVersion === '1.0') return invalid('HTTP/1.0 knows no transfer codings')
  if (coding === 'chunked') return null
  if (!/(?:^|,)[ \t]*chunked$/.test(coding)) return invalid('the end of the request is not known')
  return new AppError('CODING_UNKNOWN', 'only the transfer coding chunked is known')
}

/** On the way of every request: most names differ in length already. */
function countLines(rawHeaders: readonly string[], name: string): number {
  let count = 0
  for (let index = 0; index < rawHeaders.length; index += 2) {
    const text = rawHeaders[index] ?? ''
    if (text.length === name.length && text.toLowerCase() === name) count += 1
  }
  return count
}

/** Nearly all requests name the same one. */
let knownHost = ''

function isHost(text: string): boolean {
  if (text === knownHost && text !== '') return true
  const found = host.exec(text)
  if (found === null || Number(found[1] ?? 0) > 65_535) return false
  knownHost = text
  return true
}

function invalid(message: string): AppError {
  return new AppError('REQUEST_INVALID', message)
}
