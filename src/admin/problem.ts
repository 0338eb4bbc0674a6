import { type AppError, ERRORS, type ErrorCode } from '../errors.ts'
import type { Log } from '../log.ts'

/** What every answer of API and console carries. */
export const safeHeaders = {
  'Cache-Control': 'no-store',
  'X-Content-Type-Options': 'nosniff',
  'X-Frame-Options': 'DENY',
  'Referrer-Policy': 'same-origin',
  'Cross-Origin-Resource-Policy': 'same-origin',
  'Cross-Origin-Opener-Policy': 'same-origin',
} as const

/** What is to be done next by who has neither a command line nor a link before him. */
const nextHere: Partial<Record<ErrorCode, string>> = {
  USAGE: 'see /api/v1/openapi.json for what is expected',
  REQUEST_INVALID: 'see /api/v1/openapi.json for what is expected',
}

/** Who may use the API learns what is wrong and what to do; what is a bug of ours is in the log alone. */
export function problemOf(error: Pick<AppError, 'code' | 'message' | 'hint'>): {
  error: ErrorCode
  message: string
  hint: string
} {
  const isOurs = error.code === 'INTERNAL'
  const usual = ERRORS[error.code].next
  const hint = error.hint === usual ? (nextHere[error.code] ?? usual) : error.hint
  return {
    error: error.code,
    message: isOurs ? 'internal error' : error.message,
    hint: isOurs ? usual : hint,
  }
}

export function answerProblem(error: AppError, path: string, log: Log): Response {
  if (error.status >= 500) log.error({ error, path }, 'a request failed')
  const headers: Record<string, string> = {
    ...safeHeaders,
    ...(error.status === 401 ? { 'WWW-Authenticate': 'Bearer' } : {}),
    ...(error.status === 429 ? { 'Retry-After': '60' } : {}),
  }
  return Response.json(problemOf(error), { status: error.status, headers })
}
