/** In a process of its own, where no other download has left memory to use again. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { openLanding } from '../../src/sync/landing.ts'

const MIB = 1 << 20

test('the memory of large downloads is used again by those after them', async (t) => {
  const made = t.mock.method(globalThis, 'SharedArrayBuffer')
  for (let downloads = 0; downloads < 8; downloads++) {
    const gate = Promise.withResolvers<void>()
    const file = { isDirect: false, write: () => gate.promise, readBack: async () => false }
    const landing = await openLanding(file, { plan: null, sizeBytes: 100 * MIB })
    const taken = landing.take(Buffer.alloc(8 * MIB))
    gate.resolve()
    await taken
    await landing.finish()
  }
  // Eight that are full, and one that fills.
  assert.ok(made.mock.callCount() <= 9, `${made.mock.callCount()}`)
})
