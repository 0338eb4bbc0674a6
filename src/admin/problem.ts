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

/** Who may use the API learns what is wrong and what to do; what is a bug of ours is in the log alone. */
export function problemOf(error: Pick<AppError, 'code' | 'message' | 'hint'>): {
  error: ErrorCode
  message: string
  hint: string
} {
  const isOurs = error.code === 'INTERNAL'
  return {
    error: error.code,
    message: isOurs ? 'internal error' : error.message,
    hint: isOurs ? ERRORS.INTERNAL.next : error.hint,
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
