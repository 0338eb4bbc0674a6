import type { IncomingMessage } from 'node:http'
import type { Socket } from 'node:net'
import { type AddressRange, canonicalAddress, createRangeCheck } from '../ip-address.ts'

/** Gives the canonical address of whoever sent a request. */
export type ClientAddress = (request: IncomingMessage) => string

interface Peer {
  /** Its canonical address. */
  peer: string
  trusted: boolean
}

/** Finds who is at the other end of a request's socket. */
export type FindPeer = (request: IncomingMessage) => Peer

/** @param trustedProxies whom to believe what they say of a request */
export function createFindPeer(trustedProxies: readonly AddressRange[]): FindPeer {
  const isTrusted = createRangeCheck(trustedProxies)
  // A proxy asks thousands of times over one connection.
  const known = new WeakMap<Socket, Peer>()
  return ({ socket }) => {
    const before = known.get(socket)
    if (before !== undefined) return before
    const peer = canonicalAddress(socket.remoteAddress ?? '') ?? 'unknown'
    const found = { peer, trusted: isTrusted(peer) }
    known.set(socket, found)
    return found
  }
}

/** Peers that are told of as proxies that nobody trusts; more would let strangers fill the log. */
const maxReports = 5

/**
 * Makes the finder of a visitor's address: the peer of the socket, unless that is a trusted proxy, whose CF-Connecting-IP
 * is believed. From anybody else the header is what the visitor likes to be.
 *
 * @param options.onUntrusted told once of each peer that sends the header and is not trusted, and of five at most
 * @returns a function to the canonical address; a trusted proxy that names nobody, or no address, is the visitor itself
 */
export function createClientAddress(options: {
  trusted: readonly AddressRange[]
  onUntrusted: (peer: string) => void
}): ClientAddress {
  const isTrusted = createRangeCheck(options.trusted)
  const reported = new Set<string>()
  return ({ socket, headers }) => {
    const peer = canonicalAddress(socket.remoteAddress ?? '') ?? 'unknown'
    const named = headers['cf-connecting-ip']
    if (named === undefined || peer === 'unknown') return peer
    // Two lines with the header reach us as one text with a comma, which is no address.
    if (isTrusted(peer)) return canonicalAddress(String(named).trim()) ?? peer
    if (reported.size < maxReports && !reported.has(peer)) {
      reported.add(peer)
      options.onUntrusted(peer)
    }
    return peer
  }
}
