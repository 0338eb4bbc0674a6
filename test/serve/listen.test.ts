import assert from 'node:assert/strict'
import { once } from 'node:events'
import { Agent, get, type IncomingMessage } from 'node:http'
import { connect } from 'node:net'
import { test } from 'node:test'
import { isAppError } from '../../src/errors.ts'
import { createAdminServer } from '../../src/serve/app.ts'
import { createHealth } from '../../src/serve/health.ts'
import { captureLog, withFileServer } from '../support/file-server.ts'

const health = createHealth({ checks: {} })
const size = 64 * 2 ** 20

async function startDownload(port: number, path: string, agent?: Agent): Promise<IncomingMessage> {
  const request = get({ port, host: '127.0.0.1', path, agent: agent ?? false })
  const [response] = await once(request, 'response')
  return response
}

async function countBytes(response: IncomingMessage): Promise<number> {
  let bytes = 0
  for await (const chunk of response) bytes += chunk.length
  return bytes
}

test('a port that is taken is told by its number', async () => {
  const first = await createAdminServer({ health, log: captureLog() }).listen(0, '127.0.0.1')
  try {
    const second = createAdminServer({ health, log: captureLog() })
    await assert.rejects(second.listen(first.port, '127.0.0.1'), (error) => {
      assert.ok(isAppError(error, 'PORT_TAKEN'))
      assert.match(error.message, new RegExp(`:${first.port} `))
      return true
    })
  } finally {
    await first.close(0)
  }
})

test('a draining server says so and still serves', async () => {
  await withFileServer({}, async ({ file, token, ask, listening }) => {
    await file('f.mp4', 'bytes')
    listening.drain()
    for (const page of ['/health', '/health/deep']) {
      const { status, body } = await ask(page)
      assert.deepEqual([status, body.toString()], [503, '{"status":"draining"}\n'])
    }
    assert.equal((await ask(`/f.mp4?token=${await token()}`)).status, 200)
  })
})

test('a closing server finishes its downloads and takes no new connection', async () => {
  await withFileServer({}, async ({ file, token, listening }) => {
    await file('f.mp4', size)
    const agent = new Agent({ keepAlive: true })
    const response = await startDownload(listening.port, `/f.mp4?token=${await token()}`, agent)
    const closed = listening.close(60_000)
    const refused = connect(listening.port, '127.0.0.1')
    const [error] = await once(refused, 'error')
    assert.equal(error.code, 'ECONNREFUSED')
    assert.equal(await countBytes(response), size)
    await closed
    agent.destroy()
  })
})

test('a download that outlasts the deadline is cut off', async () => {
  await withFileServer({}, async ({ file, token, listening, log }) => {
    await file('f.mp4', size)
    const response = await startDownload(listening.port, `/f.mp4?token=${await token()}`)
    response.pause()
    await listening.close(10)
    const [line] = await log.requests(1)
    assert.equal(line?.fields.complete, false)
    await assert.rejects(countBytes(response))
  })
})

test('a second call brings the deadline forward', async () => {
  await withFileServer({}, async ({ file, token, listening }) => {
    await file('f.mp4', size)
    const response = await startDownload(listening.port, `/f.mp4?token=${await token()}`)
    response.on('error', () => {}).pause()
    const patient = listening.close(600_000)
    await Promise.all([patient, listening.close(0)])
    response.destroy()
  })
})

test('an idle connection does not keep a server from closing', async () => {
  await withFileServer({}, async ({ listening, log }) => {
    const socket = connect(listening.port, '127.0.0.1')
    socket.write('GET /health HTTP/1.1\r\nHost: x\r\n\r\n')
    await log.requests(1)
    await once(socket, 'data')
    const ended = once(socket, 'close')
    await listening.close(600_000)
    socket.destroy()
    await ended
  })
})

test('an idle connection is kept longer than the tunnel keeps its own', async () => {
  await withFileServer({}, async ({ ask }) => {
    const { headers } = await ask('/health', { headers: { connection: 'keep-alive' } })
    const seconds = Number(/timeout=(\d+)/.exec(String(headers['keep-alive']))?.[1])
    assert.ok(seconds > 90)
  })
})

for (const [name, text, status] of [
  ['is no HTTP', 'nonsense\r\n\r\n', 400],
  ['has no Host', 'GET /health HTTP/1.1\r\n\r\n', 400],
  [
    'has headers beyond 16 KiB',
    `GET / HTTP/1.1\r\nHost: x\r\nX: ${'x'.repeat(20_000)}\r\n\r\n`,
    431,
  ],
] as const) {
  test(`a request that ${name} is answered ${status} and its connection ended`, async () => {
    await withFileServer({}, async ({ listening }) => {
      const socket = connect(listening.port, '127.0.0.1')
      socket.end(text)
      let received = ''
      socket.setEncoding('latin1').on('data', (chunk) => {
        received += chunk
      })
      await once(socket, 'close')
      assert.match(received, new RegExp(`^HTTP/1.1 ${status} `))
    })
  })
}
