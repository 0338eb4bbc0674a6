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
