import assert from 'node:assert/strict'
import { test } from 'node:test'
import { inTurn } from '../../src/sync/large.ts'

const KIB = 1 << 10
const MIB = 1 << 20
const never = new AbortController().signal

/** How many of 100 that come at once are let in before any of them ends. */
async function letIn(sizeBytes: number): Promise<number> {
  const end = Promise.withResolvers<void>()
  let inside = 0
  let most = 0
  const all = Array.from({ length: 100 }, () =>
    inTurn(sizeBytes, never, async () => {
      most = Math.max(most, ++inside)
      await end.promise
      inside -= 1
    }),
  )
  await new Promise(setImmediate)
  const first = inside
  end.resolve()
  await Promise.all(all)
  assert.equal(most, first, 'no more of them later either')
  return first
}

test('four files of 8 MiB and more are in hand at once, sixteen of 1 MiB, 48 of 256 KiB, and any number of smaller ones', async () => {
  assert.equal(await letIn(256 * KIB - 1), 100)
  assert.equal(await letIn(256 * KIB), 48)
  assert.equal(await letIn(MIB - 1), 48)
  assert.equal(await letIn(MIB), 16)
  assert.equal(await letIn(8 * MIB - 1), 16)
  assert.equal(await letIn(8 * MIB), 4)
  assert.deepEqual(
    await Promise.all([letIn(8 * MIB), letIn(MIB), letIn(256 * KIB), letIn(0)]),
    [4, 16, 48, 100],
    'none takes the place of another kind',
  )
})

test('a large file that fails, or that nobody waits for any more, makes room for the next', async () => {
  const failing = () => inTurn(8 * MIB, never, () => Promise.reject(new Error('failed')))
  for (let n = 0; n < 5; n++) await assert.rejects(failing, /failed/)
  const stop = new AbortController()
  const end = Promise.withResolvers<void>()
  const held = Array.from({ length: 4 }, () => inTurn(8 * MIB, never, () => end.promise))
  const waiting = inTurn(8 * MIB, stop.signal, async () => assert.fail('it was not waited for'))
  stop.abort()
  await assert.rejects(waiting, { code: 'CANCELLED' })
  end.resolve()
  await Promise.all(held)
  assert.equal(await letIn(8 * MIB), 4)
})
