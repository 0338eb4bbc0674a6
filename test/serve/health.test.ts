import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setImmediate as eventLoopTurn } from 'node:timers/promises'
import { AppError } from '../../src/errors.ts'
import { createHealth } from '../../src/serve/health.ts'

function countedCheck(outcome: () => Promise<void> = async () => {}) {
  const counted = {
    calls: 0,
    check: () => {
      counted.calls += 1
      return outcome()
    },
  }
  return counted
}

const never = () => new Promise<void>(() => {})

test('all is well when every dependency answers', async () => {
  const now = () => Date.parse('2026-01-01T00:00:00Z')
  const health = createHealth({ checks: { database: async () => {}, bucket: async () => {} }, now })
  const verdict = await health.deep()
  assert.equal(verdict.ok, true)
  assert.deepEqual(Object.keys(verdict.checks), ['database', 'bucket'])
  const { latencyMs, ...rest } = verdict.checks.database ?? {}
  assert.ok(Number.isInteger(latencyMs), 'a whole number of milliseconds')
  assert.deepEqual(rest, { ok: true, error: null, checkedAt: '2026-01-01T00:00:00.000Z' })
})

test('one failure is told by its code and leaves the others alone', async () => {
  const health = createHealth({
    checks: {
      database: () => Promise.reject(new AppError('DB_UNAVAILABLE', 'secret')),
      bucket: () => Promise.reject(new Error('secret')),
      thrown: () => {
        throw new Error('secret')
      },
      archive: async () => {},
    },
  })
  const verdict = await health.deep()
  assert.equal(verdict.ok, false)
  assert.deepEqual(
    Object.values(verdict.checks).map(({ error }) => error),
    ['DB_UNAVAILABLE', 'INTERNAL', 'INTERNAL', null],
  )
  assert.doesNotMatch(JSON.stringify(verdict), /secret/)
})

test('everybody who asks at once shares one question', async () => {
  const answer = Promise.withResolvers<void>()
  const counted = countedCheck(() => answer.promise)
  const health = createHealth({ checks: { database: counted.check } })
  const asked = Array.from({ length: 100 }, () => health.deep())
  answer.resolve()
  const verdicts = await Promise.all(asked)
  assert.equal(counted.calls, 1)
  assert.equal(new Set(verdicts).size, 1)
})

test('a verdict, good or bad, is remembered for five seconds and no longer', async () => {
  for (const outcome of [async () => {}, () => Promise.reject(new Error('down'))]) {
    let time = 1_000_000
    const counted = countedCheck(outcome)
    const health = createHealth({ checks: { database: counted.check }, now: () => time })
    for (const [at, calls] of [
      [1_000_000, 1],
      [1_004_999, 1],
      [1_005_000, 2],
      [1_009_999, 2],
      [900_000, 3],
    ]) {
      time = at ?? 0
      await health.deep()
      assert.equal(counted.calls, calls)
    }
  }
})

test('a dependency that hangs is given up after the bound, and told so', async () => {
  let signal: AbortSignal | undefined
  const health = createHealth({
    checks: {
      bucket: (given) => {
        signal = given
        return never()
      },
      archive: async () => {},
    },
    boundMs: 20,
  })
  const verdict = await health.deep()
  assert.equal(verdict.checks.bucket?.error, 'TIMED_OUT')
  assert.ok((verdict.checks.bucket?.latencyMs ?? 0) >= 15)
  assert.equal(verdict.checks.archive?.ok, true)
  assert.equal(signal?.aborted, true)
})

test('a dependency that still hangs is not asked a second time', async () => {
  const answer = Promise.withResolvers<void>()
  const counted = countedCheck(() => answer.promise)
  const checks = { archive: counted.check }
  const health = createHealth({ checks, boundMs: 5, cacheMs: 0 })
  for (let round = 0; round < 3; round++) {
    assert.equal((await health.deep()).checks.archive?.error, 'TIMED_OUT')
  }
  assert.equal(counted.calls, 1)
  answer.resolve()
  await eventLoopTurn()
  assert.equal((await health.deep()).checks.archive?.ok, true)
  assert.equal(counted.calls, 2)
})

test('a failure that comes after the bound harms nobody', async () => {
  const answer = Promise.withResolvers<void>()
  const health = createHealth({ checks: { bucket: () => answer.promise }, boundMs: 5 })
  assert.equal((await health.deep()).ok, false)
  answer.reject(new Error('too late'))
})
