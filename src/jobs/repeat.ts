import { AppError } from '../errors.ts'
import type { RunTrigger } from '../runs.ts'
import { countdown, type Moment, type Timetable, ticksOf, timer } from './schedule.ts'

/** When a job is done again and again. */
export interface Repetition {
  timetable: Timetable
  /** Each start comes up to so much later, at random, so that many nodes do not come at once. */
  jitterMs: number
  /** Starts that came while the job was under way, or before the process was there: made up for by one, or left out. */
  missed: 'run' | 'skip'
}

export interface Work {
  /** @returns false when an outage ended it: then it is tried again sooner */
  once(trigger: RunTrigger): Promise<boolean>
  /** Told of starts that came while it was under way. */
  missed(reason: AppError): Promise<void>
  /** Whether it is to be done at once, and why: somebody asks for it, or what stopped it is over. */
  asked(): Promise<RunTrigger | null>
}

export interface Waiting {
  signal: AbortSignal
  /** Resolves after so long, or when `signal` aborts. */
  pause: (ms: number) => Promise<void>
  random?: () => number
  now?: () => Moment
}

const ASKED_EVERY_MS = 5_000
const FIRST_RETRY_MS = 15_000
const LAST_RETRY_MS = 120_000
/** Two starts are never closer, whatever the clocks do. */
const LEAST_WAIT_MS = 1_000

/** Does the work by its timetable until `signal` aborts; after an outage sooner, at growing distances. */
export async function repeat(
  repetition: Repetition,
  work: Work,
  { signal, pause, random = Math.random, now = clocks }: Waiting,
): Promise<void> {
  const { timetable, jitterMs, missed } = repetition
  let trigger: RunTrigger = 'start'
  let retryMs = FIRST_RETRY_MS
  let since = now()

  /** @returns what the work is done for next; null when it is to stop */
  const wait = async (leftMs: (now: Moment) => number): Promise<RunTrigger | null> => {
    const leastMs = timer(now(), LEAST_WAIT_MS)
    while (!signal.aborted) {
      const left = Math.max(leftMs(now()), leastMs(now()))
      if (left <= 0) return 'schedule'
      await pause(Math.min(left, ASKED_EVERY_MS))
      const asked = signal.aborted ? null : await work.asked()
      if (asked !== null) return asked
    }
    return null
  }
  const jitter = () => Math.floor(random() * jitterMs)
  const start = () => countdown(timetable, { since, begun: now(), laterMs: jitter(), missed })

  let next: RunTrigger | null = trigger
  if (missed === 'skip') next = await wait(start())
  while (next !== null && !signal.aborted) {
    trigger = next
    since = now()
    const well = await work.once(trigger)
    if (signal.aborted) return
    const ticks = ticksOf(timetable, since, now())
    if (ticks.missed > 0) await work.missed(tooLong(ticks.missed))
    const regularMs = ticks.missed > 0 && missed === 'run' ? LEAST_WAIT_MS : ticks.untilNextMs
    if (!well) next = await wait(timer(now(), Math.min(regularMs, retryMs)))
    else if (regularMs === ticks.untilNextMs) next = await wait(start())
    else next = await wait(timer(now(), regularMs + jitter()))
    retryMs = well ? FIRST_RETRY_MS : Math.min(retryMs * 2, LAST_RETRY_MS)
  }
}

function tooLong(count: number): AppError {
  const starts = count === 1 ? 'one scheduled start' : `${count} scheduled starts`
  return new AppError('RUN_MISSED', `${starts} came while the run before was under way`)
}

function clocks() {
  return { wall: new Date(), monotonicMs: performance.now() }
}
