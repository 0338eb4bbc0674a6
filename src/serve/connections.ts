import type { RequestListener, Server, ServerResponse } from 'node:http'
import type { Socket } from 'node:net'

const refusal = [
  'HTTP/1.1 503 Service Unavailable',
  'Connection: close',
  'Cache-Control: no-store',
  'Retry-After: 5',
  'Content-Length: 0',
].join('\r\n')

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
  /** In the order in which they came to be so. */
  const silent = new Set<Socket>()
  const between = new Set<Socket>()
  const answering = new Map<Socket, number>()

  const forget = (socket: Socket) => {
    silent.delete(socket)
    between.delete(socket)
    answering.delete(socket)
  }

  server.on('connection', (socket: Socket) => {
    if (silent.size + between.size + answering.size >= max) {
      const [oldest = null] = silent.size > 0 ? silent : between
      if (oldest === null) {
        socket.on('error', () => socket.destroy())
        socket.end(`${refusal}\r\n\r\n`)
        return void socket.destroySoon()
      }
      forget(oldest)
      oldest.destroy()
    }
    silent.add(socket)
    socket.once('close', () => forget(socket))
  })

  const answered = (socket: Socket) => {
    const left = (answering.get(socket) ?? 0) - 1
    if (left > 0) return void answering.set(socket, left)
    answering.delete(socket)
    if (!socket.destroyed) between.add(socket)
  }

  return (incoming, outgoing: ServerResponse) => {
    const { socket } = incoming
    const underWay = answering.get(socket) ?? 0
    // A connection that was let go is not counted again by what it had sent before.
    if (underWay > 0 || silent.delete(socket) || between.delete(socket)) {
      answering.set(socket, underWay + 1)
      outgoing.once('close', () => answered(socket))
    }
    return listener(incoming, outgoing)
  }
}
