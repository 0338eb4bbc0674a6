import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setImmediate } from 'node:timers/promises'
import { inSharedTurns } from '../../src/sync/shared-turns.ts'

/** Turns that end when they are told to. */
function heldTurns() {
  const begun: { of: string; end: PromiseWithResolvers<number> }[] = []
  const ask = inSharedTurns((of) => {
    const end = Promise.withResolvers<number>()
    begun.push({ of, end })
    return end.promise
  })
  return { begun, ask }
}

test('whoever asks while a turn is under way shares the next one, which begins after he asked', async () => {
  const { begun, ask } = heldTurns()
  const first = ask('a')
  await setImmediate()
  const later = [ask('a'), ask('a')]
  await setImmediate()
  assert.equal(begun.length, 1)
  begun[0]?.end.resolve(1)
  assert.equal(await first, 1)
  await setImmediate()
  assert.equal(begun.length, 2)
  const latest = ask('a')
  begun[1]?.end.resolve(2)
  assert.deepEqual(await Promise.all(later), [2, 2])
  await setImmediate()
  begun[2]?.end.resolve(3)
  assert.equal(await latest, 3)
  assert.equal(begun.length, 3)
})

test('a turn that fails fails for those who share it, and the next one is taken all the same', async () => {
  const { begun, ask } = heldTurns()
  const first = ask('a')
  await setImmediate()
  const second = ask('a')
  begun[0]?.end.reject(new Error('no'))
  await assert.rejects(first, /no/)
  await setImmediate()
  begun[1]?.end.resolve(2)
  assert.equal(await second, 2)
})

test('what is asked of something else does not wait', async () => {
  const { begun, ask } = heldTurns()
  const asked = [ask('a'), ask('b')]
  await setImmediate()
  assert.deepEqual(
    begun.map(({ of }) => of),
    ['a', 'b'],
  )
  for (const { end } of begun) end.resolve(1)
  await Promise.all(asked)
})
