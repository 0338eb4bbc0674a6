import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { request as askHttp, type IncomingHttpHeaders, type IncomingMessage } from 'node:http'
import { request as askHttps } from 'node:https'
import { DOCTOR_HEADER } from '../serve/doctor-echo.ts'

/** What came back through the edge; headers and body exactly as they came. */
export interface EdgeAnswer {
  status: number
  headers: IncomingHttpHeaders
  body: Buffer
  /** What the request carried. */
  nonce: string
}

/** What is asked of one file, in this order. */
export interface EdgeAnswers {
  /** Before the file was there. */
  early: EdgeAnswer
  /** The same link, as soon as it was. */
  late: EdgeAnswer
  whole: EdgeAnswer
  again: EdgeAnswer
  range: EdgeAnswer
  head: EdgeAnswer
  /** A range by the link form that ends in an extension, twice. */
  plain: EdgeAnswer
  plainAgain: EdgeAnswer
}

/** The first and the last byte that the checks ask for. */
export const EDGE_RANGE = { first: 100_000, last: 100_999 } as const

const WAIT_MS = 30_000
/** An edge that sends more than this is not sending our file. */
const MOST_BYTES = 4 * 1024 * 1024

export interface EdgeQuestion {
  method?: 'GET' | 'HEAD'
  /** Asks for {@link EDGE_RANGE} alone. */
  range?: boolean
  signal: AbortSignal
}

/** @throws what the network says: no name, refused, reset, no answer in 30 s, a certificate that is not believed */
export async function askEdge(url: string, how: EdgeQuestion): Promise<EdgeAnswer> {
  const nonce = randomBytes(16).toString('hex')
  const ask = url.startsWith('https:') ? askHttps : askHttp
  const { first, last } = EDGE_RANGE
  const sent = ask(url, {
    method: how.method ?? 'GET',
    // A connection of its own, so that no answer depends on the one before.
    agent: false,
    signal: AbortSignal.any([how.signal, AbortSignal.timeout(WAIT_MS)]),
    headers: {
      [DOCTOR_HEADER]: nonce,
      'Accept-Encoding': 'gzip, br',
      'User-Agent': 'strongroom-doctor',
      ...(how.range === true ? { Range: `bytes=${first}-${last}` } : {}),
    },
  }).end()
  const [response] = (await once(sent, 'response')) as [IncomingMessage]
  const chunks: Buffer[] = []
  let sizeBytes = 0
  for await (const chunk of response as AsyncIterable<Buffer>) {
    sizeBytes += chunk.length
    if (sizeBytes > MOST_BYTES) break
    chunks.push(chunk)
  }
  const { statusCode: status = 0, headers } = response
  return { status, headers, body: Buffer.concat(chunks), nonce }
}
