import { connect as connectTcp, isIP, type Socket } from 'node:net'
import { connect as connectTls } from 'node:tls'
import type { Body } from './bucket.ts'
import { type BodyRules, type GuardedBody, guardBody } from './guarded-body.ts'
import { type AnswerHead, HEAD_MAX_BYTES, parseHead } from './http-head.ts'
import { createReads, type Reads, type Receive } from './socket-reads.ts'

/** Where connections go. */
export interface Peer {
  protocol: 'http:' | 'https:'
  hostname: string
  port: number
}

/** A TLS session that was agreed on before saves the next connection a round trip. */
export interface Sessions {
  session: Buffer | undefined
  keepSession: (session: Buffer) => void
}

/** Either `open` or `drop` is called, once. */
export interface Answer extends AnswerHead {
  /** The body; `rules.sizeBytes` is its length, which is not null. */
  open(rules: BodyRules): Body
  drop(): void
}

/** One connection to a server; carries one question after the other. */
export interface Connection {
  /**
   * Sends a request without a body, and reads the head of the answer.
   *
   * @param request from the request line to the empty line
   * @param onFree told once the answer is at its end, and whether the connection can carry the next question
   * @returns null for an answer that is not understood; the connection is closed then
   * @throws what the socket failed with; the signal's reason
   */
  ask(
    request: string,
    signal: AbortSignal,
    onFree: (isReusable: boolean) => void,
  ): Promise<Answer | null>
  /** Open, and silent as it should be between two questions. */
  readonly isIdle: boolean
  close(): void
}

export const CONNECT_TIMEOUT_MS = 10_000
/** Shorter than any store keeps an idle connection, so that few requests meet one that is just being closed. */
export const IDLE_MS = 4_000
const HEAD_END = Buffer.from('\r\n\r\n')
const NOTHING = Buffer.alloc(0)

/**
 * Opens a connection whose reads cost neither memory nor streams: Node reads every 64 KiB of an answer into new memory,
 * which took half of the processor time of a download.
 */
export function openConnection(peer: Peer, sessions: Sessions): Connection {
  let receive: Receive = () => false
  let lent: () => Uint8Array | undefined = () => undefined
  let onBreak: (error: Error) => void = () => {}
  let isIdle = true
  let failure: Error | null = null
  const told = { receive: (chunk: Uint8Array) => receive(chunk), lent: () => lent() }
  const reads = createReads(told, { isSecure: peer.protocol === 'https:' })
  const socket = dial(peer, sessions, reads)

  /** Between two questions nobody has anything to say. */
  const rest = () => {
    isIdle = true
    receive = () => {
      socket.destroy()
      return false
    }
    onBreak = () => {}
    socket.setTimeout(IDLE_MS)
    socket.unref()
  }
  socket.on('timeout', () => socket.destroy())
  socket.on('error', (error) => {
    failure = error
  })
  const breakOff = () =>
    onBreak(failure ?? Object.assign(new Error('socket hang up'), { code: 'ECONNRESET' }))
  socket.on('close', () => {
    isIdle = false
    // What came before is read first.
    if (!reads.hasMore) breakOff()
  })
  const goOn = () => {
    if (!reads.goOn()) return
    if (socket.closed) breakOff()
    else socket.resume()
  }

  const ask: Connection['ask'] = (request, signal, onFree) => {
    isIdle = false
    socket.ref()
    socket.setTimeout(0)
    const done = Promise.withResolvers<Answer | null>()
    const onAbort = () => socket.destroy(signal.reason as Error)
    const stop = () => {
      signal.removeEventListener('abort', onAbort)
      receive = () => false
    }
    let head: Buffer = NOTHING
    receive = (chunk) => {
      const before = head.length
      head = before === 0 ? asBuffer(chunk) : Buffer.concat([head, chunk])
      const at = head.indexOf(HEAD_END, Math.max(0, before - HEAD_END.length))
      if (at < 0 && head.length <= HEAD_MAX_BYTES) {
        // The next bytes come into the same memory.
        head = Buffer.from(head)
        return true
      }
      stop()
      const isWhole = at >= 0 && at <= HEAD_MAX_BYTES
      const parsed = isWhole ? parseHead(head.subarray(0, at)) : null
      if (parsed === null) {
        socket.destroy()
        onFree(false)
        onBreak = () => {}
        done.resolve(null)
        return false
      }
      reads.putBack(head.subarray(at + HEAD_END.length))
      // The length that an answer to HEAD names is that of what it leaves out (RFC 9112 section 6.3).
      const isEmpty = request.startsWith('HEAD ') && parsed.lengthBytes !== null
      done.resolve(answerOn(isEmpty ? { ...parsed, lengthBytes: 0 } : parsed, onFree))
      return false
    }
    onBreak = (error) => {
      stop()
      done.reject(error)
      onFree(false)
    }
    signal.addEventListener('abort', onAbort, { once: true })
    if (signal.aborted) onAbort()
    else socket.write(request, 'latin1')
    return done.promise
  }

  /** The body of an answer whose head has been read. */
  const answerOn = (head: AnswerHead, onFree: (isReusable: boolean) => void): Answer => {
    let left = head.lengthBytes ?? 0
    let body: GuardedBody | null = null
    let isReusable = head.staysOpen && head.lengthBytes !== null
    let isFree = false
    const free = () => {
      if (isFree) return
      isFree = true
      isReusable &&= !reads.hasMore
      onBreak = () => {}
      lent = () => undefined
      if (isReusable) rest()
      else socket.destroy()
      onFree(isReusable)
      if (isReusable) goOn()
    }
    const destroy = () => {
      isReusable = false
      free()
    }
    lent = () => body?.room()
    onBreak = () => {
      body?.broke()
      destroy()
    }
    receive = (chunk) => {
      // An answer that is longer than it says is not to be believed in anything else.
      if (chunk.length > left) {
        onBreak(new Error('more than its length'))
        return false
      }
      left -= chunk.length
      if (left === 0) lent = () => undefined
      const goesOn = body?.data(chunk) === true
      if (left > 0) return goesOn
      body?.end()
      // By now the next question may have been sent.
      return isFree && isReusable
    }
    const resume = () => {
      if (left === 0 && !reads.hasMore) body?.end()
      else goOn()
    }
    return {
      ...head,
      open(rules) {
        body = guardBody({ resume, destroy, release: free }, rules)
        return body
      },
      drop: () => (left === 0 && !reads.hasMore ? free() : destroy()),
    }
  }
  return {
    ask,
    get isIdle() {
      return isIdle && !socket.destroyed
    },
    close: () => socket.destroy(),
  }
}

function asBuffer({ buffer, byteOffset, byteLength }: Uint8Array): Buffer {
  return Buffer.from(buffer, byteOffset, byteLength)
}

function dial(
  { protocol, hostname, port }: Peer,
  { session, keepSession }: Sessions,
  { onread }: Pick<Reads, 'onread'>,
): Socket {
  const at = { host: hostname, port, onread }
  const isSecure = protocol === 'https:'
  const socket = isSecure
    ? connectTls({
        ...at,
        ...(isIP(hostname) === 0 && { servername: hostname }),
        ...(session && { session }),
        ALPNProtocols: ['http/1.1'],
      }).on('session', keepSession)
    : connectTcp(at)
  socket.setNoDelay(true)
  const late = () => socket.destroy(new DOMException('no connection', 'TimeoutError'))
  const timer = setTimeout(late, CONNECT_TIMEOUT_MS)
  const stop = () => clearTimeout(timer)
  socket.once(isSecure ? 'secureConnect' : 'connect', stop)
  socket.once('close', stop)
  return socket
}
