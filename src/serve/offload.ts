import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Log } from '../log.ts'
import type { Sidecar } from '../sidecar.ts'
import type { FindPeer } from './client-address.ts'
import type { HeaderList } from './file-headers.ts'
import type { Verdict } from './range.ts'
import { smallBytes } from './send.ts'
import type { TokenClaims } from './token-claims.ts'

/** How a front learns which file it is to send. */
export interface Offload {
  header: 'X-Accel-Redirect' | 'X-Sendfile'
  /** What stands before the archive path: a location of the front, or a folder as the front sees it. */
  prefix: string
  /** Up to so many a file costs a front less to pass on than to open and close; if not set, what is sent in one piece. */
  passedOnBytes?: number
}

interface Wish {
  sidecar: Sidecar
  verdict: Verdict
  claims: TokenClaims
}

/** @returns the header that lets the front send the file, null when we have to send it ourselves */
export type OffloadTo = (incoming: IncomingMessage, wish: Wish) => HeaderList | null

/** By its request header of this name, which no visitor gets past it, a front says that it knows the answer's. */
const asked = 'x-sendfile-type'
/** What every front reads as we do; longer numbers overflow in nginx. */
const plainRange = /^bytes=(?:\d{1,18}-\d{0,18}|-\d{1,18})$/
/** The front would judge them a second time, by validators of its own. */
const conditions = [
  'if-match',
  'if-none-match',
  'if-modified-since',
  'if-unmodified-since',
] as const

/**
 * Makes the judge of which answers a front may give in our place, from the file that it opens by its path. All that it could
 * answer otherwise than we is ours: HEAD, several ranges, ranges that were ignored, conditions that held, and downloads that are
 * counted. So are small files. Who is no trusted proxy, or does not ask, would receive an empty file.
 *
 * @param options.offload null turns it off
 */
export function createOffload(options: {
  offload: Offload | null
  peerOf: FindPeer
  log: Log
}): OffloadTo {
  const { offload, peerOf, log } = options
  if (offload === null) return () => null
  const { header, prefix, passedOnBytes = smallBytes } = offload
  const handovers = createHandovers(header, prefix)
  const told = new Set<string>()
  const tellOnce = (peer: string, what: string) => {
    if (!told.has(what)) log.warn({ peer, header }, what)
    told.add(what)
  }

  const isForFront = (incoming: IncomingMessage): boolean => {
    const asks = incoming.headers[asked] === header
    const { peer, trusted } = peerOf(incoming)
    if (asks && !trusted)
      tellOnce(peer, 'X-Sendfile-Type is not heeded: its sender is not in TRUSTED_PROXIES')
    if (trusted && !asks)
      tellOnce(
        peer,
        'a proxy of TRUSTED_PROXIES does not ask for SENDFILE_HEADER with X-Sendfile-Type: its files go through this process',
      )
    return asks && trusted
  }
  return (incoming, wish) =>
    wish.sidecar.bytes > passedOnBytes && isPlain(incoming, wish) && isForFront(incoming)
      ? handovers(wish.sidecar)
      : null
}

/** Put together once for as long as a sidecar is in memory. */
function createHandovers(header: string, prefix: string): (sidecar: Sidecar) => HeaderList {
  const encodedPrefix = encodePath(prefix.replace(/\/+$/, ''))
  const known = new WeakMap<Sidecar, HeaderList>()
  return (sidecar) => {
    const before = known.get(sidecar)
    if (before !== undefined) return before
    const made = [header, `${encodedPrefix}/${encodePath(sidecar.archive_path)}`]
    known.set(sidecar, made)
    return made
  }
}

/**
 * Answers the front, with all that it is to pass on.
 *
 * @param status of the answer that it will make of this
 */
export function handOver(outgoing: ServerResponse, headers: HeaderList, status: 200 | 206): void {
  const at = headers.indexOf('Accept-Ranges')
  // nginx says it by itself with the whole file, and then would twice.
  const passedOn = status === 200 && at >= 0 ? headers.toSpliced(at, 2) : headers
  outgoing.writeHead(200, [...passedOn, 'Content-Length', '0']).end()
}

function isPlain({ method, headers }: IncomingMessage, wish: Wish): boolean {
  const { verdict, claims } = wish
  if (method !== 'GET' || claims.maxDownloads !== null) return false
  if (conditions.some((name) => headers[name] !== undefined)) return false
  const { range } = headers
  return range === undefined
    ? verdict.status === 200
    : verdict.status === 206 && plainRange.test(range)
}

/** Fronts decode it once; what is left of any name is letters that no header, path or query takes for its own. */
function encodePath(path: string): string {
  return path.split('/').map(encodeURIComponent).join('/')
}
