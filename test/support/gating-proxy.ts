/** A line to a server on which somebody else can be faster. */
import { once } from 'node:events'
import { type AddressInfo, connect, createServer, type Socket } from 'node:net'
import type { Scope } from './scopes.ts'

/**
 * Holds back each piece that a client sends until `before` has looked at it. It is gone after the test.
 *
 * @returns the port to connect to
 */
export async function withGatingProxy(
  t: Scope,
  port: number,
  before: (sent: string) => Promise<void>,
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
    origin.pipe(client)
    let turn = Promise.resolve()
    client.on('data', (piece) => {
      turn = turn
        .then(() => before(piece.toString('latin1')))
        .then(() => void origin.write(piece), end)
    })
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.after(() => {
    for (const socket of sockets) socket.destroy()
    server.close()
  })
  return (server.address() as AddressInfo).port
}
