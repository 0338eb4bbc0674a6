import assert from 'node:assert/strict'
import { test } from 'node:test'
import { callAfter } from '../src/waiting.ts'

test('what is called after longer than a timer holds is called once, then, and not before', (t) => {
  t.mock.timers.enable({ apis: ['setTimeout'] })
  const days = 24 * 3_600_000
  let calls = 0
  callAfter(60 * days, () => {
    calls += 1
  })
  for (let day = 1; day < 60; day++) t.mock.timers.tick(days)
  assert.equal(calls, 0)
  for (let day = 60; day < 120; day++) t.mock.timers.tick(days)
  assert.equal(calls, 1)
})

test('what is called off is not called, in whichever part of its time', (t) => {
  t.mock.timers.enable({ apis: ['setTimeout'] })
  const callOff = callAfter(3_000_000_000, () => assert.fail('it was called off'))
  t.mock.timers.tick(2_000_000_000)
  callOff()
  t.mock.timers.tick(2_000_000_000)
})
