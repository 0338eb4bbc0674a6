/** Counts what each client fails with; a client that fails too often is told to wait. */
export interface FailedTokens {
  /**
   * Counts one failure.
   *
   * @param client whatever stands for one visitor
   * @returns null while it has failed no more than it may, then the seconds until it may again
   */
  fail(client: string): number | null
}

const windowMs = 60_000
/** A window is about 200 bytes: 3 MiB at most. */
const defaultMaxClients = 16_384
/** Whoever comes when the table is full is counted here, with all others who do. */
const everybodyElse = ''

/**
 * A window begins with a client's first failure and is forgotten after a minute. What is counted are failures only, so
 * that a valid token works however many strangers behind the same address have none.
 *
 * @param options.perMinute 0 for no limit
 * @param options.nowMs a clock that only goes forward
 */
export function createFailedTokens(options: {
  perMinute: number
  maxClients?: number
  nowMs?: () => number
}): FailedTokens {
  const { perMinute, maxClients = defaultMaxClients, nowMs = () => performance.now() } = options
  // In the order in which they end, because all are equally long.
  const windows = new Map<string, { failures: number; endsAt: number }>()

  const forgetEnded = (now: number) => {
    for (const [client, { endsAt }] of windows) {
      if (endsAt > now) return
      windows.delete(client)
    }
  }
  const windowOf = (client: string, now: number) => {
    const known = windows.get(client)
    if (known) return known
    if (windows.size >= maxClients && client !== everybodyElse) return windowOf(everybodyElse, now)
    const opened = { failures: 0, endsAt: now + windowMs }
    windows.set(client, opened)
    return opened
  }
  return {
    fail(client) {
      if (perMinute === 0) return null
      const now = nowMs()
      forgetEnded(now)
      const window = windowOf(client, now)
      window.failures += 1
      return window.failures <= perMinute ? null : Math.ceil((window.endsAt - now) / 1000)
    },
  }
}
