import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { AppError, systemCode } from '../errors.ts'
import type { Log } from '../log.ts'
import { answerBrokenRequests } from './broken-request.ts'
import { type Connections, holdConnections, type Listener } from './connections.ts'
import { giveBackMemory } from './rush.ts'

/** A server that was built but listens nowhere yet. */
export interface HttpServer {
  /** Answers one request; for tests and for other servers to mount. */
  listener: Listener
  /** @throws PORT_TAKEN */
  listen(port: number, host?: string): Promise<Listening>
}

export interface Listening {
  /** The real one, where 0 was asked for. */
  port: number
  /** From now on `/health` says 503, so that load balancers look elsewhere; all else goes on. */
  drain(): void
  /**
   * Drains, takes no more connections, lets answers under way end until the deadline, then cuts them off.
   * A later call with a nearer deadline brings it forward.
   */
  close(deadlineMs: number): Promise<void>
}

/** Longer than cloudflared's 90 s: the side that closes an idle connection first must be the client's. */
const keepAliveMs = 100_000

/** Puts a listener on a socket with limits that fit downloads: none on sending, tight ones on asking. */
export function createHttpServer(options: {
  listener: Listener
  onDrain: () => void
  /** Called once the last connection is gone. */
  onClosed?: () => Promise<void>
  /** Connections at one time. */
  maxConnections?: number
  log: Log
}): HttpServer {
  const { onDrain, onClosed = async () => {}, maxConnections: max = 1024, log } = options
  return {
    listener: options.listener,
    async listen(port, host = '0.0.0.0') {
      const server = createServer({
        keepAliveTimeout: keepAliveMs,
        headersTimeout: 10_000,
        requestTimeout: 30_000,
        connectionsCheckingInterval: 5_000,
        maxHeaderSize: 16 * 1024,
        noDelay: true,
        optimizeEmptyRequests: true,
        // A request without Host is refused by prepareRequest, with headers that keep it out of caches.
        requireHostHeader: false,
      })
      const onCalm = () => {
        giveBackMemory()
        log.debug({}, 'memory was given back after a rush of connections')
      }
      const connections = holdConnections(server, { max, listener: options.listener, onCalm })
      answerBrokenRequests(server, connections)
      // Who has ended his own side still listens (RFC 9293 3.6); Node would end ours before the answer.
      Object.assign(server, { httpAllowHalfOpen: true })
      await bind(server, port, host)
      server.on('error', (error) => log.error({ error }, 'the server had an error'))
      return createListening(server, { onDrain, onClosed, connections })
    },
  }
}

function bind(server: Server, port: number, host: string): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', (cause) => {
      reject(
        new AppError('PORT_TAKEN', `cannot listen on ${host}:${port} (${systemCode(cause)})`, {
          cause,
          hint: 'Another program uses the port, or this user may not; choose another with SERVER_PORT or ADMIN_PORT.',
        }),
      )
    })
    server.listen({ port, host, backlog: 1024 }, () => {
      server.removeAllListeners('error')
      resolve()
    })
  })
}

function createListening(
  server: Server,
  options: { onDrain: () => void; onClosed: () => Promise<void>; connections: Connections },
): Listening {
  const { onDrain, onClosed, connections } = options
  let closed: Promise<void> | null = null
  return {
    port: (server.address() as AddressInfo).port,
    drain: onDrain,
    close(deadlineMs) {
      onDrain()
      connections.drain()
      setTimeout(() => server.closeAllConnections(), deadlineMs).unref()
      closed ??= new Promise<void>((resolve) => server.close(() => resolve())).then(onClosed)
      return closed
    },
  }
}
