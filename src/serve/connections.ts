import type { RequestListener, Server } from 'node:http'
import type { Socket } from 'node:net'

const refusal = [
  'HTTP/1.1 503 Service Unavailable',
  'Connection: close',
  'Cache-Control: no-store',
  'Retry-After: 5',
  'Content-Length: 0',
].join('\r\n')

/** What a connection did so far. It lives as long as the connection: nothing is allocated for a request. */
interface State {
  asked: boolean
  answers: number
  /** A count of events; the least is the longest ago. */
  since: number
}

/**
 * Holds no more than `max` connections. When one more comes, the one that has been silent longest makes room for it:
 * first of those that never sent a whole request, then of those between two requests. So idle connections, however many,
 * keep nobody out. Only when each has an answer under way is the new one refused, with 503.
 *
 * @returns the listener to put in the place of the given one
 */
export function limitConnections(
  server: Server,
  { max, listener }: { max: number; listener: RequestListener },
): RequestListener {
  const states = new Map<Socket, State>()
  let events = 0

  server.on('connection', (socket: Socket) => {
    if (states.size >= max) {
      const idle = longestIdle(states)
      if (idle === null) return refuse(socket)
      states.delete(idle)
      idle.destroy()
    }
    states.set(socket, { asked: false, answers: 0, since: events++ })
    socket.once('close', () => states.delete(socket))
  })

  return (incoming, outgoing) => {
    const state = states.get(incoming.socket)
    // A connection that was let go is not counted again by what it had sent before.
    if (state !== undefined) {
      state.asked = true
      state.answers += 1
      outgoing.once('close', () => {
        state.answers -= 1
        state.since = events++
      })
    }
    return listener(incoming, outgoing)
  }
}

function longestIdle(states: ReadonlyMap<Socket, State>): Socket | null {
  let found: { socket: Socket; state: State } | null = null
  for (const [socket, state] of states) {
    if (state.answers > 0) continue
    if (found === null || comesBefore(state, found.state)) found = { socket, state }
  }
  return found?.socket ?? null
}

function comesBefore(a: State, b: State): boolean {
  return a.asked === b.asked ? a.since < b.since : !a.asked
}

function refuse(socket: Socket): void {
  socket.on('error', () => socket.destroy())
  socket.end(`${refusal}\r\n\r\n`)
  socket.destroySoon()
}
