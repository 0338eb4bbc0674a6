/**
 * What one would write first: Hono's serveStatic with jose before it. It does not ask which file a token is for.
 *
 * Takes PORT, ARCHIVE_DIR and SECRET from its environment.
 */
import { serve } from '@hono/node-server'
import { serveStatic } from '@hono/node-server/serve-static'
import { Hono } from 'hono'
import { jwtVerify } from 'jose'

const { PORT = '', ARCHIVE_DIR = '', SECRET = '' } = process.env
const secret = new TextEncoder().encode(SECRET)
const app = new Hono()
app.get('/health', (context) => context.json({ status: 'ok' }))
app.use(async (context, next) => {
  try {
    await jwtVerify(context.req.query('token') ?? '', secret, { algorithms: ['HS256'] })
  } catch {
    return context.text('a valid token is needed', 401)
  }
  return next()
})
app.use(serveStatic({ root: ARCHIVE_DIR }))
serve({ fetch: app.fetch, port: Number(PORT), hostname: '127.0.0.1' })
