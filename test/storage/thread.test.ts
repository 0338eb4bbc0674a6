import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { open } from 'node:fs/promises'
import { test } from 'node:test'
import { promisify } from 'node:util'
import { openThread } from '../../src/storage/thread.ts'
import { digestInThread } from '../../src/storage/threaded-digest.ts'
import { hasCode, withFolder } from '../support/scopes.ts'

/** Says what it is told to say, or ends. */
const program = `
  import { parentPort } from 'node:worker_threads'
  parentPort.on('message', (orders) => {
    if (orders.some(({ say }) => say === 'nothing')) process.exit(1)
    parentPort.postMessage(orders.map(({ order, say }) => ({ order, done: say })))
  })`
const echo = new URL(`data:text/javascript,${encodeURIComponent(program)}`)

test('each who asks a thread is told his own answer', async () => {
  const thread = openThread<{ say: number }>(echo)
  const asked = Array.from({ length: 100 }, (_, say) => say)
  assert.deepEqual(await Promise.all(asked.map((say) => thread.ask({ say }))), asked)
})

test('a thread that ends tells all who wait, and is started anew', async () => {
  const thread = openThread<{ say: string }>(echo)
  const asked = ['nothing', 'a word'].map((say) => thread.ask({ say }))
  for (const one of asked) await assert.rejects(one, hasCode('INTERNAL', /ended/))
  assert.equal(await thread.ask({ say: 'a word' }), 'a word')
})

test('a thread that was started before it is asked is the one that answers', async () => {
  const tellsItsId = `
    import { parentPort, threadId } from 'node:worker_threads'
    parentPort.on('message', ([{ order }]) => parentPort.postMessage([{ order, done: threadId }]))`
  const url = new URL(`data:text/javascript,${encodeURIComponent(tellsItsId)}`)
  const [early, late] = [openThread(url), openThread(url)]
  early.start()
  // Threads are numbered in the order in which they are started.
  const second = Number(await late.ask({}))
  assert.ok(Number(await early.ask({})) < second)
})

test('what the system says of a failure in a thread is told', async (t) => {
  const folder = await open(await withFolder(t))
  const digest = digestInThread({ kind: 'sha256' })
  try {
    await assert.rejects(digest.read(folder.fd, 9), { code: 'EISDIR' })
  } finally {
    digest.drop()
    await folder.close()
  }
})

test('a thread keeps a process alive while somebody waits for it, and no longer', async () => {
  const asking = `
    import { openThread } from '${new URL('../../src/storage/thread.ts', import.meta.url)}'
    const thread = openThread(new URL(${JSON.stringify(echo.href)}))
    console.log(await thread.ask({ say: 'first' }), await thread.ask({ say: 'second' }))
    openThread(new URL(${JSON.stringify(echo.href)})).start()`
  const run = promisify(execFile)(process.execPath, ['--input-type=module', '-e', asking], {
    timeout: 60_000,
  })
  assert.equal((await run).stdout, 'first second\n')
})
