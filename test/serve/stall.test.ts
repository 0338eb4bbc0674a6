import assert from 'node:assert/strict'
import { once } from 'node:events'
import { connect, Socket } from 'node:net'
import { test } from 'node:test'
import { setImmediate as eventLoopTurn } from 'node:timers/promises'
import {
  connectionName,
  createWatchdog,
  type KernelQueues,
  readKernelQueues,
} from '../../src/serve/stall.ts'
import { type ServerScope, withFileServer } from '../support/file-server.ts'

const megabyte = 2 ** 20
const minute = 60_000

/** A watchdog whose time and kernel do as the test says, watching the one connection of `socket`. */
function rig() {
  let now = 0
  let queued: number | null = 1000
  const ended: string[] = []
  const kernelQueues = async (): Promise<KernelQueues> =>
    new Map(queued === null ? [] : [[connectionName(socket), queued]])
  const watchdog = createWatchdog({ clock: () => now, kernelQueues })
  const place = { localPort: 80, remoteAddress: '127.0.0.1', remotePort: 9 }
  const socket = Object.defineProperties(new Socket(), Object.getOwnPropertyDescriptors(place))
  return {
    ended,
    watch: (name: string) => watchdog.watch(socket, () => void ended.push(name)),
    /** So much later, with so much in the kernel's buffer, the watchdog looks. */
    async look(ms: number, bytes: number | null) {
      now += ms
      queued = bytes
      await watchdog.check()
    },
  }
}

test('a download that moves no byte for a minute is ended', async () => {
  const { ended, watch, look } = rig()
  watch('download').moved()
  for (let seconds = 5; seconds < 60; seconds += 5) await look(5_000, 1000)
  assert.deepEqual(ended, [])
  await look(5_000, 1000)
  assert.deepEqual(ended, ['download'])
})

test('where the kernel says nothing, a download that moves no byte for a minute is ended', async () => {
  const { ended, watch, look } = rig()
  watch('download')
  await look(minute - 1, null)
  assert.deepEqual(ended, [])
  await look(1, null)
  assert.deepEqual(ended, ['download'])
})

test('a visitor who takes what the kernel holds for him is alive, however little we can send', async () => {
  const { ended, watch, look } = rig()
  watch('download')
  for (let bytes = 4_000_000; bytes > 0; bytes -= 10_000) await look(30_000, bytes)
  assert.deepEqual(ended, [])
})

test('a machine that slept for an hour ends nobody on waking', async () => {
  const { ended, watch, look } = rig()
  const download = watch('download')
  await look(60 * minute, 1000)
  download.moved()
  await look(5_000, 1000)
  assert.deepEqual(ended, [])
})

test('an answer that waits behind a download on its connection lives as long as that moves', async () => {
  const { ended, watch, look } = rig()
  const first = watch('first')
  watch('second')
  for (let times = 0; times < 10; times++) {
    first.moved()
    await look(30_000, 1000)
  }
  assert.deepEqual(ended, [])
  for (let times = 0; times < 3; times++) await look(30_000, 1000)
  assert.deepEqual(ended, ['first', 'second'])
})

async function download(scope: ServerScope): Promise<Socket> {
  const socket = connect(scope.listening.port, '127.0.0.1')
  socket.write(`GET /large.mp4?token=${await scope.token()} HTTP/1.1\r\nHost: x\r\n\r\n`)
  await once(socket, 'readable')
  return socket
}

test('a visitor who stands still is cut off after a minute, and his file is closed', async () => {
  let now = 0
  await withFileServer({ clock: () => now }, async (scope) => {
    await scope.file('large.mp4', 256 * megabyte)
    const visitors = await Promise.all(Array.from({ length: 20 }, () => download(scope)))
    const ended = scope.log.requests(visitors.length)
    // Until they have all filled the kernel's buffers, each look finds them on the move.
    while (scope.log.lines.filter(({ message }) => message === 'request').length < 20) {
      now += minute
      await scope.checkStalls()
      await eventLoopTurn()
    }
    for (const { fields } of await ended) {
      assert.deepEqual([fields.complete, fields.reason], [false, 'stalled'])
    }
    assert.deepEqual(await scope.leaks(), [])
    for (const socket of visitors) socket.destroy()
  })
})

test('who asks without a token, for ever and without reading, is cut off as well', async () => {
  let now = 0
  await withFileServer({ clock: () => now }, async ({ listening, checkStalls }) => {
    const visitor = connect(listening.port, '127.0.0.1')
    visitor.on('error', () => {})
    // More than the buffers of both sides take.
    visitor.write('GET /f.mp4 HTTP/1.1\r\nHost: x\r\n\r\n'.repeat(500_000))
    while (!visitor.closed) {
      now += minute
      await checkStalls()
      await eventLoopTurn()
    }
  })
})

for (const [who, endsHisSide] of [
  ['a visitor', false],
  ['a visitor who ended his side', true],
] as const) {
  test(`the kernel tells what ${who} has not taken yet`, async () => {
    await withFileServer({}, async (scope) => {
      await scope.file('large.mp4', 256 * megabyte)
      const socket = await download(scope)
      if (endsHisSide) await new Promise<void>((resolve) => socket.end(resolve))
      const { localPort = 0 } = socket
      const name = `${scope.listening.port} 127.0.0.1 ${localPort}`
      const queued = async () => (await readKernelQueues()).get(name) ?? 0
      while ((await queued()) === 0);
      const before = await queued()
      socket.resume()
      while ((await queued()) === before);
      socket.destroy()
    })
  })
}
