import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { once } from 'node:events'
import { closeSync, constants, openSync } from 'node:fs'
import { open } from 'node:fs/promises'
import { connect, type Socket } from 'node:net'
import { join } from 'node:path'
import { test } from 'node:test'
import type { Health } from '../../src/serve/health.ts'
import { createTraffic } from '../../src/serve/traffic.ts'
import { type ServerScope, withFileServer } from '../support/file-server.ts'
import { parseAnswers } from '../support/raw-http.ts'
import { type Scope, withFolder } from '../support/scopes.ts'

const deep = 'GET /health/deep HTTP/1.1\r\nHost: x\r\n\r\n'
/** One read of a socket has up to 64 KiB, and requests of it are no more than this. */
const ofOneRead = 2_000
/** So often is something else asked while they wait: time to read twenty times as many. */
const rounds = 20
const many = ofOneRead * rounds

function send(scope: ServerScope, text: string): Socket {
  const { port } = scope.listening
  const socket = connect(port, '127.0.0.1').on('error', () => {})
  socket.resume().write(text)
  return socket
}

/** @returns the most that were held while others were served as ever */
async function mostHeld(scope: ServerScope, held: () => number): Promise<number> {
  let most = 0
  for (let round = 0; round < rounds; round++) {
    assert.equal((await scope.ask('/health')).status, 200)
    most = Math.max(most, held())
  }
  return most
}

async function leave(...sockets: Socket[]): Promise<void> {
  for (const socket of sockets) {
    socket.destroy()
    if (!socket.closed) await once(socket, 'close')
  }
}

/** As many as libuv's pool has threads wait for a writer of a named pipe: a disk that wakes up. */
async function withHeldDisk(t: Scope, during: () => Promise<void>): Promise<void> {
  const pipe = join(await withFolder(t), 'pipe')
  execFileSync('mkfifo', [pipe])
  const waiting = Array.from({ length: 4 }, () => open(pipe, 'r'))
  try {
    await during()
  } finally {
    const writer = openSync(pipe, constants.O_RDWR | constants.O_NONBLOCK)
    for (const file of await Promise.all(waiting)) await file.close()
    closeSync(writer)
  }
}

/** A check that hangs until it is told not to. */
function hangingHealth(): { health: Health; held: () => number; end: () => void } {
  const hanging = Promise.withResolvers<void>()
  let held = 0
  const health: Health = {
    async deep() {
      held += 1
      await hanging.promise
      held -= 1
      return { ok: false, checks: {}, gauges: {} }
    },
  }
  return { health, held: () => held, end: hanging.resolve }
}

test('no more requests of one connection wait for a place among the streams than came at one time', async () => {
  const traffic = createTraffic()
  const limits = { streamsPerUser: 1, streamsPerClient: 0 }
  await withFileServer({ traffic, limits }, async (scope) => {
    await scope.file('large.mp4', 2 ** 30)
    const one = `GET /large.mp4?token=${await scope.token()} HTTP/1.1\r\nHost: x\r\n\r\n`
    // All 16 answers of the one stream, unread.
    const holder = send(scope, one.repeat(16)).pause()
    while (traffic.underWay < 16) await scope.ask('/health')
    const flood = send(scope, one.repeat(many))
    assert.ok((await mostHeld(scope, () => traffic.underWay)) <= ofOneRead)
    await leave(holder, flood)
  })
})

test('no more requests of one connection wait for a disk that wakes up than came at one time', async (t) => {
  const traffic = createTraffic()
  await withFileServer({ traffic }, async (scope) => {
    await scope.file('f.mp4', 1_000)
    const one = `GET /f.mp4?token=${await scope.token()} HTTP/1.1\r\nHost: x\r\n\r\n`
    await withHeldDisk(t, async () => {
      const flood = send(scope, one.repeat(many))
      assert.ok((await mostHeld(scope, () => traffic.underWay)) <= ofOneRead)
      await leave(flood)
    })
  })
})

test('no more requests of one connection wait for a check of health than came at one time', async () => {
  const { health, held, end } = hangingHealth()
  await withFileServer({ health }, async (scope) => {
    const flood = send(scope, deep.repeat(many))
    assert.ok((await mostHeld(scope, held)) <= ofOneRead)
    await leave(flood)
    end()
  })
})

test('thousands of requests that one client sends at once are answered, each in its turn', async () => {
  const { health, held, end } = hangingHealth()
  await withFileServer({ health }, async (scope) => {
    const client = send(scope, '')
    const chunks: Buffer[] = []
    client.on('data', (chunk) => void chunks.push(chunk))
    client.end(
      `${deep.repeat(10_000)}GET /nothing HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n`,
    )
    await mostHeld(scope, held)
    end()
    await once(client, 'close')
    const answers = parseAnswers(Buffer.concat(chunks))
    assert.equal(answers.length, 10_001)
    assert.equal(answers.at(-1)?.status, 401)
    assert.ok(answers.slice(0, -1).every(({ status }) => status === 503))
  })
})

test('not many more than four thousand requests wait behind others in all, on however many connections', async () => {
  const { health, held, end } = hangingHealth()
  const limits = { maxConnections: 64 }
  await withFileServer({ health, limits }, async (scope) => {
    const flood = () => Array.from({ length: 32 }, () => send(scope, deep.repeat(ofOneRead)))
    const first = flood()
    const most = 4_096 + 2 * 64
    assert.ok((await mostHeld(scope, held)) <= most, String(held()))
    await leave(...first)
    const again = flood()
    assert.ok((await mostHeld(scope, held)) <= most, 'nor when those before have left')
    await leave(...again)
    end()
    while (held() > 0) await scope.ask('/health')
    const later = send(scope, '')
    const chunks: Buffer[] = []
    later.on('data', (chunk) => void chunks.push(chunk))
    later.end(deep.repeat(ofOneRead))
    await once(later, 'close')
    assert.equal(
      parseAnswers(Buffer.concat(chunks)).length,
      ofOneRead,
      'nor is any counted for ever',
    )
  })
})
