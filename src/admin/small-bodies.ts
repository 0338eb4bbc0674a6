import type { MiddlewareHandler } from 'hono'
import { AppError } from '../errors.ts'
import type { MountedBindings } from '../mounted.ts'

const MOST_BYTES = 64 * 1024

/** Refuses what is too long, or does not say how long it is, before any of it is read. */
export const smallBodies: MiddlewareHandler<{ Bindings: MountedBindings }> = async (c, next) => {
  const { headers } = c.env.incoming
  if (headers['transfer-encoding'] !== undefined)
    throw new AppError('REQUEST_INVALID', 'a body comes with its Content-Length')
  if (Number(headers['content-length'] ?? 0) > MOST_BYTES)
    throw new AppError('REQUEST_INVALID', `a body has at most ${MOST_BYTES} bytes`)
  await next()
}
