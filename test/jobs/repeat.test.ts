import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { type Repetition, repeat, type Work } from '../../src/jobs/repeat.ts'

const minute = 60_000
const hourly: Repetition = {
  timetable: { every: 60 * minute, timeZone: 'UTC' },
  jitterMs: 0,
  missed: 'run',
}

/** Runs the repetition on a clock of its own, until `times` pieces of work are done. */
async function play(
  repetition: Repetition,
  {
    times,
    takesMs = () => 0,
    well = () => true,
    askedAtMs = Number.POSITIVE_INFINITY,
    random = 0,
  }: {
    times: number
    takesMs?: (n: number) => number
    well?: (n: number) => boolean
    askedAtMs?: number
    random?: number
  },
) {
  let nowMs = 0
  let asked = false
  const controller = new AbortController()
  const told: string[] = []
  const began = Date.parse('2026-05-01T00:00:00Z')
  const work: Work = {
    async once(trigger) {
      const n = told.length
      told.push(`${Math.round(nowMs / 1000)} ${trigger}`)
      nowMs += takesMs(n)
      if (told.length === times) controller.abort()
      return well(n)
    },
    async missed(reason) {
      told.push(reason.message)
      if (told.length >= times) controller.abort()
    },
    async asked() {
      if (asked || nowMs < askedAtMs) return null
      asked = true
      return 'api'
    },
  }
  await repeat(repetition, work, {
    signal: controller.signal,
    pause: async (ms) => {
      nowMs += ms
    },
    random: () => random,
    now: () => ({ wall: new Date(began + nowMs), monotonicMs: nowMs }),
  })
  return told
}

describe('a job that is repeated', () => {
  test('is done at once, and then from start to start', async () => {
    const told = await play(hourly, { times: 3, takesMs: () => 10 * minute })
    assert.deepEqual(told, ['0 start', '3600 schedule', '7200 schedule'])
  })

  test('makes up by one for all the starts that it missed, and says so', async () => {
    const told = await play(hourly, { times: 3, takesMs: (n) => (n === 0 ? 150 * minute : 0) })
    const said = '2 scheduled starts came while the run before was under way'
    assert.deepEqual(told, ['0 start', said, '9001 schedule'])
  })

  test('leaves them out where that is wished, also the one at the beginning', async () => {
    const skipping: Repetition = { ...hourly, missed: 'skip' }
    const told = await play(skipping, { times: 3, takesMs: (n) => (n === 0 ? 90 * minute : 0) })
    const said = 'one scheduled start came while the run before was under way'
    assert.deepEqual(told, ['3600 schedule', said, '10800 schedule'])
  })

  test('is tried again sooner, at growing distances, while an outage lasts', async () => {
    const told = await play(hourly, { times: 7, well: (n) => n === 5 })
    const seconds = told.map((text) => Number(text.split(' ')[0]))
    assert.deepEqual(seconds, [0, 15, 45, 105, 225, 345, 345 + 3600])
  })

  test('is done within seconds when somebody asks for it', async () => {
    const told = await play(hourly, { times: 3, askedAtMs: 20 * minute })
    assert.deepEqual(told, ['0 start', '1200 api', '4800 schedule'])
  })

  test('comes later by the jitter, but never at its first start', async () => {
    const jittery: Repetition = { ...hourly, jitterMs: 2 * minute }
    const told = await play(jittery, { times: 2, random: 0.5 })
    assert.deepEqual(told, ['0 start', '3660 schedule'])
  })

  test('keeps to its cron text by the wall clock of its zone', async () => {
    const nightly: Repetition = {
      timetable: { cron: '0 3 * * *', timeZone: 'Europe/Berlin' },
      jitterMs: 0,
      missed: 'skip',
    }
    const told = await play(nightly, { times: 2 })
    assert.deepEqual(told, ['3600 schedule', `${25 * 3600} schedule`])
  })
})
