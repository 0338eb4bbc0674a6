import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { text } from 'node:stream/consumers'
import { test } from 'node:test'
import { withDemoBucket } from '../support/demo-bucket.ts'

/** Asks in a process of its own, because this one has loaded it, and prints after how many kinds of questions it is there. */
const asker = `
import { createRequire } from 'node:module'
const { cache } = createRequire(process.argv[1])
const isLoaded = () => Object.keys(cache).some((path) => path.includes('@aws-sdk'))
const { openS3 } = await import(process.argv[1])
const bucket = openS3(JSON.parse(process.argv[2]))
const { etag } = await bucket.put('a', Buffer.from('bytes'))
const questions = [
  () => bucket.head('a'),
  () => bucket.partBytes('m', process.argv[3]),
  async () => (await bucket.get('a', { ifMatch: etag })).body.drain({ take() {} }),
  () => bucket.check(),
  () => bucket.delete('a', { ifMatch: etag }),
  () => bucket.head('a'),
  () => bucket.list(),
]
let asked = 0
for (const ask of questions) {
  await ask()
  asked += 1
  if (isLoaded()) break
}
console.log(asked)
bucket.close()
`

test('what is asked in a sync needs no SDK, and is not kept waiting for one to be loaded', async (t) => {
  const { admin, config } = await withDemoBucket(t, { minPartBytes: 1 })
  const { etag } = await admin.putMultipart('m', [Buffer.alloc(10), Buffer.alloc(10)])
  const adapter = new URL('../../src/storage/s3.ts', import.meta.url).href
  const args = ['--input-type=module', '-e', asker, adapter, JSON.stringify(config), etag]
  const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'] })
  const [printed] = await Promise.all([text(child.stdout), once(child, 'close')])
  // The listing is the seventh, which shows that it would have been seen before.
  assert.equal(Number(printed), 7)
})
