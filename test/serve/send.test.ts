import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { truncate } from 'node:fs/promises'
import { get, type IncomingMessage } from 'node:http'
import { connect } from 'node:net'
import { join } from 'node:path'
import { test } from 'node:test'
import { setImmediate as eventLoopTurn } from 'node:timers/promises'
import { openFilesIn, type ServerScope, withFileServer } from '../support/file-server.ts'

const megabyte = 2 ** 20

/** Asks for `path` and returns once the headers are there; nothing of the body is read. */
async function startDownload(scope: ServerScope, path: string): Promise<IncomingMessage> {
  const request = get({
    port: scope.listening.port,
    host: '127.0.0.1',
    path: `/${path}?token=${await scope.token()}`,
    agent: false,
  })
  const [response] = await once(request, 'response')
  // What the tests break off on purpose is no surprise.
  response.on('error', () => {})
  return response
}

function memoryUsed(): number {
  const { heapUsed, external } = process.memoryUsage()
  return heapUsed + external
}

test('a file of any size around the size of a chunk arrives byte for byte', async () => {
  await withFileServer({}, async ({ file, token, ask }) => {
    const chunk = 128 * 1024
    for (const size of [1, chunk - 1, chunk, chunk + 1, 2 * chunk, 2 * chunk + 1, 5 * chunk + 3]) {
      const contents = randomBytes(size)
      await file(`${size}.mp4`, contents)
      const { body } = await ask(`/${size}.mp4?token=${await token()}`)
      assert.ok(body.equals(contents), `${size} bytes`)
    }
  })
})

test('many downloads at once each get their own bytes', async () => {
  await withFileServer({}, async ({ file, token, ask }) => {
    const contents = Array.from({ length: 8 }, () => randomBytes(megabyte + 1))
    for (const [index, bytes] of contents.entries()) await file(`${index}.mp4`, bytes)
    const query = `?token=${await token()}`
    const answers = await Promise.all(
      Array.from({ length: 40 }, (_, index) => ask(`/${index % 8}.mp4${query}`)),
    )
    for (const [index, { body }] of answers.entries()) {
      assert.ok(contents[index % 8]?.equals(body))
    }
  })
})

test('a visitor who leaves early leaves no descriptor open', async () => {
  await withFileServer({}, async (scope) => {
    await scope.file('large.mp4', 1024 * megabyte)
    for (let visitor = 0; visitor < 20; visitor++) {
      const response = await startDownload(scope, 'large.mp4')
      if (visitor % 2 === 0) await once(response, 'readable')
      response.destroy()
    }
    const ended = await scope.log.requests(20)
    for (const { fields } of ended) {
      assert.equal(fields.complete, false)
      assert.ok(Number(fields.bytes) < 1024 * megabyte)
    }
    assert.deepEqual(await scope.leaks(), [])
    assert.equal(scope.log.lines.filter(({ level }) => level === 'error').length, 0)
  })
})

test('visitors who read nothing cost little memory and hold nobody up', async () => {
  await withFileServer({}, async (scope) => {
    const size = 256 * megabyte
    await scope.file('large.mp4', size)
    const request = `GET /large.mp4?token=${await scope.token()} HTTP/1.1\r\nHost: x\r\n\r\n`
    const before = memoryUsed()
    const idle = Array.from({ length: 50 }, () => connect(scope.listening.port, '127.0.0.1'))
    for (const socket of idle) {
      socket.write(request)
      await once(socket, 'readable')
    }
    // The fast visitor reads into one buffer, so that what grows is the server's.
    let received = 0
    let most = 0
    const fast = connect({
      port: scope.listening.port,
      host: '127.0.0.1',
      onread: {
        buffer: Buffer.alloc(64 * 1024),
        callback: (bytes) => {
          received += bytes
          most = Math.max(most, memoryUsed() - before)
          return true
        },
      },
    })
    fast.write(request.replace('\r\n\r\n', '\r\nConnection: close\r\n\r\n'))
    await once(fast, 'close')
    assert.ok(received > size && received < size + 4096)
    assert.ok(most < 64 * megabyte, `${Math.round(most / megabyte)} MiB`)
    for (const socket of idle) socket.destroy()
    const ended = await scope.log.requests(idle.length + 1)
    const cutShort = ended.filter(({ fields }) => fields.complete === false)
    assert.equal(cutShort.length, idle.length)
    assert.deepEqual(await scope.leaks(), [])
  })
})

test('a file that becomes shorter while it is sent breaks the connection, never the promise', async () => {
  await withFileServer({}, async (scope) => {
    await scope.file('large.mp4', 256 * megabyte)
    const response = await startDownload(scope, 'large.mp4')
    await truncate(join(scope.archiveDir, 'large.mp4'), megabyte)
    let received = 0
    await assert.rejects(async () => {
      for await (const chunk of response) received += chunk.length
    })
    assert.ok(received < 256 * megabyte)
    const [line] = await scope.log.requests(1)
    assert.equal(line?.fields.complete, false)
    assert.ok(scope.log.lines.some(({ level }) => level === 'error'))
    assert.deepEqual(await scope.leaks(), [])
  })
})

test('requests sent in one go are answered in order on one connection', async () => {
  await withFileServer({}, async ({ file, token, listening }) => {
    const contents = randomBytes(300_000).toString('hex')
    await file('f.mp4', contents)
    const request = `GET /f.mp4?token=${await token()} HTTP/1.1\r\nHost: x\r\n\r\n`
    const last = request.replace('\r\n\r\n', '\r\nConnection: close\r\n\r\n')
    const socket = connect(listening.port, '127.0.0.1')
    socket.write(request.repeat(19) + last)
    let received = ''
    socket.setEncoding('latin1').on('data', (chunk) => {
      received += chunk
    })
    await once(socket, 'close')
    assert.equal(received.split(contents).length, 21)
  })
})

test('a connection that ends with answers still queued leaves no descriptor open', async () => {
  await withFileServer({}, async ({ file, token, ask, listening, log, archiveDir, leaks }) => {
    const names = Array.from({ length: 15 }, (_, index) => `large-${index}.mp4`)
    for (const name of names) await file(name, 1024 * megabyte)
    const query = `?token=${await token()}`
    const socket = connect(listening.port, '127.0.0.1')
    for (const name of names) socket.write(`GET /${name}${query} HTTP/1.1\r\nHost: x\r\n\r\n`)
    const opened = async () => (await openFilesIn(archiveDir)).filter((name) => /mp4$/.test(name))
    while ((await opened()).length < 15) await eventLoopTurn()
    // One more download, asked for later and finished, means that those before it have begun to write.
    await ask(`/${names[0]}${query}`, { headers: { range: 'bytes=0-999999' } })
    socket.destroy()
    const ended = await log.requests(16)
    assert.equal(ended.filter(({ fields }) => fields.complete === false).length, 15)
    assert.deepEqual(await leaks(), [])
  })
})

test('a connection that ends before its later files are found leaves no descriptor open', async () => {
  await withFileServer({}, async ({ file, token, listening, log, leaks }) => {
    await file('large.mp4', 1024 * megabyte)
    const request = `GET /large.mp4?token=${await token()} HTTP/1.1\r\nHost: x\r\n\r\n`
    for (let visitor = 1; visitor <= 10; visitor++) {
      const socket = connect(listening.port, '127.0.0.1')
      socket.write(request.repeat(15))
      await once(socket, 'data')
      socket.destroy()
      const ended = await log.requests(15 * visitor)
      assert.ok(ended.every(({ fields }) => fields.complete === false))
    }
    assert.deepEqual(await leaks(), [])
  })
})
