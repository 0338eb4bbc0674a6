import type { Context } from 'hono'
import { getCookie } from 'hono/cookie'
import { AppError } from '../errors.ts'
import type { AdminEnv } from './api-answers.ts'
import { requireOwnOrigin } from './origin.ts'
import type { Html, PageContext } from './pages/html.ts'
import { isOwnForm, type Session, type Sessions } from './sessions.ts'

export type Visit = Context<ConsoleEnv>

export interface ConsoleEnv extends AdminEnv {
  Variables: { session: Session }
}

export const COOKIE = 'strongroom_session'

/** Nothing but what this service serves itself; no script within a page. */
const policy = [
  "default-src 'none'",
  ...["style-src 'self'", "script-src 'self'", "img-src 'self'", "media-src 'self'"],
  ...["connect-src 'self'", "form-action 'self'", "frame-ancestors 'none'", "base-uri 'none'"],
].join('; ')

export async function answerPage(content: Html, status = 200): Promise<Response> {
  return new Response(String(await content), {
    status,
    headers: { 'Content-Type': 'text/html; charset=utf-8', 'Content-Security-Policy': policy },
  })
}

/** After a form has done its work, so that loading the page again does not send it again (RFC 9110 15.4.4). */
export function seeOther(to: string): Response {
  return new Response(null, { status: 303, headers: { Location: to } })
}

export function sessionOf(visit: Context, sessions: Sessions): Session | null {
  const cookie = getCookie(visit, COOKIE)
  return cookie === undefined ? null : sessions.find(cookie)
}

/** The fields of a form that a page of this session has sent. @throws REQUEST_FOREIGN */
export async function ownForm(visit: Visit): Promise<Record<string, string>> {
  requireOwnOrigin(visit.env.incoming.headers)
  const fields = await fieldsOf(visit)
  if (isOwnForm(visit.get('session'), fields.csrf)) return fields
  throw new AppError('REQUEST_FOREIGN', 'the form was not made for this session')
}

/** @throws REQUEST_INVALID */
export async function fieldsOf(visit: Context): Promise<Record<string, string>> {
  const type = visit.req.header('Content-Type') ?? ''
  if (!/^application\/x-www-form-urlencoded\b/i.test(type))
    throw new AppError('REQUEST_INVALID', 'a form is needed')
  return Object.fromEntries(new URLSearchParams(await visit.req.text()))
}

/** What a page knows of its visit. */
export function contextOf(visit: Visit): PageContext {
  return { session: visit.get('session'), now: new Date() }
}

/** @returns null for what is no id */
export function idOf(text: string | undefined): number | null {
  return text !== undefined && /^[1-9]\d{0,14}$/.test(text) ? Number(text) : null
}
