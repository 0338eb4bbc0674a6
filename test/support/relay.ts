/** A line to a server of this machine, on which a test does what it likes with what passes. */
import { once } from 'node:events'
import { type AddressInfo, connect, createServer, type Socket } from 'node:net'
import type { Scope } from './scopes.ts'

/** One connection and its other half; `end` breaks both. */
export interface Line {
  client: Socket
  origin: Socket
  end(): void
}

/**
 * Listens for clients of the server at `port` and hands each connection to `join`, which lets the bytes pass. When one
 * half ends, so does the other. It is gone after the test.
 *
 * @returns the port to connect to
 */
export async function withRelay(
  t: Scope,
  port: number,
  join: (line: Line) => void,
): Promise<number> {
  const sockets = new Set<Socket>()
  const server = createServer((client) => {
    const origin = connect(port, '127.0.0.1')
    const end = () => {
      client.destroy()
      origin.destroy()
    }
    for (const socket of [client, origin]) {
      sockets.add(socket)
      socket.on('error', end).on('close', end)
    }
    join({ client, origin, end })
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.after(() => {
    for (const socket of sockets) socket.destroy()
    server.close()
  })
  return (server.address() as AddressInfo).port
}
