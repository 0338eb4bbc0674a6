import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createServer, get, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { type TestContext, test } from 'node:test'
import { guardBody } from '../../src/storage/s3-body.ts'
import { afterwards } from '../support/afterwards.ts'
import { coded } from '../support/demo-bucket.ts'

/** Both ends of one answer whose body the test writes by hand. */
async function withAnswer(
  t: TestContext,
): Promise<{ source: IncomingMessage; sender: ServerResponse }> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  afterwards(t, async () => {
    server.close()
    server.closeAllConnections()
    await once(server, 'close')
  })
  const asked = get({ port: (server.address() as AddressInfo).port, host: '127.0.0.1' })
  asked.on('error', () => {}) // given up on purpose
  const [, sender] = (await once(server, 'request')) as [IncomingMessage, ServerResponse]
  sender.flushHeaders()
  const [source] = (await once(asked, 'response')) as [IncomingMessage]
  return { source, sender }
}

const rules = { sizeBytes: 6, stallMs: 1000, signal: null, subject: 'the object' }

test('only the time in which somebody waits for bytes counts as a stall', async (t) => {
  const { source, sender } = await withAnswer(t)
  t.mock.timers.enable({ apis: ['setTimeout'] })
  const body = guardBody(source, rules)
  t.mock.timers.tick(5000)
  assert.equal(body.destroyed, false, 'nobody has read yet')

  sender.write('abc')
  await once(body, 'readable')
  t.mock.timers.tick(999)
  assert.equal(body.destroyed, false)

  const ended = assert.rejects(once(body, 'end'), coded('TRANSFER_STALLED'))
  body.resume()
  t.mock.timers.tick(1)
  await ended
  assert.equal(source.destroyed, true)
})

test('each byte begins the stall time-out anew', async (t) => {
  const { source, sender } = await withAnswer(t)
  t.mock.timers.enable({ apis: ['setTimeout'] })
  const body = guardBody(source, rules)
  for (const letter of 'abcdef') {
    const arrived = once(body, 'data')
    sender.write(letter)
    await arrived
    t.mock.timers.tick(900)
  }
  const ended = once(body, 'end')
  sender.end()
  await ended
})

for (const [text, what] of [
  ['abc', 'shorter'],
  ['abcdefghi', 'longer'],
] as const) {
  test(`a body that is ${what} than its headers said is broken`, async (t) => {
    const { source, sender } = await withAnswer(t)
    const body = guardBody(source, rules)
    sender.end(text)
    body.resume()
    await assert.rejects(once(body, 'end'), coded('TRANSFER_BROKEN'))
  })
}

test('a signal that was given before the body began destroys it', async (t) => {
  const { source } = await withAnswer(t)
  const body = guardBody(source, { ...rules, signal: AbortSignal.abort() })
  await assert.rejects(once(body, 'end'), coded('CANCELLED'))
  assert.equal(source.destroyed, true)
})

test('a reader that gives up in the middle leaves no timer behind', async (t) => {
  const { source, sender } = await withAnswer(t)
  const timers = () => process.getActiveResourcesInfo().filter((name) => name === 'Timeout').length
  const before = timers()
  const body = guardBody(source, rules)
  body.once('data', () => body.destroy())
  sender.write('abc')
  await once(body, 'close')
  assert.equal(timers(), before)
})

test('a body that breaks before anybody reads it ends nothing, and its reader is told', async (t) => {
  const { source, sender } = await withAnswer(t)
  const body = guardBody(source, rules)
  const closed = new Promise((resolve) => body.once('close', resolve))
  sender.destroy()
  await closed
  await assert.rejects(body.toArray(), coded('TRANSFER_BROKEN'))
})
