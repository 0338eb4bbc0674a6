import assert from 'node:assert/strict'
import { once } from 'node:events'
import { get, type IncomingMessage } from 'node:http'
import { test } from 'node:test'
import { createTraffic } from '../../src/serve/traffic.ts'
import { createPace } from '../../src/sync/verify.ts'
import { withFileServer } from '../support/file-server.ts'

test('a download that is under way is seen by who would read the disk for less urgent things', async () => {
  const traffic = createTraffic()
  await withFileServer({ traffic }, async ({ file, token, listening, log }) => {
    await file('film.mp4', 256 * 2 ** 20)
    const path = `/film.mp4?token=${await token()}`
    const request = get({ port: listening.port, host: '127.0.0.1', path, agent: false })
    const [response] = (await once(request, 'response')) as [IncomingMessage]
    assert.equal(traffic.underWay, 1)
    response.on('error', () => {}).destroy()
    await log.requests(1)
    assert.equal(traffic.underWay, 0)
  })
})

test('a reader yields: it takes ten times as long while downloads run', async () => {
  const never = new AbortController().signal
  const startedAt = performance.now()
  const pace = createPace(1_000_000, never, () => true)
  // Ten times 10.4 ms: timers go by whole milliseconds, and may come early by two of them.
  await pace(10_400)
  assert.ok(performance.now() - startedAt > 99)
})
