import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Log } from '../log.ts'
import type { Watchdog, Watched } from './stall.ts'
import { splitTarget } from './target.ts'
import type { Traffic } from './traffic.ts'

/** One request, and what became of it. */
export interface Visit {
  readonly incoming: IncomingMessage
  readonly outgoing: ServerResponse
  /** Of a clock that never goes back. */
  readonly startedMs: number
  /** Ends it when nothing of its answer moves. */
  readonly watched: Watched
  /** Where it is counted. */
  readonly traffic: Traffic
  /** Known once the token is believed. */
  mediaId: number | null
  /** The believed token's, for those who want to revoke it. */
  jti: string | null
  /** Bytes of the file that the socket took. */
  bytes: number
  /** The front sends the file, and nobody tells us how much of it. */
  offloaded: boolean
  /** False when the visitor left, or had to be left, before the end. */
  complete: boolean
  /** Why it was refused, in one word for the log alone. */
  reason: string | null
  /** The address of a visitor who was refused; null where nobody asked for it. */
  client: string | null
}

/** What the visits of one server share. */
export interface Watch {
  watchdog: Watchdog
  traffic: Traffic
}

export function newVisit(
  incoming: IncomingMessage,
  outgoing: ServerResponse,
  { watchdog, traffic }: Watch,
): Visit {
  const { socket } = incoming
  const end = () => {
    visit.reason ??= 'stalled'
    socket.destroy()
  }
  const watched = watchdog.watch(socket, end)
  outgoing.on('close', () => {
    watched.moved()
    watched.unwatch(end)
  })
  const visit: Visit = {
    incoming,
    outgoing,
    startedMs: performance.now(),
    watched,
    traffic,
    mediaId: null,
    jti: null,
    bytes: 0,
    offloaded: false,
    complete: true,
    reason: null,
    client: null,
  }
  return visit
}

/** @param bytes of the file that the socket has taken so far */
export function countBytes(visit: Visit, bytes: number): void {
  visit.traffic.bytes += bytes - visit.bytes
  visit.bytes = bytes
}

/** One line per request, without its query; probes are too many to be told of by default, and are not counted. */
export function logVisit(visit: Visit, log: Log): void {
  const { incoming, outgoing, mediaId, jti, bytes, complete, offloaded, reason, client } = visit
  const { method, url = '' } = incoming
  const line = () => ({
    method,
    path: loggedPath(url),
    status: outgoing.statusCode,
    mediaId,
    bytes,
    complete,
    ...(offloaded ? { offloaded } : {}),
    ...(jti === null ? {} : { jti }),
    ...(reason === null ? {} : { reason }),
    ...(client === null ? {} : { client }),
    durationMs: Math.round(performance.now() - visit.startedMs),
  })
  if (url.startsWith('/health')) log.debug(line, 'request')
  else {
    countVisit(visit)
    log.info(line, 'request')
  }
}

/** A visitor may paste a token into the path as well; a part that looks like one is not repeated. */
export function loggedPath(url: string): string {
  const tokenLike = /eyJ[\w-]{5}|[\w-]{20}(?:\.|%2[Ee])[\w-]{20}/
  const parts = splitTarget(url).path.slice(0, 1024).split('/')
  return parts.map((part) => (tokenLike.test(part) ? '[token]' : part)).join('/')
}

/** Counts an answer that has ended. What it is counted by are our own words, so no visitor can make the maps grow. */
function countVisit(visit: Visit): void {
  const { traffic } = visit
  const { statusCode } = visit.outgoing
  traffic.ended.set(statusCode, (traffic.ended.get(statusCode) ?? 0) + 1)
  if (!visit.complete && statusCode < 400) traffic.cut += 1
  const refusal = refusalOf(statusCode, visit.reason)
  if (refusal !== null) traffic.refused.set(refusal, (traffic.refused.get(refusal) ?? 0) + 1)
}

function refusalOf(status: number, reason: string | null): string | null {
  if (status === 403) return 'another_file'
  return [401, 410, 429].includes(status) ? reason : null
}
