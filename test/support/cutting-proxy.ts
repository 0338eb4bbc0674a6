/** A line to a server that breaks, as lines do. */
import { once } from 'node:events'
import { type AddressInfo, connect, createServer, type Socket } from 'node:net'
import type { Scope } from './scopes.ts'

/**
 * Ends each of the first `times` connections once `bytes` have come from the server; later ones live. It is gone after
 * the test.
 *
 * @returns the port to connect to
 */
export async function withCuttingProxy(
  t: Scope,
  port: number,
  { times, bytes }: { times: number; bytes: number },
): Promise<number> {
  const sockets = new Set<Socket>()
  let left = times
  const server = createServer((client) => {
    const origin = connect(port, '127.0.0.1')
    const isCut = left-- > 0
    let room = isCut ? bytes : Number.POSITIVE_INFINITY
    const end = () => {
      client.destroy()
      origin.destroy()
    }
    for (const socket of [client, origin]) {
      sockets.add(socket)
      socket.on('error', end).on('close', end)
    }
    client.pipe(origin)
    origin.on('data', (chunk) => {
      const piece = chunk.subarray(0, room)
      room -= piece.length
      if (room === 0) return void client.end(piece, end)
      if (client.write(piece)) return
      origin.pause()
      client.once('drain', () => origin.resume())
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
