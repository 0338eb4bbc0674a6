import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createClockWatch, createWakefulClock } from '../../src/sync/clock.ts'

/** A wakeful clock, and what it shows after steps of the two that it is made of. */
function wakefulClock() {
  const [monotonic, wall] = [{ ms: 500 }, { ms: 1e12 }]
  const clock = createWakefulClock(
    () => monotonic.ms,
    () => Math.floor(wall.ms),
  )
  return (monotonicMs: number, wallMs: number) => {
    monotonic.ms += monotonicMs
    wall.ms += wallMs
    return clock()
  }
}

test('the clock of leases goes on while the machine sleeps, and never back', () => {
  const after = wakefulClock()
  assert.deepEqual(
    [after(10, 10), after(5, 3_600_000), after(10, -3_600_000), after(0, 0)],
    [10, 3_600_010, 3_600_020, 3_600_020],
  )
})

test('the clock of leases does not run ahead, however often it is asked', () => {
  const after = wakefulClock()
  let shown = 0
  for (let asked = 0; asked < 100_000; asked++) shown = after(0.375, 0.375)
  assert.equal(shown, 37_500)
})

/** A clock that shows a billion more than ours and `aheadMs`; told every `everyMs`. */
function watched(everyMs = 20_000) {
  const clock = { now: 1_000 }
  const watch = createClockWatch(() => clock.now)
  return (aheadMs: number, afterMs = everyMs) => {
    clock.now += afterMs
    watch.told(clock.now + 1e9 + aheadMs)
    return watch.jumpedMs()
  }
}

for (const [what, ms] of [
  ['forwards', 61_000],
  ['backwards', -61_000],
] as const)
  test(`a clock that jumped ${what} is not steady until it is back`, () => {
    const at = watched()
    assert.deepEqual([at(0), at(ms / 2), at(ms), at(ms), at(0)], [null, null, 0, 20_000, null])
  })

test('two clocks that drift apart slowly stay steady for years', () => {
  const at = watched(50_000)
  for (let beat = 1; beat <= 5_000; beat++) assert.equal(at(beat * 50), null, `beat ${beat}`)
})

test('a clock that runs away is not followed, however often it is looked at', () => {
  const at = watched(10)
  let jumpedMs: number | null = null
  for (let beat = 1; beat <= 100_000 && jumpedMs === null; beat++) jumpedMs = at(beat)
  assert.equal(jumpedMs, 0)
})

test('a clock that jumped and has run steadily for an hour is trusted again', () => {
  const at = watched()
  const ahead = 20 * 3_600_000
  assert.deepEqual(
    [at(0), at(ahead), at(ahead, 3_599_000), at(ahead, 1_000), at(ahead)],
    [null, 0, 3_599_000, null, null],
  )
})
