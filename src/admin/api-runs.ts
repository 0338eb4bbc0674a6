import { createRoute } from '@hono/zod-openapi'
import { findRun, listRuns } from '../db/runs.ts'
import { AppError } from '../errors.ts'
import { syncNow } from './actions.ts'
import { type Api, answers, body, json, notFound, refused } from './api-answers.ts'
import * as schema from './api-schemas.ts'
import { toJson } from './json.ts'
import { nextOf } from './paging.ts'
import type { AdminParts } from './parts.ts'

/** What was done, and what is to be done now. */
export function addRuns(api: Api, parts: AdminParts): void {
  const { database } = parts
  const listRoute = createRoute({
    method: 'get',
    path: '/runs',
    summary: 'What was done, newest first',
    request: { query: schema.runQuery },
    responses: { ...answers, 200: json(schema.runPage, 'A page of runs.') },
  })
  api.openapi(listRoute, async (c) => {
    const { job = null, before = null, limit } = c.req.valid('query')
    const runs = await listRuns(database, { job, before, limit })
    const next = nextOf(runs, limit, ({ id }) => id)
    return c.json({ runs: toJson(runs), next }, 200)
  })

  const oneRoute = createRoute({
    method: 'get',
    path: '/runs/{id}',
    summary: 'One run, with what was logged as warning or error meanwhile',
    request: { params: schema.runParam },
    responses: { ...answers, ...notFound, 200: json(schema.loggedRun, 'The run.') },
  })
  api.openapi(oneRoute, async (c) => {
    const run = await findRun(database, c.req.valid('param').id)
    if (run === null)
      throw new AppError('NOT_FOUND', 'there is no such run', {
        hint: 'old runs are forgotten; GET /api/v1/runs lists those that are kept',
      })
    return c.json(toJson(run), 200)
  })

  const startRoute = createRoute({
    method: 'post',
    path: '/runs',
    summary: 'Start a sync now',
    description:
      'A node that syncs begins it within seconds. Who asks twice before that gets the same run.',
    request: { body: body(schema.runOrder) },
    responses: { ...answers, ...refused, 202: json(schema.run, 'The run that is asked for.') },
  })
  api.openapi(startRoute, async (c) => {
    const run = await syncNow(parts, { actor: 'api', client: c.env.client })
    return c.json(toJson(run), 202)
  })
}
