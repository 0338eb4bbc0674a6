import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createServer, type RequestListener } from 'node:http'
import type { AddressInfo } from 'node:net'
import { type TestContext, test } from 'node:test'
import { afterwards } from '../support/afterwards.ts'
import { coded, openedS3 } from '../support/demo-bucket.ts'

const access = { region: 'auto', bucket: 'media', accessKey: 'demo-key', secretKey: 'demo-secret' }

/** @returns its address */
async function withStore(t: TestContext, answer: RequestListener): Promise<string> {
  const server = createServer(answer).listen(0, '127.0.0.1')
  await once(server, 'listening')
  afterwards(t, async () => {
    server.close()
    server.closeAllConnections()
    await once(server, 'close')
  })
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`
}

test('the clock of the store is taken over after its first refusal', async (t) => {
  const theirs = Date.now() + 3_600_000
  const told: string[] = []
  const endpoint = await withStore(t, ({ headers }, response) => {
    told.push(String(headers['x-amz-date']))
    response.sendDate = false
    response.writeHead(403, { Date: new Date(theirs).toUTCString() }).end()
  })
  const bucket = openedS3(t, { ...access, endpoint })
  for (let n = 0; n < 2; n++)
    await assert.rejects(bucket.head('a'), coded('BUCKET_UNAVAILABLE', 'OBJECT_DENIED'))
  const minutes = told.map((time) => {
    const iso = time.replace(/^(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)Z$/, '$1-$2-$3T$4:$5:$6Z')
    return Math.round(Math.abs(Date.parse(iso) - theirs) / 60_000)
  })
  assert.deepEqual([minutes[0], minutes.at(-1)], [60, 0])
})

test('a refusal that comes in chunks is understood', async (t) => {
  const endpoint = await withStore(t, (_, response) => {
    response.writeHead(403).write('<Error><Code>ObjectLocked')
    response.end('ByBucketPolicy</Code></Error>')
  })
  const bucket = openedS3(t, { ...access, endpoint })
  await assert.rejects(bucket.delete('a'), coded('OBJECT_LOCKED'))
})

test('a refusal without end is read no further than it can say anything', async (t) => {
  const endpoint = await withStore(t, (_, response) => {
    const goOn = () => {
      while (response.write(Buffer.alloc(65_536, 'x')));
      response.once('drain', goOn)
    }
    response.writeHead(500)
    goOn()
  })
  const bucket = openedS3(t, { ...access, endpoint })
  await assert.rejects(bucket.get('a', { ifMatch: 'x' }), coded('BUCKET_UNAVAILABLE'))
})

test('an endpoint may have a path, and no key leaves its bucket', async (t) => {
  const seen: string[] = []
  const endpoint = await withStore(t, ({ url }, response) => {
    seen.push(String(url))
    response.writeHead(412).end()
  })
  const bucket = openedS3(t, { ...access, endpoint: `${endpoint}/base/` })
  for (const key of ['a b/ü+%.mp4', '../other?x#y', '/a//b'])
    await assert.rejects(bucket.get(key, { ifMatch: 'x' }), coded('OBJECT_CHANGED'))
  assert.deepEqual(seen, [
    '/base/media/a%20b/%C3%BC%2B%25.mp4',
    '/base/media/../other%3Fx%23y',
    '/base/media//a//b',
  ])
})
