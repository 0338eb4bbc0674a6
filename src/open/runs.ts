import { hostname } from 'node:os'
import type { Config } from '../config.ts'
import { forgetActions } from '../db/admin-actions.ts'
import type { Database } from '../db/connect.ts'
import { addEvents } from '../db/run-events.ts'
import * as db from '../db/runs.ts'
import { createRuns, type RunStore, type Runs } from '../jobs/runs.ts'
import type { Program } from '../open.ts'
import type { RunListener } from '../runs.ts'

/** A run that fails for the reason of the one before it, so soon after it, is told of in that one's row. */
const REPEAT_MS = 10 * 60_000

/** The history of runs, in the database; it needs this version's schema. */
export function openRuns(
  config: Pick<Config, 'runsKeptMs'>,
  { log, logTail }: Pick<Program, 'log' | 'logTail'>,
  { database, listeners }: { database: Database; listeners: readonly RunListener[] },
): Runs {
  const store: RunStore = {
    begin: (run) => db.beginRun(database, run),
    takePending: (run) => db.takePending(database, run),
    renew: (run) => db.renewRun(database, run),
    end: (run) => db.endRun(database, { ...run, repeatMs: REPEAT_MS }),
    enterPast: (run) => db.enterPast(database, run),
    addEvents: (run, events) => addEvents(database, run, events),
    closeInterrupted: (error) => db.closeInterrupted(database, error),
    async forgetOld() {
      await db.forgetRuns(database, config.runsKeptMs)
      await forgetActions(database, config.runsKeptMs)
    },
  }
  return createRuns({ store, node: hostname(), log, tail: logTail, listeners })
}
