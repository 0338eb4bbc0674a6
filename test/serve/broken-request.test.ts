import assert from 'node:assert/strict'
import { once } from 'node:events'
import { connect } from 'node:net'
import { test } from 'node:test'
import { withFileServer } from '../support/file-server.ts'

async function exchange(port: number, bytes: string): Promise<string> {
  const socket = connect(port, '127.0.0.1')
  socket.write(bytes, 'latin1')
  let received = ''
  socket.setEncoding('latin1').on('data', (chunk) => {
    received += chunk
  })
  await once(socket, 'close')
  return received
}

for (const [name, after, status] of [
  ['nonsense', 'nonsense\r\n\r\n', '400 Bad Request'],
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

test('what follows the last request of a connection is not read', async () => {
  await withFileServer({}, async ({ listening }) => {
    const answer = await exchange(
      listening.port,
      'GET /health HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\nnonsense\r\n\r\n',
    )
    assert.match(answer, /^HTTP\/1\.1 200 /)
    assert.doesNotMatch(answer, / 400 /)
  })
})

test('a refusal of what is not HTTP has a date and is kept by no cache', async () => {
  await withFileServer({}, async ({ listening }) => {
    const answer = await exchange(listening.port, 'nonsense\r\n\r\n')
    assert.match(answer, /^HTTP\/1\.1 400 Bad Request\r\n/)
    for (const line of ['Date: .* GMT', 'Connection: close', 'Cache-Control: no-store'])
      assert.match(answer, new RegExp(`\r\n${line}\r\n`))
  })
})
