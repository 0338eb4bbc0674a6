import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { repeat } from '../../src/jobs/repeat.ts'

const hour = 3_600_000

describe('a clock that is set right', () => {
  /** When the work was done, by the right clock; `offAt` says how far the wall clock is off at a moment. */
  async function play(
    { cron, missed = 'run' }: { cron: string; missed?: 'run' | 'skip' },
    offAt: (ms: number) => number,
  ): Promise<string[]> {
    const began = Date.parse('2026-11-23T10:00Z')
    let nowMs = 0
    const controller = new AbortController()
    const done: string[] = []
    await repeat(
      { timetable: { cron, timeZone: 'UTC' }, jitterMs: 0, missed },
      {
        async once(trigger) {
          done.push(`${new Date(began + nowMs).toISOString().slice(8, 16)} ${trigger}`)
          if (done.length === 3) controller.abort()
          nowMs += 60_000
          return true
        },
        missed: async () => {},
        asked: async () => {
          // Forty days without a run are enough of an answer.
          if (nowMs > 40 * 24 * hour) controller.abort()
          return null
        },
      },
      {
        signal: controller.signal,
        pause: async (ms) => {
          nowMs += Math.max(ms, 1)
        },
        random: () => 0,
        now: () => ({ wall: new Date(began + nowMs + offAt(nowMs)), monotonicMs: nowMs }),
      },
    )
    return done
  }

  test('during the first run, ten years ahead at boot, does not end all syncs for ten years', async () => {
    const ahead = 10 * 365 * 24 * hour
    const done = await play({ cron: '*/30 * * * *' }, (ms) => (ms < 30_000 ? ahead : 0))
    assert.deepEqual(done, ['23T10:00 start', '23T10:30 schedule', '23T11:00 schedule'])
  })

  test('while a run is waited for, hours ahead, leaves the nightly one in the night', async () => {
    const done = await play({ cron: '0 3 * * *' }, (ms) => (ms < 2 * hour ? 12 * hour : 0))
    assert.deepEqual(done, ['23T10:00 start', '24T03:00 schedule', '25T03:00 schedule'])
  })

  test('past a start makes up for it at once, or leaves it out, and the next ones are in the night', async () => {
    const behind = (ms: number) => (ms < 120_000 ? -9 * hour : 0)
    assert.deepEqual(await play({ cron: '0 3 * * *' }, behind), [
      ...['23T10:00 start', '23T10:02 schedule', '24T03:00 schedule'],
    ])
    assert.deepEqual(await play({ cron: '0 3 * * *', missed: 'skip' }, behind), [
      ...['24T03:00 schedule', '25T03:00 schedule', '26T03:00 schedule'],
    ])
  })

  test('is not meant by work that takes minutes while one waits: the start comes late, and is not left out', async () => {
    let nowMs = Date.parse('2026-11-23T02:59:50Z')
    const controller = new AbortController()
    const done: number[] = []
    await repeat(
      { timetable: { cron: '0 3 * * *', timeZone: 'UTC' }, jitterMs: 0, missed: 'skip' },
      {
        async once() {
          done.push(nowMs)
          controller.abort()
          return true
        },
        missed: async () => {},
        asked: async () => {
          if (nowMs < Date.parse('2026-11-23T03:00Z')) nowMs += 600_000
          return null
        },
      },
      {
        signal: controller.signal,
        pause: async (ms) => {
          nowMs += ms
        },
        random: () => 0,
        now: () => ({ wall: new Date(nowMs), monotonicMs: nowMs }),
      },
    )
    assert.deepEqual(
      done.map((ms) => new Date(ms).toISOString().slice(0, 15)),
      ['2026-11-23T03:0'],
    )
  })
})
