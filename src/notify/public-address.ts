import { canonicalAddress, createRangeCheck, readAddressRange } from '../ip-address.ts'

/** IPv4 blocks that no message is meant for (IANA's IPv4 Special-Purpose Address Registry, RFC 6890, RFC 5771). */
const notPublic4 = [
  '0.0.0.0/8',
  '10.0.0.0/8',
  '100.64.0.0/10',
  '127.0.0.0/8',
  '169.254.0.0/16',
  '172.16.0.0/12',
  '192.0.0.0/24',
  '192.0.2.0/24',
  '192.88.99.0/24',
  '192.168.0.0/16',
  '198.18.0.0/15',
  '198.51.100.0/24',
  '203.0.113.0/24',
  '224.0.0.0/4',
  '240.0.0.0/4',
  // Azure's own platform behind a public address, which answers every virtual machine.
  '168.63.129.16/32',
]

/** Everything public lies in here (RFC 4291 2.4); loopback, mapped, local and multicast addresses do not. */
const global6 = ['2000::/3']

/** Blocks inside that are not: protocol assignments with Teredo, documentation, 6to4 (IANA's IPv6 registry). */
const notPublic6 = ['2001::/23', '2001:db8::/32', '2002::/16', '3fff::/20']

/** RFC 6052: the last 32 bits are an IPv4 address, and it is that one which answers. */
const nat64 = /^64:ff9b::(?:([\da-f]{1,4}):)?([\da-f]{1,4})$/

/**
 * Where clouds keep what makes an intruder of whoever can ask: link-local (169.254.169.254), AWS, Alibaba and Azure.
 * A host name that is allowed does not open these; only their own range does.
 */
const metadata = [
  '169.254.0.0/16',
  'fe80::/10',
  'fd00:ec2::/32',
  '100.100.100.200/32',
  '168.63.129.16/32',
]

const inNotPublic4 = rangeCheck(notPublic4)
const inGlobal6 = rangeCheck(global6)
const inNotPublic6 = rangeCheck(notPublic6)
const inMetadata = rangeCheck(metadata)

/** Whether the address is of the public internet; of what is no address it is not. */
export function isPublicAddress(text: string): boolean {
  const address = canonicalAddress(text)
  if (address === null) return false
  const answering = behindNat64(address)
  if (!answering.includes(':')) return !inNotPublic4(answering)
  return inGlobal6(answering) && !inNotPublic6(answering)
}

export function isMetadataAddress(text: string): boolean {
  const address = canonicalAddress(text)
  return address !== null && inMetadata(behindNat64(address))
}

/** @returns the IPv4 address that answers where a canonical address is one of NAT64's, else the address itself */
function behindNat64(address: string): string {
  const [, high = '0', low] = nat64.exec(address) ?? []
  if (low === undefined) return address
  const groups = [high, low].map((group) => Number.parseInt(group, 16))
  return groups.flatMap((group) => [group >> 8, group & 255]).join('.')
}

/** The ranges are read when somebody asks first, which most runs of the program do not: it takes 4 ms. */
function rangeCheck(texts: readonly string[]): (address: string) => boolean {
  let check: ((address: string) => boolean) | null = null
  return (address) => {
    check ??= createRangeCheck(texts.map(readAddressRange).filter((range) => range !== null))
    return check(address)
  }
}
