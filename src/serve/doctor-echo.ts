import type { IncomingMessage, ServerResponse } from 'node:http'
import { type AddressRange, canonicalAddress, createRangeCheck } from '../ip-address.ts'
import type { Sidecar } from '../sidecar.ts'

/** In a request a nonce of the asker; in its answer the nonce and what became of the request on the way. */
export const DOCTOR_HEADER = 'X-Strongroom-Doctor'

/**
 * How the visitor's address was found: `named` by a proxy that is believed, `untrusted` named by one that is not, `unnamed`
 * by nobody.
 */
export const addressOrigins = ['named', 'untrusted', 'unnamed'] as const
export type AddressOrigin = (typeof addressOrigins)[number]

export interface Echo {
  nonce: string
  /** As it arrived here. */
  method: string
  origin: AddressOrigin
  /** The visitor's where it was named, else the peer's. */
  address: string
}

const noncePattern = /^[0-9a-f]{32}$/
const doctorPath = /^strongroom-doctor-[0-9a-f]{16}\.mp4$/

/** Where the file of one examination lies, relative to ARCHIVE_DIR. */
export function doctorPathOf(id: string): string {
  return `strongroom-doctor-${id}.mp4`
}

export function isDoctorPath(archivePath: string): boolean {
  return doctorPath.test(archivePath)
}

/**
 * Makes what tells `doctor --public-url` how its request arrived. Only its own file is answered so: who holds a token for
 * another one learns nothing of proxies and addresses.
 */
export function createDoctorEcho(
  trusted: readonly AddressRange[],
): (visit: { incoming: IncomingMessage; outgoing: ServerResponse }, sidecar: Sidecar) => void {
  const isTrusted = createRangeCheck(trusted)
  const name = DOCTOR_HEADER.toLowerCase()
  return ({ incoming, outgoing }, sidecar) => {
    if (incoming.headers[name] === undefined) return
    const nonce = String(incoming.headers[name])
    if (!noncePattern.test(nonce) || !isDoctorPath(sidecar.archive_path)) return
    const peer = canonicalAddress(incoming.socket.remoteAddress ?? '') ?? 'unknown'
    const header = incoming.headers['cf-connecting-ip']
    const named = header === undefined ? null : canonicalAddress(String(header).trim())
    const origin = named === null ? 'unnamed' : isTrusted(peer) ? 'named' : 'untrusted'
    const address = origin === 'named' ? named : peer
    outgoing.setHeader(DOCTOR_HEADER, [nonce, incoming.method, origin, address].join(' '))
  }
}

/** @returns null for what no file server of ours sends */
export function readEcho(header: string | readonly string[] | undefined): Echo | null {
  const [nonce = '', method = '', found, address = ''] = String(header ?? '').split(' ')
  const origin = addressOrigins.find((one) => one === found)
  return noncePattern.test(nonce) && origin !== undefined
    ? { nonce, method, origin, address }
    : null
}
