import type { IncomingHttpHeaders } from 'node:http'
import { isIP } from 'node:net'
import { AppError } from '../errors.ts'

/**
 * Whether a browser may ask for the console under the name that it used. A page of a stranger can have a name of its own
 * point to this address (DNS rebinding), but not an address, nor a name without dots or under a domain that no registry
 * sells (RFC 6762, RFC 8375, RFC 6761, ICANN's .internal).
 */
export function isOwnHost(host: string, hosts: readonly string[]): boolean {
  const name = host.toLowerCase().replace(/:\d+$/, '').replace(/\.$/, '')
  if (isIP(name.replace(/^\[|\]$/g, '')) !== 0) return true
  if (!name.includes('.')) return true
  return hosts.includes(name) || /\.(?:localhost|local|lan|home\.arpa|internal)$/.test(name)
}

/** @throws REQUEST_FOREIGN for a form that no page of this service has sent */
export function requireOwnOrigin({ host = '', origin, ...headers }: IncomingHttpHeaders): void {
  const site = headers['sec-fetch-site']
  // Browsers tell it over HTTPS and to localhost only; `none` is a person who typed the address.
  if (site !== undefined && site !== 'same-origin' && site !== 'none') throw foreign()
  if (origin !== undefined && URL.parse(origin)?.host !== host.toLowerCase()) throw foreign()
}

/** @returns whether the page that sent a form had come over HTTPS */
export function isHttps({ origin }: IncomingHttpHeaders): boolean {
  return origin?.startsWith('https:') === true
}

function foreign(): AppError {
  return new AppError('REQUEST_FOREIGN', 'the request does not come from a page of this service')
}
