/** A TCP relay to a server that cannot be told to misbehave: it goes mute in the middle of an answer and counts bytes. */
import { once } from 'node:events'
import { type AddressInfo, connect, createServer, type Socket } from 'node:net'
import { afterwards, type Scope } from './afterwards.ts'

export interface MuteProxy {
  endpoint: string
  /** Bytes that went from the server to clients so far, headers included. */
  passedBytes(): number
  /** Lets through all that comes from now on. */
  open(): void
}

/** Lets `passBytes` through from the server at `endpoint` to clients, then nothing, and keeps the connections. */
export async function withMuteProxy(
  t: Scope,
  { endpoint, passBytes }: { endpoint: string; passBytes: number },
): Promise<MuteProxy> {
  const { hostname, port } = new URL(endpoint)
  const sockets = new Set<Socket>()
  let passed = 0
  let limit = passBytes
  const server = createServer((client) => {
    const upstream = connect(Number(port), hostname)
    for (const [one, other] of [
      [client, upstream],
      [upstream, client],
    ] as const) {
      sockets.add(one)
      one.on('error', () => other.destroy())
      one.on('close', () => {
        sockets.delete(one)
        other.destroy()
      })
    }
    client.pipe(upstream)
    upstream.on('data', (chunk: Buffer) => {
      const piece = chunk.subarray(0, limit - passed)
      passed += piece.length
      if (!client.write(piece) || passed === limit) upstream.pause()
    })
    client.on('drain', () => {
      if (passed < limit) upstream.resume()
    })
    upstream.on('end', () => client.end())
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  afterwards(t, async () => {
    for (const socket of sockets) socket.destroy()
    server.close()
    await once(server, 'close')
  })
  return {
    endpoint: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    passedBytes: () => passed,
    open: () => {
      limit = Number.POSITIVE_INFINITY
    },
  }
}
