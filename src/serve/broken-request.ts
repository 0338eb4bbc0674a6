import type { IncomingMessage, Server, ServerResponse } from 'node:http'
import type { Duplex } from 'node:stream'
import { systemCode } from '../errors.ts'
import type { Connections } from './connections.ts'
import { commonHeaders, neverStored } from './file-headers.ts'

/** How long the rest of a refused request is read and forgotten: a reset would take our answer along (RFC 9112 9.6). */
const lingerMs = 1000

/**
 * Answers what is not HTTP, or too slow or too large to be, and ends its connection. Requests before it on the same
 * connection get their answers first, whole: `node:http` would leave us to write between their bytes.
 */
export function answerBrokenRequests(server: Server, { answersOn }: Connections): void {
  const given = new WeakSet<Duplex>()

  server.on('clientError', (error: Error, socket: Duplex) => {
    if (systemCode(error) === 'ECONNRESET') return void socket.destroy()
    // Every further chunk of a broken request is told again.
    if (given.has(socket)) return
    given.add(socket)
    const answers = answersOn(socket)
    const last = answers.at(-1)
    const unanswered = last === undefined || (answers.length === 1 && isItself(last))
    if (unanswered) return refuse(socket, statusOf(error))
    last.once('close', () => {
      // The broken request has had its answer, or was never to be read.
      if (last.req.complete && systemCode(error) !== 'HPE_CLOSED_CONNECTION')
        refuse(socket, statusOf(error))
      else socket.end()
    })
  })

  // RFC 9110 9.3.6; without a listener the connection would end without a word.
  server.on('connect', (_incoming: IncomingMessage, socket: Duplex) => {
    const answer = () => refuse(socket, '405 Method Not Allowed', ['Allow: GET, HEAD'])
    const answers = [...answersOn(socket)]
    const last = answers.at(-1)
    // Node has let go of the connection: nobody else hears of its end, nor tells the answers that wait for their turn.
    socket.on('error', () => socket.destroy())
    socket.once('close', () => {
      for (const outgoing of answers) outgoing.destroy()
    })
    if (last === undefined) answer()
    else last.once('close', answer)
  })
}

/** The body of a request that is not answered yet is what is broken. */
function isItself(outgoing: ServerResponse): boolean {
  return !outgoing.req.complete && !outgoing.headersSent
}

function statusOf(error: Error): string {
  const code = systemCode(error)
  if (code === 'ERR_HTTP_REQUEST_TIMEOUT') return '408 Request Timeout'
  if (code === 'HPE_HEADER_OVERFLOW') {
    return /^[A-Z]+ \S{8192}/.test(brokenHead(error))
      ? '414 URI Too Long'
      : '431 Request Header Fields Too Large'
  }
  // Well formed, but with a method that Node's parser has never heard of; they are case-sensitive (RFC 9110 9.1).
  const stranger = /^[\w!#$%&'*+\-.^`|~]+ \S+ HTTP\/1\.[01]\r\n/
  if (code === 'HPE_INVALID_METHOD' && stranger.test(brokenHead(error)))
    return '501 Not Implemented'
  return '400 Bad Request'
}

/** The request that could not be read, as far as the last packet has it. */
function brokenHead(error: Error): string {
  if (!('rawPacket' in error && Buffer.isBuffer(error.rawPacket))) return ''
  const end = 'bytesParsed' in error ? Number(error.bytesParsed) : 0
  const before = error.rawPacket.lastIndexOf('\r\n\r\n', end)
  return error.rawPacket.toString('latin1', before < 0 ? 0 : before + 4)
}

function refuse(socket: Duplex, status: string, lines: readonly string[] = []): void {
  // What is still on its way out ends it by itself.
  if (!socket.writable) return
  const headers = Object.entries({ ...commonHeaders, ...neverStored }).map(
    ([name, value]) => `${name}: ${value}`,
  )
  const head = [
    `HTTP/1.1 ${status}`,
    `Date: ${new Date().toUTCString()}`,
    'Connection: close',
    'Content-Length: 0',
    ...headers,
    ...lines,
  ]
  socket.on('error', () => socket.destroy())
  socket.end(`${head.join('\r\n')}\r\n\r\n`)
  socket.resume()
  setTimeout(() => socket.destroy(), lingerMs).unref()
}
