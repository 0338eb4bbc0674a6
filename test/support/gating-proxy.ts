/** A line to a server on which somebody else can be faster. */
import { withRelay } from './relay.ts'
import type { Scope } from './scopes.ts'

/**
 * Holds back each piece that a client sends until `before` has looked at it. It is gone after the test.
 *
 * @returns the port to connect to
 */
export function withGatingProxy(
  t: Scope,
  port: number,
  before: (sent: string) => Promise<void>,
): Promise<number> {
  return withRelay(t, port, ({ client, origin, end }) => {
    origin.pipe(client)
    let turn = Promise.resolve()
    client.on('data', (piece) => {
      turn = turn
        .then(() => before(piece.toString('latin1')))
        .then(() => void origin.write(piece), end)
    })
  })
}
