import type { Hono } from 'hono'
import { deleteCookie, setCookie } from 'hono/cookie'
import { isAppError, toAppError } from '../errors.ts'
import type { Doorkeeper } from './doorkeeper.ts'
import { isHttps, requireOwnOrigin } from './origin.ts'
import { loginPage } from './pages/login.ts'
import type { Sessions } from './sessions.ts'
import { answerPage, COOKIE, type ConsoleEnv, fieldsOf, ownForm } from './visit.ts'

/** The page that lets people in; open to all who reach the port. */
export function addSignIn(
  app: Hono<ConsoleEnv>,
  { sessions, doorkeeper }: { sessions: Sessions; doorkeeper: Doorkeeper },
): void {
  app.get('/login', ({ req }) =>
    answerPage(loginPage({ wrong: null, next: ownPath(req.query('next')) })),
  )
  app.post('/login', async (c) => {
    const { headers } = c.env.incoming
    requireOwnOrigin(headers)
    const { token = '', next } = await fieldsOf(c)
    const place = ownPath(next)
    try {
      doorkeeper.admit(c.env.client, token.trim())
    } catch (thrown) {
      const error = toAppError(thrown)
      if (!isAppError(error, 'ADMIN_DENIED', 'TOO_MANY_LOGINS')) throw error
      const wrong = 'That is not the admin token.'
      return answerPage(loginPage({ wrong, next: place }), error.status)
    }
    // The token itself is in no cookie: what is, opens nothing once this process ends.
    setCookie(c, COOKIE, sessions.open(), {
      httpOnly: true,
      sameSite: 'Strict',
      secure: isHttps(headers),
      path: '/',
    })
    return c.redirect(place, 303)
  })
}

/** Added where a session is there already. */
export function addSignOut(app: Hono<ConsoleEnv>, sessions: Sessions): void {
  app.post('/logout', async (c) => {
    await ownForm(c)
    const cookie = deleteCookie(c, COOKIE, { path: '/' })
    if (cookie !== undefined) sessions.close(cookie)
    return c.redirect('/login', 303)
  })
}

/** A place of this service, whatever was asked for. */
function ownPath(text: string | undefined): string {
  return text !== undefined && /^\/(?![/\\])[\x21-\x7e]{0,300}$/.test(text) ? text : '/'
}
