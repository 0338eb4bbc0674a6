import type { Config } from '../config.ts'
import type { Database } from '../db/connect.ts'
import { toAppError } from '../errors.ts'
import type { Session } from '../host.ts'
import { type JobKind, plain } from '../jobs/runs.ts'
import { openRuns } from '../open/runs.ts'
import type { RunEnd } from '../runs.ts'

/**
 * Does work that a person asked for at the command line, and keeps it in the history. Where the database cannot take that,
 * the work is done all the same; where MODE is not live, nothing is kept.
 *
 * @param told what is to be kept of what the work gave
 */
export async function asRun<T>(
  config: Config,
  asked: Pick<Session, 'program' | 'drain'> & { database: Database; kind: JobKind },
  work: () => Promise<T>,
  told: (done: T) => Pick<RunEnd, 'items' | 'status'> & { bytes?: number },
): Promise<T> {
  if (config.mode !== 'live') return work()
  const { program, drain, database, kind } = asked
  const runs = openRuns(config, program, { database, listeners: [] })
  const open = await runs.begin(kind, 'manual').catch(() => null)
  try {
    const done = await work()
    const { items, status, bytes = 0 } = told(done)
    const seen = Object.entries(items).filter(([, count]) => count > 0)
    const how = drain.aborted ? 'cancelled' : status
    await open?.end({ items: Object.fromEntries(seen), bytes, status: how, error: null })
    return done
  } catch (error) {
    const how = drain.aborted
      ? ({ status: 'cancelled', error: null } as const)
      : ({ status: 'failed', error: plain(toAppError(error)) } as const)
    await open?.end({ ...how, items: {}, bytes: 0 })
    throw error
  }
}
