import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import { watchRushes } from '../../src/serve/rush.ts'

interface Connection {
  answers: string[]
}

/** A server's connections, and how often it was told that a rush is over. */
function withRushes(t: TestContext) {
  t.mock.timers.enable({ apis: ['setTimeout'] })
  const connections = new Map<number, Connection>()
  let calms = 0
  let serial = 0
  const watch = watchRushes(connections, () => {
    calms += 1
  })
  return {
    come(count: number, answers: string[] = []) {
      for (let index = 0; index < count; index++) {
        connections.set(serial++, { answers })
        watch.came()
      }
    },
    go(count: number) {
      for (const key of [...connections.keys()].slice(-count)) {
        connections.delete(key)
        watch.went()
      }
    },
    after(ms: number): number {
      t.mock.timers.tick(ms)
      return calms
    },
  }
}

test('five seconds after a rush of connections memory is given back, once', (t) => {
  const { come, go, after } = withRushes(t)
  for (let times = 0; times < 2; times++) {
    come(256)
    go(191)
    assert.equal(after(60_000), times, 'more than a quarter is left')
    go(1)
    assert.equal(after(4_999), times)
    assert.equal(after(1), times + 1)
    go(64)
    assert.equal(after(60_000), times + 1)
  }
})

test('a few connections are no rush, and one that goes on is not over', (t) => {
  const { come, go, after } = withRushes(t)
  for (let times = 0; times < 10; times++) {
    come(255)
    go(255)
  }
  assert.equal(after(60_000), 0)
  come(256)
  go(256)
  come(256)
  assert.equal(after(60_000), 0)
  go(256)
  assert.equal(after(5_000), 1)
})

test('nobody who waits for an answer is held up by what follows a rush', (t) => {
  const { come, go, after } = withRushes(t)
  const answers = ['under way']
  come(1, answers)
  come(256)
  go(256)
  assert.equal(after(60_000), 0)
  answers.pop()
  assert.equal(after(5_000), 1)
})
