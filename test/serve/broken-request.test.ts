import assert from 'node:assert/strict'
import { once } from 'node:events'
import { connect } from 'node:net'
import { test } from 'node:test'
import { withFileServer } from '../support/file-server.ts'
import { sendRaw } from '../support/raw-http.ts'

for (const [name, after, status] of [
  ['nonsense', 'nonsense\r\n\r\n', '400 Bad Request'],
  ['CONNECT', 'CONNECT x:1 HTTP/1.1\r\nHost: x:1\r\n\r\n', '405 Method Not Allowed'],
  ['a request without a body to its end', 'POST / HTTP/1.1\r\nHost: x\r\nX', null],
] as const) {
  test(`a download is sent whole although ${name} follows on its connection`, async () => {
    await withFileServer({}, async ({ file, token, listening }) => {
      const contents = 'x'.repeat(20 * 2 ** 20)
      await file('f.mp4', contents)
      const request = `GET /f.mp4?token=${await token()} HTTP/1.1\r\nHost: x\r\n\r\n`
      const socket = connect(listening.port, '127.0.0.1')
      socket.write(request + after)
      if (status === null) socket.end()
      const chunks: Buffer[] = []
      for await (const chunk of socket) chunks.push(chunk)
      const text = Buffer.concat(chunks).toString('latin1')
      const body = text.slice(text.indexOf('\r\n\r\n') + 4)
      assert.ok(body.startsWith(contents))
      const rest = body.slice(contents.length)
      assert.ok(status === null || rest.startsWith(`HTTP/1.1 ${status}\r\n`), rest.slice(0, 80))
    })
  })
}

test('who ends his side of the connection after asking still gets the file', async () => {
  await withFileServer({}, async ({ file, token, listening }) => {
    await file('f.mp4', 20 * 2 ** 20)
    const request = `GET /f.mp4?token=${await token()} HTTP/1.1\r\nHost: x\r\n\r\n`
    const where = { port: listening.port, host: '127.0.0.1' }
    const [answer] = await sendRaw(where, Buffer.from(request.repeat(2)), { half: true })
    assert.equal(answer?.body.length, 20 * 2 ** 20)
  })
})

test('a visitor who leaves after CONNECT leaves no download behind, nor one that waited for its turn', async () => {
  await withFileServer({}, async ({ file, token, listening, log, leaks }) => {
    await file('f.mp4', 256 * 2 ** 20)
    const request = `GET /f.mp4?token=${await token()} HTTP/1.1\r\nHost: x\r\n\r\n`
    const socket = connect(listening.port, '127.0.0.1')
    socket.write(`${request.repeat(3)}CONNECT x:1 HTTP/1.1\r\nHost: x:1\r\n\r\n`)
    await once(socket, 'readable')
    socket.resetAndDestroy()
    const ended = await log.requests(3)
    assert.ok(ended.every(({ fields }) => fields.complete === false))
    assert.deepEqual(await leaks(), [])
  })
})
