import type { LookupAddress } from 'node:dns'
import { lookup } from 'node:dns/promises'
import { isIP } from 'node:net'
import { systemCode } from '../errors.ts'
import { type AddressRange, canonicalAddress, createRangeCheck } from '../ip-address.ts'
import { isMetadataAddress, isPublicAddress } from './public-address.ts'

/** What NOTIFY_ALLOW_PRIVATE names: hosts and ranges of one's own network. */
export interface Allowance {
  /** In lower case. */
  hosts: readonly string[]
  ranges: readonly AddressRange[]
}

export type Way =
  /** `addresses` were looked up and judged once: connect to these and to no other. */
  | { kind: 'open'; addresses: LookupAddress[]; isOwnNetwork: boolean }
  /** Trying again changes nothing. */
  | { kind: 'refused'; why: string; remedy: string }
  | { kind: 'failed'; why: string; remedy: string }

/** Finds the addresses of a host that messages may be sent to. */
export type Reach = (to: { host: string; encrypted: boolean }) => Promise<Way>

type Resolve = (host: string) => Promise<LookupAddress[]>

/**
 * Keeps messages from reaching what their settings should never name: addresses that are not of the public internet, and
 * anything unencrypted, are refused unless the host or its address is allowed.
 *
 * @see OWASP, "Server-Side Request Forgery Prevention": the address that is checked must be the one that is connected to
 */
export function createReach(allowed: Allowance, resolve: Resolve = resolveAll): Reach {
  const inAllowedRange = createRangeCheck(allowed.ranges)
  return async ({ host, encrypted }) => {
    const byName = allowed.hosts.includes(host.toLowerCase())
    const found = await find(host, resolve)
    if (!Array.isArray(found)) return found
    const isOwn = (address: string) =>
      inAllowedRange(address) || (byName && !isMetadataAddress(address))
    const mayUse = (address: string) => isOwn(address) || (encrypted && isPublicAddress(address))
    const addresses = found.filter(({ address }) => mayUse(address))
    const isOwnNetwork = addresses.every(({ address }) => isOwn(address))
    if (addresses.length > 0) return { kind: 'open', addresses, isOwnNetwork }
    const first = found[0]?.address ?? host
    return isPublicAddress(first) ? unencrypted(host) : notPublic(host, first)
  }
}

async function find(host: string, resolve: Resolve): Promise<LookupAddress[] | Way> {
  try {
    const found = isIP(host) === 0 ? await resolve(host) : [{ address: host, family: isIP(host) }]
    return found.map(({ address, family }) => {
      const canonical = canonicalAddress(address) ?? address
      // A mapped address is the IPv4 address that it stands for, and is connected to as such.
      return { address: canonical, family: isIP(canonical) || family }
    })
  } catch (error) {
    return {
      kind: 'failed',
      why: `the name ${host} is not found (${systemCode(error) ?? 'no answer'})`,
      remedy: 'check the spelling of the host, and the name server of this machine',
    }
  }
}

function resolveAll(host: string): Promise<LookupAddress[]> {
  return lookup(host, { all: true, order: 'verbatim' })
}

function unencrypted(host: string): Way {
  return {
    kind: 'refused',
    why: `${host} is on the public internet and would be sent the message unencrypted`,
    remedy: 'use its https:// address (for mail smtps://, or smtp:// with STARTTLS)',
  }
}

function notPublic(host: string, address: string): Way {
  const shown = host === address ? host : `${host} (${address})`
  const range = isMetadataAddress(address) ? 'its range' : 'its host or range'
  return {
    kind: 'refused',
    why: `${shown} is not on the public internet`,
    remedy: `if it is a service of your own, add ${range} to NOTIFY_ALLOW_PRIVATE`,
  }
}
