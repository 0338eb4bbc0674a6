import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFile } from 'node:fs/promises'
import { text } from 'node:stream/consumers'
import { test } from 'node:test'
import { withDemoBucket } from '../support/demo-bucket.ts'

const MIB = 2 ** 20

/** Reads the whole object in a process of its own, flags as in bin/strongroom, and prints the most it held in buffers. */
const reader = `
const { openS3 } = await import(process.argv[1])
const bucket = openS3(JSON.parse(process.argv[2]))
const { body } = await bucket.get('large', { ifMatch: 'large' })
let most = 0
await body.drain({ take: () => { most = Math.max(most, process.memoryUsage().arrayBuffers) } })
console.log(most)
bucket.close()
`

test('a download of any size needs few buffers', async (t) => {
  const filler = Buffer.alloc(MIB, 'strongroom')
  const large = {
    sizeBytes: 256 * MIB,
    etag: 'large',
    lastModified: new Date(),
    read: (_: number, length: number) => filler.subarray(0, length),
  }
  const { config } = await withDemoBucket(t, { virtual: new Map([['large', large]]) })
  const adapter = new URL('../../src/storage/s3.ts', import.meta.url).href
  const args = ['--expose-gc', '--input-type=module', '-e', reader, adapter, JSON.stringify(config)]
  const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'] })
  const [printed] = await Promise.all([text(child.stdout), once(child, 'close')])
  assert.ok(Number(printed) > 0 && Number(printed) < 32 * MIB, `${printed} bytes in buffers`)
})

test('the program is started so that downloads may collect what they dropped', async () => {
  const launcher = await readFile(new URL('../../bin/strongroom', import.meta.url), 'utf8')
  assert.match(launcher, /exec .* --expose-gc /s)
})
