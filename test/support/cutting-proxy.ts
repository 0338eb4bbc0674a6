/** A line to a server that breaks, as lines do. */
import { withRelay } from './relay.ts'
import type { Scope } from './scopes.ts'

/**
 * Ends each of the first `times` connections once `bytes` have come from the server; later ones live. It is gone after
 * the test.
 *
 * @returns the port to connect to
 */
export function withCuttingProxy(
  t: Scope,
  port: number,
  { times, bytes }: { times: number; bytes: number },
): Promise<number> {
  let left = times
  return withRelay(t, port, ({ client, origin, end }) => {
    const isCut = left-- > 0
    let room = isCut ? bytes : Number.POSITIVE_INFINITY
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
}
