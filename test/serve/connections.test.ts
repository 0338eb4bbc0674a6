import assert from 'node:assert/strict'
import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { test } from 'node:test'
import { type ServerScope, withFileServer } from '../support/file-server.ts'

const limits = { maxConnections: 3 }
const health = 'GET /health HTTP/1.1\r\nHost: x\r\n\r\n'

async function open(scope: ServerScope, text: string): Promise<Socket> {
  const socket = connect(scope.listening.port, '127.0.0.1').on('error', () => {})
  await once(socket, 'connect')
  if (text !== '') socket.write(text)
  return socket
}

async function firstLine(socket: Socket): Promise<string> {
  const [bytes] = await once(socket, 'data')
  return String(bytes).split('\r\n')[0] ?? ''
}

test('connections that never ask make room, the oldest first, for those who do', async () => {
  await withFileServer({ limits }, async (scope) => {
    const silent = []
    for (const text of ['', 'GET /', 'GET / HTTP/1.1\r\nHost:'])
      silent.push(await open(scope, text))
    const ended = silent.map((socket) => once(socket.resume(), 'close'))
    for (const before of ended) {
      const visitor = await open(scope, health)
      assert.equal(await firstLine(visitor), 'HTTP/1.1 200 OK')
      await before
    }
  })
})

test('a connection between two requests makes room only when none is silent', async () => {
  await withFileServer({ limits }, async (scope) => {
    const idle = await open(scope, health)
    assert.equal(await firstLine(idle), 'HTTP/1.1 200 OK')
    const silent = [await open(scope, ''), await open(scope, '')]
    const ended = silent.map((socket) => once(socket.resume(), 'close'))
    const idleEnded = once(idle, 'close')
    for (const before of ended) {
      assert.equal(await firstLine(await open(scope, health)), 'HTTP/1.1 200 OK')
      await before
    }
    idle.write(health)
    assert.equal(await firstLine(idle), 'HTTP/1.1 200 OK')
    for (let visitor = 0; visitor < 3; visitor++)
      assert.equal(await firstLine(await open(scope, health)), 'HTTP/1.1 200 OK')
    await idleEnded
  })
})

test('when all connections are busy, one more is told to come again later', async () => {
  await withFileServer({ limits }, async (scope) => {
    await scope.file('large.mp4', 256 * 2 ** 20)
    const request = `GET /large.mp4?token=${await scope.token()} HTTP/1.1\r\nHost: x\r\n\r\n`
    const busy = []
    for (let visitor = 0; visitor < 3; visitor++) {
      const socket = await open(scope, request)
      await once(socket, 'readable')
      busy.push(socket)
    }
    const refused = await open(scope, '')
    const [answer] = await once(refused, 'data')
    assert.match(String(answer), /^HTTP\/1.1 503 .*\r\nRetry-After: 5\r\n/s)
    await once(refused, 'close')
    busy[0]?.destroy()
    await scope.log.requests(1)
    assert.equal(await firstLine(await open(scope, health)), 'HTTP/1.1 200 OK')
    for (const socket of busy) socket.destroy()
  })
})
