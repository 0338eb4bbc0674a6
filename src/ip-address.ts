import { BlockList, isIP, isIPv4, isIPv6 } from 'node:net'

/** One address, or all that begin with the same bits: `192.0.2.1`, `10.0.0.0/8`, `2001:db8::/32`. */
export interface AddressRange {
  /** In its canonical spelling. */
  address: string
  prefixBits: number
}

/**
 * Spells an address in the one way in which it can be compared: IPv6 as RFC 5952 says and without a zone, an IPv4 address
 * that came over an IPv6 socket as IPv4.
 *
 * @returns null for what is no address
 */
export function canonicalAddress(text: string): string | null {
  if (isIPv4(text)) return text
  if (!isIPv6(text)) return null
  const url = URL.parse(`http://[${text.replace(/%.*$/, '')}]`)
  const address = url?.hostname.slice(1, -1) ?? null
  const mapped = /^::ffff:([\da-f]+):([\da-f]+)$/.exec(address ?? '')
  if (!mapped) return address
  const [high, low] = [mapped[1], mapped[2]].map((group) => Number.parseInt(group ?? '', 16))
  return [high, low].flatMap((group = 0) => [group >> 8, group & 255]).join('.')
}

/** @returns null for what is neither an address nor an address with the length of its prefix */
export function readAddressRange(text: string): AddressRange | null {
  const [, before = '', bits] = /^([^/]*)(?:\/(\d{1,3}))?$/.exec(text) ?? []
  const address = canonicalAddress(before)
  if (address === null) return null
  const longest = isIPv4(address) ? 32 : 128
  // The prefix of a mapped address would count 96 bits that are gone.
  if (bits !== undefined && isIPv4(address) !== isIPv4(before)) return null
  const prefixBits = bits === undefined ? longest : Number(bits)
  return prefixBits <= longest ? { address, prefixBits } : null
}

/** @returns a function that tells whether a canonical address lies in one of `ranges`; what is no address does not */
export function createRangeCheck(ranges: readonly AddressRange[]): (address: string) => boolean {
  const list = new BlockList()
  for (const { address, prefixBits } of ranges)
    list.addSubnet(address, prefixBits, isIPv4(address) ? 'ipv4' : 'ipv6')
  return (address) => {
    const version = isIP(address)
    return version !== 0 && list.check(address, version === 4 ? 'ipv4' : 'ipv6')
  }
}

/** What one customer of a provider has: an IPv4 address, or the /64 of an IPv6 one, which has 2^64 addresses to use up. */
export function networkOf(address: string): string {
  if (!address.includes(':')) return address
  const [head = '', tail = ''] = address.split('::')
  const [left, right] = [head, tail].map((side) => side.split(':').filter((group) => group !== ''))
  const zeros = Array.from({ length: 8 - (left?.length ?? 0) - (right?.length ?? 0) }, () => '0')
  const groups = [...(left ?? []), ...zeros, ...(right ?? [])]
  return `${groups.slice(0, 4).join(':')}::/64`
}
