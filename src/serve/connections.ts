import type { IncomingMessage, Server, ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import { watchRushes } from './rush.ts'

/** Answers a request. @returns nothing, or what is over when nothing is done for the request any more, although its visitor left */
export type Listener = (incoming: IncomingMessage, outgoing: ServerResponse) => Promise<void> | void

const refusal = [
  'HTTP/1.1 503 Service Unavailable',
  'Connection: close',
  'Cache-Control: no-store',
  'Retry-After: 5',
  'Content-Length: 0',
].join('\r\n')

/** With so many answers under way a connection is not read on from; a packet of more, some thousand requests, is read to its end. */
const mostOnOne = 64
/** Beyond one for each connection that may be there. One that waits for a disk, a place or a check holds some 9 KiB. */
const mostBehindOthers = 4096

/** All that is known of a connection. It lives as long as the connection: nothing is allocated for a request. */
interface Connection {
  readonly socket: Socket
  /** Those that are not ended yet, in the order of their requests. */
  readonly answers: ServerResponse[]
  asked: boolean
  /** A count of events; the least is the longest ago. */
  since: number
  readonly answered: (this: ServerResponse) => void
}

export interface Connections {
  /** The answers that are under way on a connection, in the order of their requests. */
  answersOn(socket: Duplex): readonly ServerResponse[]
  /** From now on a connection ends as soon as it is idle. */
  drain(): void
}

/**
 * Puts a listener on a server that holds no more than `max` connections. When one more comes, the one that has been silent
 * longest makes room for it: first of those that never sent a whole request, then of those between two requests. So idle
 * connections, however many, keep nobody out. Only when each has an answer under way is the new one refused, with 503.
 *
 * Requests that come before the answer to an earlier one wait in memory, and Node reads on until answers have bytes. So
 * such a connection is not read for a while, and is ended when too many wait in all.
 *
 * @param options.onCalm see {@link watchRushes}
 */
export function holdConnections(
  server: Server,
  options: { max: number; listener: Listener; onCalm: () => void },
): Connections {
  const { max, listener } = options
  const connections = new Map<Duplex, Connection>()
  const rushes = watchRushes(connections, options.onCalm)
  let events = 0
  let answering = 0
  // What was begun for a visitor is in memory until it is over, although he left.
  let working = 0
  let draining = false
  const endIdle = () => server.closeIdleConnections()

  const open = (socket: Socket): Connection => {
    const answers: ServerResponse[] = []
    const connection: Connection = {
      socket,
      answers,
      asked: false,
      since: events++,
      answered() {
        const at = answers.indexOf(this)
        if (at >= 0) answers.splice(at, 1)
        answering -= 1
        if (answers.length === mostOnOne - 1) socket.resume()
        connection.since = events++
        // Node ends the connections that are idle when the server closes; those that become idle later are ours to end.
        if (draining) setImmediate(endIdle)
      },
    }
    return connection
  }

  server.on('connection', (socket: Socket) => {
    if (connections.size >= max) {
      const idle = longestIdle(connections.values())
      if (idle === null) return refuse(socket)
      connections.delete(idle)
      idle.destroy()
    }
    const connection = open(socket)
    connections.set(socket, connection)
    // Node has it read on after each answer.
    socket.on('resume', () => readInTurn(connection))
    rushes.came()
    socket.once('close', () => {
      connections.delete(socket)
      rushes.went()
    })
  })

  const isFull = () => Math.max(answering, working) >= max + mostBehindOthers
  const worked = () => {
    working -= 1
  }
  const attend = (incoming: IncomingMessage, outgoing: ServerResponse): void => {
    const connection = connections.get(incoming.socket)
    // A connection that was let go is not counted again by what it had sent before.
    if (connection !== undefined) {
      const isBehind = connection.answers.length > 0
      if (isBehind && isFull()) {
        connection.socket.destroy()
        return
      }
      answering += 1
      connection.asked = true
      connection.answers.push(outgoing)
      outgoing.on('close', connection.answered)
      readInTurn(connection)
    }
    const work = listener(incoming, outgoing)
    if (work === undefined) return
    working += 1
    void work.finally(worked)
  }
  // All that is asked for is known from the head: nobody is told to go on and send a body (RFC 9110 10.1.1).
  for (const event of ['request', 'checkContinue', 'checkExpectation']) server.on(event, attend)

  return {
    answersOn: (socket) => connections.get(socket)?.answers ?? [],
    drain() {
      draining = true
    },
  }
}

function readInTurn({ socket, answers }: Connection): void {
  if (answers.length >= mostOnOne) socket.pause()
}

function longestIdle(connections: Iterable<Connection>): Socket | null {
  let found: Connection | null = null
  for (const connection of connections) {
    if (connection.answers.length > 0) continue
    if (found === null || comesBefore(connection, found)) found = connection
  }
  return found?.socket ?? null
}

function comesBefore(a: Connection, b: Connection): boolean {
  return a.asked === b.asked ? a.since < b.since : !a.asked
}

function refuse(socket: Socket): void {
  socket.on('error', () => socket.destroy())
  socket.end(`${refusal}\r\n\r\n`)
  socket.destroySoon()
}
