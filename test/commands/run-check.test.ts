import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createRunCheck } from '../../src/commands/run-check.ts'

const HOUR_MS = 3_600_000
const overdue = { code: 'RUN_OVERDUE' }

/** A check with STALE_AFTER=2h, asked once an hour. */
function withCheck() {
  let nowMs = 0
  const check = createRunCheck(2 * HOUR_MS, () => nowMs)
  return {
    /** @param last hours since a sync came to its end; null for none ever */
    ask: (last: number | null, underWay: string | null) =>
      check({ lastWellSeconds: last === null ? null : last * 3_600, underWay }),
    passHour() {
      nowMs += HOUR_MS
    },
  }
}

test('no sync for STALE_AFTER is overdue, counted from the start where there was none', () => {
  const { ask, passHour } = withCheck()
  ask(2, null)
  assert.throws(() => ask(3, null), overdue)
  for (let hour = 1; hour <= 2; hour++) {
    passHour()
    ask(null, null)
  }
  passHour()
  assert.throws(() => ask(null, null), overdue)
})

test('a sync under way is overdue once nothing came of it for a day more than STALE_AFTER', () => {
  const { ask, passHour } = withCheck()
  for (let hour = 1; hour <= 27; hour++) {
    ask(9 + hour, '7 {"archived": 3} 9')
    passHour()
  }
  assert.throws(() => ask(40, '7 {"archived": 3} 9'), overdue)
  ask(40, '7 {"archived": 4} 9')
  assert.throws(() => ask(40, null), overdue)
})

test('a backlog of weeks is not overdue while it goes on', () => {
  const { ask, passHour } = withCheck()
  for (let hour = 1; hour <= 500; hour++) {
    ask(hour, `7 {"released": ${Math.floor(hour / 20)}} 0`)
    passHour()
  }
})
