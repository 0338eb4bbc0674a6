import { createRoute, OpenAPIHono, z } from '@hono/zod-openapi'
import type { MiddlewareHandler } from 'hono'
import { type AdminActionRow, listActions } from '../db/admin-actions.ts'
import { AppError } from '../errors.ts'
import { type AdminEnv, type Api, answers, json } from './api-answers.ts'
import { addItemActions, addItems } from './api-items.ts'
import { addRuns } from './api-runs.ts'
import * as schema from './api-schemas.ts'
import { addTokens } from './api-tokens.ts'
import type { Doorkeeper } from './doorkeeper.ts'
import { toJson } from './json.ts'
import { nextOf } from './paging.ts'
import type { AdminParts } from './parts.ts'
import { smallBodies } from './small-bodies.ts'

/**
 * The REST API. Every route is made of the schemas that the OpenAPI document is made of, so that neither can say what the
 * other does not.
 */
export function createApi(parts: AdminParts, doorkeeper: Doorkeeper): Api {
  const api = new OpenAPIHono<AdminEnv>({
    defaultHook: (result) => {
      if (result.success) return
      const [first] = result.error.issues
      const at = first?.path.join('.') || 'the body'
      throw new AppError('REQUEST_INVALID', `${at}: ${first?.message ?? 'invalid'}`)
    },
  })
  api.use(bearerOnly(doorkeeper))
  api.use(smallBodies)
  addHealth(api, parts)
  addItems(api, parts)
  addItemActions(api, parts)
  addRuns(api, parts)
  addTokens(api, parts)
  addActions(api, parts)
  addDocument(api, parts)
  api.all('*', () => {
    throw new AppError('NOT_FOUND', 'the API has no such route', {
      hint: 'see /api/v1/openapi.json',
    })
  })
  return api
}

/** RFC 6750 2.1; a cookie opens nothing here, so no page of a stranger can use it. */
function bearerOnly(doorkeeper: Doorkeeper): MiddlewareHandler<AdminEnv> {
  return async ({ req, env }, next) => {
    const given = /^Bearer +(\S+)$/i.exec(req.header('Authorization') ?? '')?.[1]
    if (given === undefined) throw new AppError('ADMIN_DENIED', 'no bearer token was sent')
    doorkeeper.admit(env.client, given)
    await next()
  }
}

function addHealth(api: Api, parts: AdminParts): void {
  const healthRoute = createRoute({
    method: 'get',
    path: '/health',
    summary: 'Whether all that this node needs works',
    responses: { ...answers, 200: json(schema.health, 'What the last checks found.') },
  })
  api.openapi(healthRoute, async (c) => {
    const { ok, checks, gauges } = await parts.health()
    return c.json({ ok, checks: toJson(checks), gauges: toJson(gauges) }, 200)
  })
}

function addActions(api: Api, { database }: AdminParts): void {
  const actionsRoute = createRoute({
    method: 'get',
    path: '/actions',
    summary: 'What was changed by people, newest first',
    request: { query: schema.pageQuery },
    responses: { ...answers, 200: json(schema.actionPage, 'A page of them.') },
  })
  api.openapi(actionsRoute, async (c) => {
    const { before = null, limit } = c.req.valid('query')
    const actions = await listActions(database, { before, mediaId: null, limit })
    const next = nextOf(actions, limit, ({ id }) => id)
    return c.json({ actions: actions.map(actionJson), next }, 200)
  })
}

function actionJson({ details, ...action }: AdminActionRow) {
  return { ...toJson(action), details: { ...details } }
}

function addDocument(api: Api, { version }: AdminParts): void {
  api.openAPIRegistry.registerComponent('securitySchemes', 'adminToken', {
    type: 'http',
    scheme: 'bearer',
    description: 'ADMIN_TOKEN',
  })
  const documentRoute = createRoute({
    method: 'get',
    path: '/openapi.json',
    summary: 'This document',
    responses: {
      ...answers,
      200: json(z.record(z.string(), z.unknown()), 'OpenAPI 3.1'),
    },
  })
  // What it is made of is typed as its own specification says, which is wider than what a schema here could say.
  api.openAPIRegistry.registerPath(documentRoute)
  api.get(documentRoute.path, () => Response.json(documentOf(api, version)))
}

/** The OpenAPI document of all routes. */
export function documentOf(api: Api, version: string) {
  return api.getOpenAPI31Document({
    openapi: '3.1.0',
    info: {
      title: 'Strongroom',
      version,
      description: 'What the commands do, for other programs.',
    },
    servers: [{ url: '/api/v1' }],
    security: [{ adminToken: [] }],
  })
}
