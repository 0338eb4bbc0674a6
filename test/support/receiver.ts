/** A web server on a real socket that keeps what it is sent, as a service for messages would. */
import { createServer, type IncomingHttpHeaders, type Server, type ServerResponse } from 'node:http'
import { createServer as createSecure } from 'node:https'
import type { AddressInfo, Socket } from 'node:net'
import type { Scope } from './scopes.ts'

export interface Received {
  method: string
  /** With the query. */
  path: string
  headers: IncomingHttpHeaders
  body: string
}

export interface Receiver {
  url: string
  port: number
  requests: Received[]
  /** Resolves when it has had so many requests. */
  received(count: number): Promise<readonly Received[]>
  /** How the next requests are answered; 200 and `ok` otherwise. */
  answer: (request: Received, response: ServerResponse) => void
}

export async function withReceiver(
  t: Scope,
  tls: { key: string; cert: string } | null = null,
): Promise<Receiver> {
  const heard = new Set<() => void>()
  const server: Server = tls === null ? createServer() : createSecure(tls)
  const sockets = new Set<Socket>()
  server.on('connection', (socket: Socket) => {
    sockets.add(socket)
    socket.on('close', () => sockets.delete(socket))
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  t.after(async () => {
    for (const socket of sockets) socket.destroy()
    await new Promise((resolve) => server.close(resolve))
  })
  const { port } = server.address() as AddressInfo
  const receiver: Receiver = {
    url: `${tls === null ? 'http' : 'https'}://127.0.0.1:${port}`,
    port,
    requests: [],
    received: (count) =>
      new Promise((resolve) => {
        const look = () => {
          if (receiver.requests.length < count) return
          heard.delete(look)
          resolve(receiver.requests)
        }
        heard.add(look)
        look()
      }),
    answer: (_request, response) => void response.end('ok'),
  }
  server.on('request', async (request, response) => {
    const chunks: Buffer[] = []
    for await (const chunk of request) chunks.push(chunk as Buffer)
    const { method = '', url: path = '', headers } = request
    const received = { method, path, headers, body: Buffer.concat(chunks).toString() }
    receiver.requests.push(received)
    receiver.answer(received, response)
    for (const look of heard) look()
  })
  return receiver
}
