/** Every thread that reads files is held up, as by a disk that wakes up or a network share that hangs. */
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import { closeSync, constants, openSync } from 'node:fs'
import { open } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { withFileServer } from '../support/file-server.ts'
import { type Scope, withFolder } from '../support/scopes.ts'

/** https://docs.libuv.org/en/v1.x/threadpool.html */
const threads = Number(process.env.UV_THREADPOOL_SIZE ?? 4)

/** Until `during` is over no file is opened or read that was not asked for before. */
async function withHeldDisk(t: Scope, during: () => Promise<void>): Promise<void> {
  const pipe = join(await withFolder(t), 'pipe')
  execFileSync('mkfifo', [pipe])
  // Each waits for somebody who writes (fifo(7)).
  const waiting = Array.from({ length: threads }, () => open(pipe, 'r'))
  try {
    await during()
  } finally {
    const writer = openSync(pipe, constants.O_RDWR | constants.O_NONBLOCK)
    const opened = await Promise.all(waiting)
    await Promise.all(opened.map((file) => file.close()))
    closeSync(writer)
  }
}

/** Resolves when a server of this process has taken the next request. */
function nextRequest(): Promise<void> {
  const channel = 'http.server.request.start'
  return new Promise((resolve) => {
    const arrived = () => {
      unsubscribe(channel, arrived)
      resolve()
    }
    subscribe(channel, arrived)
  })
}

for (const { what, bytes, isOpen } of [
  { what: 'a file to be opened', bytes: 1000, isOpen: false },
  { what: 'the bytes of a small file', bytes: 1000, isOpen: true },
  { what: 'the first bytes of a large file', bytes: 5_000_000, isOpen: true },
]) {
  test(`who waits five seconds for ${what} is told to come again`, async (t) => {
    await withFileServer({ clock: () => 0, limits: { streamsPerUser: 1 } }, async (scope) => {
      await scope.file('f.mp4', bytes)
      const target = `/f.mp4?token=${await scope.token()}`
      if (isOpen) assert.equal((await scope.ask(target, { method: 'HEAD' })).status, 200)
      t.mock.timers.enable({ apis: ['setTimeout'] })
      const failures = () => scope.log.lines.filter(({ level }) => level === 'error')
      await withHeldDisk(t, async () => {
        const arrived = nextRequest()
        // A connection that goes on, on which a second answer would be one to another request.
        const asked = scope.ask(target, { headers: { connection: 'keep-alive' } })
        await arrived
        t.mock.timers.tick(4_999)
        assert.equal(failures().length, 0)
        t.mock.timers.tick(1)
        assert.equal(failures().length, 1)
        const { status, headers, body } = await asked
        assert.equal(status, 503)
        assert.equal(headers['retry-after'], '5')
        assert.equal(headers['cache-control'], 'no-store')
        assert.equal(JSON.parse(body.toString()).error, 'ARCHIVE_SLOW')
      })
      t.mock.timers.reset()
      const lines = await scope.log.requests(isOpen ? 2 : 1)
      const { fields } = lines.at(-1) ?? {}
      assert.deepEqual([fields?.status, fields?.bytes, fields?.complete], [503, 0, false])
      const again = await scope.ask(target)
      assert.deepEqual([again.status, again.body.length], [200, bytes])
      assert.equal(failures().length, 1)
    })
  })
}
