import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createFailedTokens } from '../src/failed-tokens.ts'

function counting(options: { perMinute: number; maxClients?: number }) {
  let nowMs = 1_000_000
  const failed = createFailedTokens({ ...options, nowMs: () => nowMs })
  return {
    fail: (client: string) => failed.fail(client),
    pass: (ms: number) => {
      nowMs += ms
    },
  }
}

test('a client may fail as often as is allowed, and then waits for the end of its minute', () => {
  const { fail, pass } = counting({ perMinute: 3 })
  assert.deepEqual([fail('a'), fail('a'), fail('a')], [null, null, null])
  assert.equal(fail('a'), 60)
  pass(30_500)
  assert.equal(fail('a'), 30)
  pass(29_499)
  assert.equal(fail('a'), 1)
  pass(1)
  assert.deepEqual([fail('a'), fail('a'), fail('a'), fail('a')], [null, null, null, 60])
})

test('clients are counted each for itself', () => {
  const { fail } = counting({ perMinute: 1 })
  assert.deepEqual([fail('a'), fail('b'), fail('a'), fail('c')], [null, null, 60, null])
})

test('without a limit nobody waits', () => {
  const { fail } = counting({ perMinute: 0 })
  for (let count = 0; count < 1000; count++) assert.equal(fail('a'), null)
})

test('however many clients fail, only so many are remembered, and the others count as one', () => {
  const { fail, pass } = counting({ perMinute: 5, maxClients: 10 })
  const limited = Array.from({ length: 1000 }, (_, index) => fail(`client ${index}`)).filter(
    (wait) => wait !== null,
  )
  assert.equal(limited.length, 1000 - 10 - 5)
  assert.equal(fail('client 3'), null, 'those that are known are judged as before')
  pass(60_000)
  assert.equal(fail('client 999'), null, 'and after a minute there is room again')
})

test('a million clients leave no more memory behind than a thousand', () => {
  const { fail, pass } = counting({ perMinute: 5 })
  const before = process.memoryUsage().heapUsed
  for (let index = 0; index < 1_000_000; index++) {
    fail(`2001:db8:${(index >> 16).toString(16)}:${(index & 65_535).toString(16)}::/64`)
    if (index % 1000 === 0) pass(10)
  }
  assert.ok(process.memoryUsage().heapUsed - before < 100 * 1024 * 1024)
})
