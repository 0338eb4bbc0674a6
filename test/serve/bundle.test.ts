import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createBundle } from '../../src/serve/bundle.ts'

test('what is written within one turn goes out at its end, in order', async () => {
  const written: number[] = []
  const bundle = createBundle(8)
  for (const number of [1, 2, 3]) bundle(() => written.push(number))
  assert.equal(written.length, 0)
  await new Promise((resolve) => setImmediate(resolve))
  assert.deepEqual(written, [1, 2, 3])
  bundle(() => written.push(4))
  await new Promise((resolve) => setImmediate(resolve))
  assert.deepEqual(written, [1, 2, 3, 4])
})

test('a full bundle goes out at once, and what comes after it waits for the end of the turn', async () => {
  const written: number[] = []
  const bundle = createBundle(2)
  for (const number of [1, 2, 3]) bundle(() => written.push(number))
  assert.deepEqual(written, [1, 2])
  await new Promise((resolve) => setImmediate(resolve))
  assert.deepEqual(written, [1, 2, 3])
})

test('a write that makes another one loses neither', async () => {
  const written: string[] = []
  const bundle = createBundle(8)
  bundle(() => {
    written.push('first')
    bundle(() => written.push('second'))
  })
  await new Promise((resolve) => setImmediate(resolve))
  await new Promise((resolve) => setImmediate(resolve))
  assert.deepEqual(written, ['first', 'second'])
})
