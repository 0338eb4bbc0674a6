import { isAppError } from '../errors.ts'
import { networkOf } from '../ip-address.ts'
import type { ClientAddress } from './client-address.ts'
import type { Body } from './multipart.ts'
import type { OpenFile } from './open-files.ts'
import { type Sender, smallBytes } from './send.ts'
import { createStreams, type Leave, type StreamLimits } from './streams.ts'
import type { TokenClaims } from './token.ts'
import { countBytes, type Visit } from './visit.ts'

const retryAfterSeconds = 5

/** What is sent to one visitor. */
interface Parcel {
  file: OpenFile
  body: Body
  claims: TokenClaims
  writeHead: () => void
}

/** Notes in the visit how much was sent. @returns whether that is all @throws TOO_MANY_STREAMS and what sending throws */
export type Deliver = (visit: Visit, parcel: Parcel) => Promise<boolean>

/** Makes what stands around the sending of a body: its place among the streams, and what is known of it. */
export function createDelivery(options: {
  send: Sender
  limits: StreamLimits
  clientOf: ClientAddress
}): Deliver {
  const { send, clientOf } = options
  const streams = createStreams(options.limits)

  const takePlace = async ({ incoming, outgoing }: Visit, claims: TokenClaims): Promise<Leave> => {
    const whenGone = () => {
      const gone = new AbortController()
      outgoing.once('close', () => gone.abort())
      return gone.signal
    }
    try {
      return await streams.enter({ claims, client: networkOf(clientOf(incoming)) }, whenGone)
    } catch (error) {
      if (isAppError(error, 'TOO_MANY_STREAMS') && !outgoing.headersSent)
        outgoing.setHeader('Retry-After', retryAfterSeconds)
      throw error
    }
  }

  const sendTo = (visit: Visit, { file, body, writeHead }: Parcel): Promise<boolean> => {
    const onBytes = (bytes: number) => {
      countBytes(visit, bytes)
      visit.watched.moved()
    }
    return send({ file, body, response: visit.outgoing }, { writeHead, onBytes })
  }

  const stream = async (visit: Visit, parcel: Parcel): Promise<boolean> => {
    const leave = await takePlace(visit, parcel.claims)
    try {
      return await sendTo(visit, parcel)
    } finally {
      leave()
    }
  }

  // What is sent in one piece is no stream: a page may have a hundred small pictures. But what waits behind another answer
  // of its connection is held in memory, and one packet can ask for hundreds.
  return (visit, parcel) =>
    parcel.body.length > smallBytes || visit.outgoing.socket === null
      ? stream(visit, parcel)
      : sendTo(visit, parcel)
}
