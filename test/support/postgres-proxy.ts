/** Stands between the product and PostgreSQL: reads what is sent, and can go silent as a cut network does. */
import { once } from 'node:events'
import { connect, createServer, type Socket } from 'node:net'
import type { Scope } from './scopes.ts'

/** A message to the server: its type letter (none for the first of a connection) and the rest. */
export interface Sent {
  type: string
  body: Buffer
}

export interface PostgresProxy {
  port: number
  /** What clients have sent, each connection's messages in order. */
  sent: Sent[][]
  /** No byte passes any more, in either direction, on the connections that are open; nobody is told. */
  mute(): void
  /** How many clients are connected. */
  open(): number
  /** Resolves when nobody is connected any more. */
  empty(): Promise<void>
}

export async function withPostgresProxy(t: Scope, to: { port: number }): Promise<PostgresProxy> {
  const sent: Sent[][] = []
  const pairs = new Set<{ client: Socket; server: Socket }>()
  const proxy = createServer((client) => {
    const server = connect(to.port, '127.0.0.1')
    const pair = { client, server }
    pairs.add(pair)
    const messages: Sent[] = []
    sent.push(messages)
    readMessages(client, messages)
    client.pipe(server).pipe(client)
    // A killed connection is what some tests are about; whoever waits for its answer says so.
    for (const socket of [client, server]) socket.on('error', () => {})
    client.once('close', () => {
      server.destroy()
      pairs.delete(pair)
      proxy.emit('gone')
    })
    server.once('close', () => client.destroy())
  })
  proxy.listen(0, '127.0.0.1')
  await once(proxy, 'listening')
  t.after(() => {
    for (const { client } of pairs) client.destroy()
    proxy.close()
  })
  const address = proxy.address()
  if (typeof address !== 'object' || !address) throw new Error('the proxy has no port')
  return {
    port: address.port,
    sent,
    mute() {
      for (const { client, server } of pairs) {
        client.unpipe(server)
        server.unpipe(client)
        // Read on, or the end of a connection would not be noticed.
        client.resume()
        server.resume()
      }
    },
    open: () => pairs.size,
    async empty() {
      while (pairs.size > 0) await once(proxy, 'gone')
    },
  }
}

function readMessages(client: Socket, messages: Sent[]): void {
  let unread = Buffer.alloc(0)
  client.on('data', (bytes: Buffer) => {
    unread = Buffer.concat([unread, bytes])
    for (;;) {
      const typed = messages.length > 0 ? 1 : 0
      if (unread.length < typed + 4) return
      const end = typed + unread.readInt32BE(typed)
      if (unread.length < end) return
      const type = unread.toString('latin1', 0, typed)
      messages.push({ type, body: Buffer.from(unread.subarray(typed + 4, end)) })
      unread = unread.subarray(end)
    }
  })
}
