import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Watched } from './stall.ts'
import type { Traffic } from './traffic.ts'

/** One request, and what became of it. */
export interface Visit {
  readonly incoming: IncomingMessage
  readonly outgoing: ServerResponse
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

/** @param bytes of the file that the socket has taken so far */
export function countBytes(visit: Visit, bytes: number): void {
  visit.traffic.bytes += bytes - visit.bytes
  visit.bytes = bytes
}

/** Counts an answer that has ended. What it is counted by are our own words, so no visitor can make the maps grow. */
export function countVisit(visit: Visit): void {
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
