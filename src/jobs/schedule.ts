import { Cron } from 'croner'
import { AppError } from '../errors.ts'

/** `every`: milliseconds between starts; `cron`: a cron expression read in `timeZone`. */
export type Timetable = ({ every: number } | { cron: string }) & { timeZone: string }

/** When the last start was, by both clocks: intervals run on the monotonic one, cron texts on the wall's. */
export interface Moment {
  wall: Date
  /** Milliseconds from an arbitrary start. */
  monotonicMs: number
}

const LOOKED_AHEAD = 10

/** The longest time between two of the next starts. */
export function longestPauseMs(timetable: Timetable, from: Date): number {
  if ('every' in timetable) return timetable.every
  let longest = 0
  let wall = from
  for (let n = 0; n < LOOKED_AHEAD; n++) {
    const at = { wall, monotonicMs: 0 }
    const { untilNextMs } = ticksOf(timetable, at, at)
    // The time from now to the first of them is no pause.
    if (n > 0) longest = Math.max(longest, untilNextMs)
    wall = new Date(wall.getTime() + untilNextMs)
  }
  return longest
}

/** The scheduled starts after `since`, up to and with `now`, and how long it is until the next one. */
export interface Ticks {
  missed: number
  untilNextMs: number
}

/** Above it the number says nothing more to a person. */
const MOST_MISSED = 1_000

/** @throws CONFIG_INVALID for a cron text whose date never comes */
export function ticksOf(timetable: Timetable, since: Moment, now: Moment): Ticks {
  if ('every' in timetable) {
    const passedMs = now.monotonicMs - since.monotonicMs
    const missed = Math.floor(passedMs / timetable.every)
    return {
      missed: Math.min(missed, MOST_MISSED),
      untilNextMs: (missed + 1) * timetable.every - passedMs,
    }
  }
  const cron = new Cron(timetable.cron, { timezone: timetable.timeZone, paused: true })
  let missed = 0
  let next = cron.nextRun(since.wall)
  while (next !== null && next <= now.wall && missed < MOST_MISSED) {
    missed += 1
    next = cron.nextRun(next)
  }
  if (missed === MOST_MISSED) next = cron.nextRun(now.wall)
  if (next === null)
    throw new AppError('CONFIG_INVALID', `the schedule "${timetable.cron}" never comes`, {
      hint: 'for example 30m, or "0 3 * * *"',
    })
  return { missed, untilNextMs: next.getTime() - now.wall.getTime() }
}
