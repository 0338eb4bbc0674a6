import { Hono } from 'hono'
import { AppError, toAppError } from '../errors.ts'
import type { Log } from '../log.ts'
import type { Mounted } from '../mounted.ts'
import { createApi } from './api.ts'
import type { AdminEnv } from './api-answers.ts'
import { createDoorkeeper } from './doorkeeper.ts'
import type { AdminParts } from './parts.ts'
import { answerProblem, safeHeaders } from './problem.ts'

/** Console and API, to be mounted on the admin port. */
export function createAdmin(parts: AdminParts): Mounted {
  const doorkeeper = createDoorkeeper(parts)
  const app = new Hono<AdminEnv>()
  app.use(async (c, next) => {
    await next()
    for (const [name, value] of Object.entries(safeHeaders)) c.res.headers.set(name, value)
  })
  app.route('/api/v1', createApi(parts, doorkeeper))
  app.notFound(({ req }) =>
    answerProblem(new AppError('NOT_FOUND', 'nothing is here'), req.path, parts.log),
  )
  app.onError((thrown, { req }) => answerProblem(toAppError(thrown), req.path, parts.log))
  return (request, bindings) => app.fetch(request, bindings)
}

/** Says what is lacking, and is nothing else. */
export function createAdminOff(off: AppError, log: Log): Mounted {
  return (request) => answerProblem(off, new URL(request.url).pathname, log)
}
