import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { neededRate, planScrub, slowScrubText } from '../../src/sync/scrub-plan.ts'

const DAY_MS = 86_400_000
const period = { periodMs: 30 * DAY_MS, bytesPerSecond: 20_000_000 }

describe('the plan of a scrub', () => {
  test('begins as early as reading everything takes, and a quarter of that earlier', () => {
    const tenDays = 10 * 86_400 * 20_000_000
    const plan = planScrub({ ...period, bytes: tenDays })
    assert.deepEqual(plan, { dueAfterMs: 17.5 * DAY_MS, passMs: 10 * DAY_MS, keepsPeriod: true })
    assert.equal(planScrub({ ...period, bytes: 0 }).dueAfterMs, 30 * DAY_MS)
  })

  test('says so when the rate is too low for the period, and which one is not', () => {
    const bytes = 100 * 86_400 * 20_000_000
    const plan = planScrub({ ...period, bytes })
    assert.deepEqual([plan.keepsPeriod, plan.dueAfterMs], [false, 3_600_000])
    assert.equal(
      slowScrubText(plan, period.periodMs),
      'reading the archive again takes 100 days at SCRUB_RATE, and SCRUB_PERIOD is 30',
    )
    const rate = neededRate(bytes, period.periodMs)
    assert.equal(rate, 84)
    assert.ok(planScrub({ ...period, bytes, bytesPerSecond: rate * 1_000_000 }).keepsPeriod)
  })

  test('reads nothing again within an hour, or within a period that is shorter', () => {
    const bytes = 1e15
    assert.equal(planScrub({ bytes, periodMs: 60_000, bytesPerSecond: 1 }).dueAfterMs, 60_000)
    assert.equal(planScrub({ bytes, periodMs: DAY_MS, bytesPerSecond: 1 }).dueAfterMs, 3_600_000)
  })
})
