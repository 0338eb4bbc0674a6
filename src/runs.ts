import type { ErrorCode } from './errors.ts'

/** What the program does over and over; each time is a run, kept in `strongroom.runs`. */
export const jobs = ['sync', 'reconcile', 'scrub', 'verify', 'clean', 'recall'] as const
export type Job = (typeof jobs)[number]

/** What began it: the first run of a process, its schedule, a person at the command line, or the admin port. */
export const runTriggers = ['start', 'schedule', 'manual', 'api'] as const
export type RunTrigger = (typeof runTriggers)[number]

export type RunMode = 'live' | 'dry-run' | 'shadow'

/**
 * `partial`: came to its end, but left something for another run or a person. `failed`: an outage or a crash cut it off.
 * `cancelled`: a person or a signal did. `skipped`: never began, because another one was under way or a hook refused it.
 */
export const runStatuses = [
  'pending',
  'running',
  'success',
  'partial',
  'failed',
  'cancelled',
  'skipped',
] as const
export type RunStatus = (typeof runStatuses)[number]

/** What stopped or refused a run: a sentence, and the next step where there is one. */
export interface RunError {
  code: ErrorCode
  message: string
  hint: string | null
}

export interface Run {
  /** Null for one that the database could not be told of, because it was away. */
  id: number | null
  job: Job
  trigger: RunTrigger
  mode: RunMode
  status: RunStatus
  /** Host name of who ran it. */
  node: string
  startedAt: Date
  /** Null while it goes on. */
  endedAt: Date | null
  /** How often in a row it was tried, and failed for the same reason. */
  attempts: number
  /** How many items came to which end: `archived`, `rejected`, `released`, … */
  items: Readonly<Record<string, number>>
  bytes: number
  error: RunError | null
}

/** How a run came out. */
export type RunEnd = Pick<Run, 'items' | 'bytes' | 'error'> & {
  status: 'success' | 'partial' | 'failed' | 'cancelled' | 'skipped'
}

/** What became of one item in a run. */
export interface RunEvent {
  at: Date
  itemId: number | null
  mediaId: number | null
  outcome: string
  reason: string | null
  archivePath: string | null
  sizeBytes: number | null
}

/** Told of runs as they begin and end; never throws, and nothing waits for it. */
export interface RunListener {
  started?(run: Run): void
  /** Also of runs that were skipped, and never began. */
  ended?(run: Run): void
}

/** Whether it is over, and nothing about it changes any more. */
export function isOver(status: RunStatus): boolean {
  return status !== 'pending' && status !== 'running'
}
