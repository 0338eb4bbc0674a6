/**
 * A long line on loopback: `node bench/sync/wire.ts PORT [MS]`. Every byte takes half a round trip each way, a new connection one
 * more, and each connection has a window, as TCP has. Prints its own port. A process of its own, so that its work is
 * nobody's processor time.
 */
import { once } from 'node:events'
import { type AddressInfo, connect, createServer, type Socket } from 'node:net'

const ROUND_TRIP_MS = Number(process.argv[3] ?? 40)
/** Per connection on its way at once: 25 MiB/s. */
const WINDOW_BYTES = 1 << 20

/** Passes bytes on after half a round trip; what was passed on leaves the window after another half. */
function carry(from: Socket, to: Socket, extraMs: number): void {
  const half = ROUND_TRIP_MS / 2
  let onTheWay = 0
  let first = true
  from.on('data', (chunk) => {
    onTheWay += chunk.length
    if (onTheWay >= WINDOW_BYTES) from.pause()
    const delay = half + (first ? extraMs : 0)
    first = false
    setTimeout(() => {
      if (!to.destroyed) to.write(chunk)
      setTimeout(() => {
        onTheWay -= chunk.length
        if (onTheWay < WINDOW_BYTES) from.resume()
      }, half)
    }, delay)
  })
  from.on('end', () => setTimeout(() => to.end(), half + extraMs))
  from.on('error', () => to.destroy())
  from.on('close', () => setTimeout(() => to.destroy(), half + extraMs + 1))
}

if (import.meta.main) {
  const target = Number(process.argv[2])
  const server = createServer((near) => {
    near.setNoDelay(true)
    const far = connect({ port: target, host: '127.0.0.1', noDelay: true })
    carry(near, far, ROUND_TRIP_MS)
    carry(far, near, 0)
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  process.stdout.write(`${(server.address() as AddressInfo).port}\n`)
}
