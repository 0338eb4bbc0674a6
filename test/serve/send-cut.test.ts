import assert from 'node:assert/strict'
import { once } from 'node:events'
import { open } from 'node:fs/promises'
import { createServer, type ServerResponse } from 'node:http'
import { type AddressInfo, connect } from 'node:net'
import { join } from 'node:path'
import { test } from 'node:test'
import { type Buffers, createBuffers } from '../../src/serve/buffers.ts'
import { pump } from '../../src/serve/pump.ts'
import { createSender, type Hooks, type Sender } from '../../src/serve/send.ts'
import { createSlots, type Slots } from '../../src/slots.ts'
import { sidecarOf } from '../support/file-server.ts'
import { type Scope, withFolder } from '../support/scopes.ts'

const MIB = 2 ** 20

/** One visitor who reads nothing, and a sender of one sparse file to him. */
async function withVisitor(t: Scope, { buffers, bytes }: { buffers: Buffers; bytes: number }) {
  const file = await open(join(await withFolder(t), 'f'), 'w+')
  t.after(() => file.close())
  await file.truncate(bytes)
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.after(() => void server.close())
  const visitor = connect((server.address() as AddressInfo).port, '127.0.0.1')
  t.after(() => visitor.destroy())
  visitor.on('error', () => {})
  visitor.write('GET / HTTP/1.1\r\nHost: x\r\n\r\n')
  const [, response] = (await once(server, 'request')) as [unknown, ServerResponse]
  const sidecar = sidecarOf({ archive_path: 'f', bytes })
  const opened = { file, sidecar, bytes: null, keep: () => {}, release: () => {} }
  const body = { pieces: [{ start: 0, length: bytes }], length: bytes }
  const send = (hooks: Partial<Hooks>, reads?: Slots) => {
    const sender: Sender =
      reads === undefined
        ? createSender(buffers)
        : (delivery, told) => pump(delivery, told, { buffers, reads })
    return sender(
      { file: opened, body, response },
      { writeHead: () => {}, onBytes: () => {}, ...hooks },
    )
  }
  return { visitor, response, send }
}

test('a file whose last chunk the visitor did not wait for counts as cut short', async (t) => {
  const bytes = 64 * MIB
  // All of it is one chunk, of which no kernel takes more than a part.
  const buffers = { ...createBuffers(bytes), take: () => Buffer.alloc(bytes) }
  const { visitor, response, send } = await withVisitor(t, { buffers, bytes })
  let told = 0
  const sent = send({
    writeHead: () => response.writeHead(200, { 'Content-Length': bytes }),
    onBytes: (count) => {
      told = count
    },
  })
  await once(visitor, 'readable')
  visitor.resetAndDestroy()
  assert.equal(await sent, false)
  assert.equal(told, 0)
})

test('a disk that answers after somebody else did costs no memory, and breaks no answer', async (t) => {
  const buffers = createBuffers(64 * MIB)
  const { response, send } = await withVisitor(t, { buffers, bytes: MIB })
  const sent = send({ writeHead: () => assert.fail('there is an answer already') })
  response.writeHead(503)
  assert.equal(await sent, false)
  assert.equal(buffers.inUse, 0)
})

/** @returns whether a turn can be had at once */
function isFree(reads: Slots): boolean {
  let begun = false
  reads.wait(() => {
    begun = true
  })
  return begun
}

test('a visitor who leaves while he waits for his turn to be read for ends at once, and his turn goes on', async (t) => {
  const buffers = createBuffers(64 * MIB)
  const { visitor, response, send } = await withVisitor(t, { buffers, bytes: MIB })
  const reads = createSlots(1)
  reads.wait(() => {})
  const sent = send({ writeHead: () => assert.fail('nothing was read') }, reads)
  visitor.resetAndDestroy()
  await once(response, 'close')
  assert.equal(await sent, false)
  assert.equal(buffers.inUse, 0)
  reads.done()
  assert.ok(isFree(reads))
})

test('a download for which there is no memory fails, and holds nobody else up', async (t) => {
  const buffers = {
    ...createBuffers(64 * MIB),
    take: () => {
      throw new RangeError('Array buffer allocation failed')
    },
  }
  const { send } = await withVisitor(t, { buffers, bytes: MIB })
  const reads = createSlots(1)
  await assert.rejects(send({}, reads), RangeError)
  assert.ok(isFree(reads))
})
