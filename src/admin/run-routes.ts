import type { Hono } from 'hono'
import { eventsOf } from '../db/run-events.ts'
import { findRun, listRuns } from '../db/runs.ts'
import { AppError } from '../errors.ts'
import { runPage, runsPage } from './pages/runs.ts'
import { nextOf } from './paging.ts'
import type { AdminParts } from './parts.ts'
import { answerPage, type ConsoleEnv, contextOf, idOf } from './visit.ts'

const PAGE = 50
const EVENTS_SHOWN = 200

export function addRunPages(app: Hono<ConsoleEnv>, { database }: AdminParts): void {
  app.get('/runs', async (c) => {
    const before = idOf(c.req.query('before'))
    const runs = await listRuns(database, { job: null, before, limit: PAGE })
    const next = nextOf(runs, PAGE, ({ id }) => id)
    return answerPage(runsPage(contextOf(c), { runs, next }))
  })
  app.get('/runs/:id', async (c) => {
    const id = idOf(c.req.param('id'))
    const run = id === null ? null : await findRun(database, id)
    if (id === null || run === null)
      throw new AppError('NOT_FOUND', 'there is no such run', {
        hint: 'old runs are forgotten; the page of runs lists those that are kept',
      })
    const after = idOf(c.req.query('after')) ?? 0
    const events = await eventsOf(database, id, { after, limit: EVENTS_SHOWN })
    const next = nextOf(events, EVENTS_SHOWN, ({ id }) => id)
    return answerPage(runPage(contextOf(c), { run, events, next }))
  })
}
