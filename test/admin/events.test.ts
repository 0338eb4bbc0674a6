import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createServer, get, type IncomingMessage } from 'node:http'
import type { AddressInfo } from 'node:net'
import { test } from 'node:test'
import { createEventStreams } from '../../src/admin/events.ts'
import type { Pulse, PulseSource } from '../../src/admin/pulse.ts'
import { AppError, toAppError } from '../../src/errors.ts'
import { afterwards, type Scope } from '../support/afterwards.ts'

/** Streams of a pulse that beats when it is told to. */
async function withStreams(t: Scope, { broken = false } = {}) {
  const listeners = new Set<(pulse: Pulse) => void>()
  const count = { listening: 0, shown: 0 }
  let told = 'at first'
  const pulseOf = (): Pulse => ({ beat: null, problem: new AppError('DB_UNAVAILABLE', told) })
  const source: PulseSource = {
    now: async () => pulseOf(),
    listen(hear) {
      count.listening += 1
      listeners.add(hear)
      return () => listeners.delete(hear)
    },
  }
  const streams = createEventStreams(source, async (pulse) => {
    count.shown += 1
    if (broken) throw new Error('a fault of ours')
    const now = new Date(0)
    return { pulse, transfers: new Map(), nowMs: 0, approved: 'approved', now }
  })
  const session = { isOver: false }
  const server = createServer((_incoming, outgoing) => {
    const opened = streams.open({ outgoing, moved() {}, isOver: () => session.isOver }, {})
    opened.catch((error: unknown) => outgoing.writeHead(toAppError(error).status).end())
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  afterwards(t, async () => {
    server.closeAllConnections()
    await new Promise((resolve) => server.close(resolve))
  })
  const { port } = server.address() as AddressInfo
  const view = async (): Promise<Viewer> => {
    const [answer] = (await once(get({ host: '127.0.0.1', port }), 'response')) as [IncomingMessage]
    return viewerOf(answer)
  }
  const beat = (text: string) => {
    told = text
    for (const hear of listeners) hear(pulseOf())
  }
  return { view, beat, count, listeners, streams, session }
}

interface Viewer {
  answer: IncomingMessage
  heard(text: string): Promise<void>
  /** How often something like it came. */
  times(pattern: RegExp): number
}

function viewerOf(answer: IncomingMessage): Viewer {
  let text = ''
  answer.setEncoding('utf8').on('data', (chunk: string) => {
    text += chunk
  })
  return {
    answer,
    async heard(wanted) {
      while (!text.includes(wanted)) await once(answer, 'data')
    },
    times: (pattern) => text.match(pattern)?.length ?? 0,
  }
}

test('however many look, the database is listened to once and each change is made once', async (t) => {
  const { view, beat, count, listeners } = await withStreams(t)
  const first = await view()
  await first.heard('at first')
  const viewers = [first, ...(await Promise.all([view(), view(), view()]))]
  for (const viewer of viewers) await viewer.heard('at first')
  assert.deepEqual([count.listening, listeners.size, count.shown], [1, 1, 1])
  beat('and then')
  for (const viewer of viewers) await viewer.heard('and then')
  assert.equal(count.shown, 2)
  beat('and then')
  beat('at last')
  for (const viewer of viewers) {
    await viewer.heard('at last')
    assert.equal(viewer.times(/"name":"state"/g), 3, 'what is the same is not sent again')
    assert.equal(viewer.times(/"name":"runs"/g), 1)
  }
})

test('a page that cannot be made ends the stream, which is asked for again', async (t) => {
  const { view, count } = await withStreams(t, { broken: true })
  const { answer } = await view()
  assert.equal(answer.statusCode, 200)
  await once(answer, 'end')
  assert.equal(count.shown, 1)
})

test('no more look than can be served, and nobody listens once all are gone', async (t) => {
  const { view, listeners, streams } = await withStreams(t)
  const viewers = await Promise.all(Array.from({ length: 50 }, view))
  assert.deepEqual(new Set(viewers.map(({ answer }) => answer.statusCode)), new Set([200]))
  assert.equal((await view()).answer.statusCode, 429)
  const ended = viewers.map(({ answer }) => once(answer, 'end'))
  streams.close()
  await Promise.all(ended)
  const again = await view()
  assert.equal(again.answer.statusCode, 200)
  assert.equal(listeners.size, 1)
})

for (const news of ['a secret', 'at first'])
  test(`a stream ends with its session and tells nothing more, not even ${news}`, async (t) => {
    const { view, beat, listeners, session } = await withStreams(t)
    const viewer = await view()
    await viewer.heard('at first')
    const told = viewer.times(/event: part/g)
    const ended = once(viewer.answer, 'end')
    session.isOver = true
    beat(news)
    await ended
    assert.equal(viewer.times(/event: part/g), told)
    assert.equal(listeners.size, 0)
  })
