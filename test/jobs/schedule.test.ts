import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { longestPauseMs, ticksOf } from '../../src/jobs/schedule.ts'

const at = (text: string, monotonicMs = 0) => ({ wall: new Date(text), monotonicMs })
const hour = 3_600_000

/** The next `count` starts of a cron text. */
function starts(cron: string, timeZone: string, from: string, count: number): string[] {
  const found: string[] = []
  let now = at(from)
  for (let n = 0; n < count; n++) {
    const { untilNextMs } = ticksOf({ cron, timeZone }, now, now)
    now = { wall: new Date(now.wall.getTime() + untilNextMs), monotonicMs: 0 }
    found.push(now.wall.toISOString().slice(0, 16))
  }
  return found
}

describe('on days that are an hour shorter or longer', () => {
  const days = [
    // Clocks go from 2:00 to 3:00: what is due between comes at 3:00, once.
    ['Europe/Berlin', '2026-03-28T12:00Z', ['2026-03-29T01:00', '2026-03-30T00:30']],
    // From 3:00 back to 2:00: what is due between comes once.
    ['Europe/Berlin', '2026-10-24T12:00Z', ['2026-10-25T00:30', '2026-10-26T01:30']],
    ['America/New_York', '2026-03-07T12:00Z', ['2026-03-08T07:00', '2026-03-09T06:30']],
    ['America/New_York', '2026-10-31T12:00Z', ['2026-11-01T07:30', '2026-11-02T07:30']],
    // Half an hour, at 2:00.
    ['Australia/Lord_Howe', '2026-10-03T00:00Z', ['2026-10-03T15:30', '2026-10-04T15:30']],
    ['Australia/Lord_Howe', '2026-04-03T18:00Z', ['2026-04-04T16:00', '2026-04-05T16:00']],
  ] as const
  for (const [zone, from, expected] of days)
    test(`02:30 comes once a day in ${zone} after ${from}`, () => {
      assert.deepEqual(starts('30 2 * * *', zone, from, 2), expected)
    })
})

test('an hourly schedule misses no hour of a day that has 25', () => {
  const found = starts('0 * * * *', 'Europe/Berlin', '2026-10-24T23:30Z', 4)
  assert.deepEqual(
    found.map((text) => text.slice(11)),
    ['00:00', '01:00', '02:00', '03:00'],
  )
})

test('starts that came while the work went on are counted', () => {
  const cron = { cron: '*/10 * * * *', timeZone: 'UTC' }
  assert.deepEqual(ticksOf(cron, at('2026-05-01T00:00Z'), at('2026-05-01T00:35Z')), {
    missed: 3,
    untilNextMs: 5 * 60_000,
  })
  const every = { every: hour, timeZone: 'UTC' }
  const began = at('2026-05-01T00:00Z', 1_000)
  const ended = (hours: number) => at('2026-05-01T00:00Z', 1_000 + hours * hour)
  assert.deepEqual(ticksOf(every, began, ended(0.25)), { missed: 0, untilNextMs: 0.75 * hour })
  assert.deepEqual(ticksOf(every, began, ended(2.5)), { missed: 2, untilNextMs: 0.5 * hour })
})

test('a wall clock that was set back counts nothing as missed', () => {
  const cron = { cron: '0 * * * *', timeZone: 'UTC' }
  const ticks = ticksOf(cron, at('2026-05-01T12:30Z'), at('2026-05-01T10:30Z'))
  assert.deepEqual(ticks, { missed: 0, untilNextMs: hour / 2 })
})

test('years without the program are not counted one by one', () => {
  const cron = { cron: '* * * * * *', timeZone: 'UTC' }
  const ticks = ticksOf(cron, at('2020-01-01T00:00Z'), at('2026-01-01T00:00:00.500Z'))
  assert.deepEqual(ticks, { missed: 1_000, untilNextMs: 500 })
})

test('a date that never comes is refused, with an example', () => {
  const never = { cron: '0 0 30 2 *', timeZone: 'UTC' }
  assert.throws(() => ticksOf(never, at('2026-01-01T00:00Z'), at('2026-01-01T00:00Z')), {
    code: 'CONFIG_INVALID',
    message: /"0 0 30 2 \*" never comes/,
  })
})

test('the longest pause between two starts is found, and not the time to the first of them', () => {
  const from = new Date('2026-11-22T05:00:00Z')
  const cron = (text: string) => longestPauseMs({ cron: text, timeZone: 'UTC' }, from)
  assert.equal(longestPauseMs({ every: 1_800_000, timeZone: 'UTC' }, from), 1_800_000)
  assert.equal(cron('0 3 * * *'), 24 * hour)
  assert.equal(cron('0 3,4 * * *'), 23 * hour)
  assert.equal(cron('0 3 * * 1'), 7 * 24 * hour)
})

for (const [cron, from, hours] of [
  ['0 8-19 * * *', '2026-11-23T08:30Z', 13],
  ['*/15 0-5 * * *', '2026-11-23T00:10Z', 18.25],
  ['*/30 8-17 * * 1-5', '2026-11-23T09:00Z', 62.5],
] as const)
  test(`the longest pause of ${cron}, which rests, is ${hours} h, whenever one asks`, () => {
    assert.equal(longestPauseMs({ cron, timeZone: 'UTC' }, new Date(from)), hours * hour)
  })
