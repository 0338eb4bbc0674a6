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

const HOUR_MS = 3_600_000
/** A week, on whichever day it begins. */
const HOURS_LOOKED_AT = 8 * 24

/**
 * The longest time between two starts that any hour of the next eight days lies in. Schedules rest at night and on Sundays:
 * the next few starts may all be close to each other.
 */
export function longestPauseMs(timetable: Timetable, from: Date): number {
  if ('every' in timetable) return timetable.every
  const cron = cronOf(timetable)
  let longest = 0
  for (let hour = 0; hour <= HOURS_LOOKED_AT; hour++) {
    // Starts are at whole seconds: never at this moment.
    const moment = new Date((Math.floor(from.getTime() / 1_000) + 0.5) * 1_000 + hour * HOUR_MS)
    const [last] = cron.previousRuns(1, moment)
    const next = cron.nextRun(moment)
    if (last !== undefined && next !== null)
      longest = Math.max(longest, next.getTime() - last.getTime())
  }
  return longest
}

/** The scheduled starts after `since`, up to and with `now`, and how long it is until the next one. */
export interface Ticks {
  missed: number
  untilNextMs: number
}

/** A clock that is further off was set, or the machine slept. */
const CLOCK_SET_MS = 60_000

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
  const cron = cronOf(timetable)
  let missed = 0
  let next = cron.nextRun(wasSetBack(since, now) ? now.wall : since.wall)
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

/**
 * How long it still is until the next start after `since` and `laterMs` more; to be asked again while one waits. The wall clock
 * may be set meanwhile, and the machine may sleep: what a cron text names is a time of the wall clock all the same. A start
 * that the clock jumped over is at once, or, where `missed` says so, left out.
 *
 * @throws CONFIG_INVALID for a cron text whose date never comes
 */
export function countdown(
  timetable: Timetable,
  how: { since: Moment; begun: Moment; laterMs: number; missed: 'run' | 'skip' },
): (now: Moment) => number {
  const { since, begun, laterMs, missed } = how
  const waitMs = ticksOf(timetable, since, begun).untilNextMs + laterMs
  if ('every' in timetable) return timer(begun, waitMs)
  let due = begun.wall.getTime() + waitMs
  let last = begun
  return (now) => {
    const wall = now.wall.getTime()
    const aheadMs = wall - last.wall.getTime() - (now.monotonicMs - last.monotonicMs)
    last = now
    const nextDue = () => wall + ticksOf(timetable, now, now).untilNextMs + laterMs
    if (wasSetBack(since, now)) due = Math.min(due, nextDue())
    else if (missed === 'skip' && wall >= due && aheadMs > CLOCK_SET_MS) due = nextDue()
    return due - wall
  }
}

/** How long it still is until so long after `begun`, whatever the wall clock says. */
export function timer(begun: Moment, ms: number): (now: Moment) => number {
  return (now) => begun.monotonicMs + ms - now.monotonicMs
}

function wasSetBack(since: Moment, now: Moment): boolean {
  return since.wall.getTime() - now.wall.getTime() > CLOCK_SET_MS
}

function cronOf({ cron, timeZone }: { cron: string; timeZone: string }): Cron {
  return new Cron(cron, { timezone: timeZone, paused: true })
}
