import { AppError, type ErrorCode, toAppError } from '../errors.ts'

/** Each throws when its dependency cannot be used; the signal ends when nobody waits for the answer any more. */
export type HealthChecks = Record<string, (signal: AbortSignal) => Promise<void>>

export interface CheckResult {
  ok: boolean
  latencyMs: number
  /** `TIMED_OUT` when no answer came within the bound. */
  error: ErrorCode | 'TIMED_OUT' | null
  /** ISO 8601, UTC. */
  checkedAt: string
}

export interface HealthVerdict {
  ok: boolean
  checks: Record<string, CheckResult>
  gauges: Gauges
}

/** What the last checks have measured, in the unit that the name ends with; null for what is not known. */
export type Gauges = Record<string, number | null>

export interface Health {
  /** Never throws and never takes longer than the bound, whatever hangs. */
  deep(): Promise<HealthVerdict>
}

/**
 * Asks all dependencies at once, on behalf of everybody who is waiting, and remembers the verdict for a moment:
 * a storm of probes costs a dependency one question per `cacheMs`.
 *
 * @param options.now milliseconds since 1970
 */
export function createHealth(options: {
  checks: HealthChecks
  gauges?: () => Gauges
  boundMs?: number
  cacheMs?: number
  now?: () => number
}): Health {
  const { checks, gauges = () => ({}), boundMs = 2000, cacheMs = 5000, now = Date.now } = options
  const ask = createAsker({ boundMs, now })
  let flight: Promise<HealthVerdict> | null = null
  let latest: { verdict: HealthVerdict; at: number } | null = null

  async function askAll(): Promise<HealthVerdict> {
    const asked = Object.entries(checks).map(
      async ([name, check]) => [name, await ask(name, check)] as const,
    )
    const results = await Promise.all(asked)
    return {
      ok: results.every(([, result]) => result.ok),
      checks: Object.fromEntries(results),
      gauges: gauges(),
    }
  }

  async function fly(): Promise<HealthVerdict> {
    try {
      const verdict = await askAll()
      latest = { verdict, at: now() }
      return verdict
    } finally {
      flight = null
    }
  }

  return {
    async deep() {
      const age = latest ? now() - latest.at : Number.POSITIVE_INFINITY
      // A clock that was set back makes the age negative: then the verdict counts as old.
      if (latest && age >= 0 && age < cacheMs) return latest.verdict
      flight ??= fly()
      return flight
    },
  }
}

/**
 * Asks one dependency within the bound. One that still hangs on an earlier question is not asked again: each hung
 * question can hold a thread, and enough of them would stop all reading of files.
 */
function createAsker({ boundMs, now }: { boundMs: number; now: () => number }) {
  const hanging = new Set<string>()

  return async (name: string, check: HealthChecks[string]): Promise<CheckResult> => {
    const checkedAt = new Date(now()).toISOString()
    const started = performance.now()
    const error = hanging.has(name) ? 'TIMED_OUT' : await outcome(name, check)
    return {
      ok: error === null,
      latencyMs: Math.ceil(performance.now() - started),
      error,
      checkedAt,
    }
  }

  async function outcome(name: string, check: HealthChecks[string]): Promise<CheckResult['error']> {
    const controller = new AbortController()
    hanging.add(name)
    const answer = settle(check, controller.signal).finally(() => hanging.delete(name))
    let timer: NodeJS.Timeout | undefined
    const bound = new Promise<'TIMED_OUT'>((resolve) => {
      timer = setTimeout(resolve, boundMs, 'TIMED_OUT')
    })
    const first = await Promise.race([answer, bound])
    clearTimeout(timer)
    controller.abort(new AppError('CANCELLED', 'the health check was over'))
    return first
  }
}

async function settle(check: HealthChecks[string], signal: AbortSignal): Promise<ErrorCode | null> {
  try {
    await check(signal)
    return null
  } catch (error) {
    return toAppError(error).code
  }
}
