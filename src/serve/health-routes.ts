import type { HttpBindings } from '@hono/node-server'
import { RESPONSE_ALREADY_SENT } from '@hono/node-server/utils/response'
import type { Hono } from 'hono'
import { answerJson } from './answer.ts'
import type { CheckResult, Health } from './health.ts'

/** Each result with how long ago it was asked for, in milliseconds. */
function aged(
  checks: Record<string, CheckResult>,
): Record<string, CheckResult & { ageMs: number }> {
  const now = Date.now()
  const entries = Object.entries(checks).map(([name, result]) => {
    const ageMs = Math.max(0, now - Date.parse(result.checkedAt))
    return [name, { ...result, ageMs }] as const
  })
  return Object.fromEntries(entries)
}

/**
 * `/health` tells whether this process takes requests, `/health/deep` whether all it needs works.
 *
 * @param options.details names the checks and their errors; never on a port that strangers reach
 */
export function addHealthRoutes<Env extends { Bindings: HttpBindings }>(
  app: Hono<Env>,
  options: { health: Health; isDraining: () => boolean; details: boolean },
): void {
  app.get('/health', (context) => {
    const draining = options.isDraining()
    const body = { status: draining ? 'draining' : 'ok' }
    answerJson(context.env.outgoing, { status: draining ? 503 : 200 }, body)
    return RESPONSE_ALREADY_SENT
  })
  app.get('/health/deep', async (context) => {
    const verdict = await options.health.deep()
    const draining = options.isDraining()
    const status = draining ? 'draining' : verdict.ok ? 'ok' : 'failing'
    const { checks, gauges } = verdict
    const body = options.details ? { status, checks: aged(checks), gauges } : { status }
    answerJson(context.env.outgoing, { status: status === 'ok' ? 200 : 503 }, body)
    return RESPONSE_ALREADY_SENT
  })
}
