import { Hono } from 'hono'
import { HTTPException } from 'hono/http-exception'
import { AppError, toAppError } from '../errors.ts'
import type { Log } from '../log.ts'
import type { Mounted } from '../mounted.ts'
import { createApi, documentOf } from './api.ts'
import type { AdminEnv } from './api-answers.ts'
import { createConsole } from './console.ts'
import { createDoorkeeper } from './doorkeeper.ts'
import { messagePage } from './pages/login.ts'
import type { AdminParts } from './parts.ts'
import { answerProblem, problemOf, safeHeaders } from './problem.ts'
import { answerPage } from './visit.ts'

/** Console and API, to be mounted on the admin port. */
export function createAdmin(parts: AdminParts): Mounted {
  const doorkeeper = createDoorkeeper(parts)
  const app = new Hono<AdminEnv>()
  app.use(async (c, next) => {
    await next()
    for (const [name, value] of Object.entries(safeHeaders)) c.res.headers.set(name, value)
  })
  const api = createApi(parts, doorkeeper)
  app.route('/api/v1', api)
  const document = () => documentOf(api, parts.version)
  app.route('/', createConsole(parts, { doorkeeper, document }))
  app.notFound(({ req }) => answer(new AppError('NOT_FOUND', 'nothing is here'), req, parts.log))
  app.onError((thrown, { req }) => answer(translated(thrown), req, parts.log))
  return (request, bindings) => app.fetch(request, bindings)
}

/** What the framework refuses by itself, a body that is no JSON, is the client's mistake. */
function translated(thrown: unknown): AppError {
  if (!(thrown instanceof HTTPException) || thrown.status >= 500) return toAppError(thrown)
  return new AppError('REQUEST_INVALID', thrown.message, {
    cause: thrown,
    hint: 'a body is JSON with Content-Type: application/json; see /api/v1/openapi.json',
  })
}

/** Programs are told in JSON, people on a page. */
function answer(
  error: AppError,
  { path, raw }: { path: string; raw: Request },
  log: Log,
): Response | Promise<Response> {
  const isForPeople =
    !path.startsWith('/api/') && raw.headers.get('Accept')?.includes('text/html') === true
  if (!isForPeople) return answerProblem(error, path, log)
  if (error.status >= 500) log.error({ error, path }, 'a request failed')
  const { message, hint } = problemOf(error)
  const title = error.status === 404 ? 'Not found' : 'That did not work'
  return answerPage(messagePage({ title, text: `${message}.`, next: hint }), error.status)
}

/** Says what is lacking, and is nothing else. */
export function createAdminOff(off: AppError, log: Log): Mounted {
  return (request) => answerProblem(off, new URL(request.url).pathname, log)
}
