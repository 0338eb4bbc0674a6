import type { ErrorCode } from './errors.ts'

/** What the program does over and over; each time is a run, kept in `strongroom.runs`. */
export const jobs = ['sync', 'reconcile', 'scrub', 'verify', 'clean'] as const
export type Job = (typeof jobs)[number]

export const runTriggers = ['schedule', 'start', 'manual', 'api'] as const
export type RunTrigger = (typeof runTriggers)[number]

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
  id: number
  job: Job
  trigger: RunTrigger
  mode: 'live' | 'dry-run' | 'shadow'
  status: RunStatus
  /** Host name and process of who ran it. */
  node: string
  startedAt: Date
  /** Null while it goes on. */
  endedAt: Date | null
  /** How many items came to which end: `archived`, `rejected`, `released`, … */
  items: Readonly<Record<string, number>>
  bytes: number
  error: RunError | null
}

/** Whether it is over, and nothing about it changes any more. */
export function isOver(status: RunStatus): boolean {
  return status !== 'pending' && status !== 'running'
}
