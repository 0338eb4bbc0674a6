import { AppError } from './errors.ts'
import type { Log } from './log.ts'

/** Everything that was opened, to be closed in reverse order. */
export interface StopStack {
  /**
   * @param stop gets a signal that fires at its deadline; what it has not done by then is left to the process's end
   */
  push(name: string, stop: (signal: AbortSignal) => Promise<void>, deadlineMs: number): void
  /**
   * Stops all, latest first, each within its deadline; never throws. A second call waits for the first.
   *
   * @returns the names of what failed or ran over its deadline
   */
  stopAll(): Promise<string[]>
}

interface Layer {
  name: string
  stop: (signal: AbortSignal) => Promise<void>
  deadlineMs: number
}

/** What is pushed while stopping is stopped as well. */
export function createStopStack({ log }: { log: Log }): StopStack {
  const layers: Layer[] = []
  const failed: string[] = []
  let stopping: Promise<string[]> | null = null

  const unwind = async () => {
    for (let layer = layers.pop(); layer; layer = layers.pop()) {
      if (!(await stopLayer(layer, log))) failed.push(layer.name)
    }
    return failed
  }
  const stopAll = () => {
    stopping ??= unwind()
    return stopping
  }
  return {
    push: (name, stop, deadlineMs) => {
      layers.push({ name, stop, deadlineMs })
      if (stopping) stopping = stopping.then(unwind)
    },
    stopAll,
  }
}

/** @returns false when it failed or ran over its deadline */
async function stopLayer({ name, stop, deadlineMs }: Layer, log: Log): Promise<boolean> {
  const deadline = new AbortController()
  const late = Promise.withResolvers<'late'>()
  const timer = setTimeout(() => {
    deadline.abort(new AppError('CANCELLED', `${name} did not stop within ${deadlineMs} ms`))
    late.resolve('late')
  }, deadlineMs)
  try {
    // The call itself may throw, too.
    const stopped = (async () => stop(deadline.signal))()
    if ((await Promise.race([stopped, late.promise])) !== 'late') {
      log.debug({ name }, 'stopped')
      return true
    }
    // Its late failure has nobody left to tell.
    stopped.catch(() => {})
    log.error({ name, deadlineMs }, 'did not stop in time and is left behind')
  } catch (error) {
    log.error({ name, error }, 'failed to stop')
  } finally {
    clearTimeout(timer)
  }
  return false
}

/** As much of `process` as signals need. */
export interface SignalEmitter {
  on(signal: 'SIGTERM' | 'SIGINT', listener: () => void): unknown
  off(signal: 'SIGTERM' | 'SIGINT', listener: () => void): unknown
}

export interface Supervision {
  /** Fires at the first signal: start nothing new, finish what is in hand. */
  readonly draining: AbortSignal
  /** Fires when the time for that is over, or at a second signal: let go of everything. */
  readonly aborted: AbortSignal
  /** Begins to drain for a failure that ends the program; the first signal then still lets it finish. */
  drain(reason: string): void
  /** Stops listening; the last thing before the process ends by itself. */
  end(): void
}

export interface SupervisionOptions {
  on: SignalEmitter
  shutdownTimeoutMs: number
  /** How long giving back leases may take after the abort before the process is ended. */
  abortGraceMs?: number
  /** Ends the process at once. */
  exit: (code: 1) => void
  log: Log
}

const signals = ['SIGTERM', 'SIGINT'] as const

/**
 * First signal: drain. Time-out or second signal: abort, after which the caller ends with exit code 1.
 * Third signal, or an abort that takes too long: the process is ended.
 */
export function superviseSignals(options: SupervisionOptions): Supervision {
  const { on, shutdownTimeoutMs, abortGraceMs = 5000, exit, log } = options
  const draining = new AbortController()
  const aborted = new AbortController()
  let signalled = false
  let timer: NodeJS.Timeout | undefined
  const after = (ms: number, next: () => void) => {
    clearTimeout(timer)
    timer = setTimeout(next, ms)
  }

  const kill = (reason: string) => {
    clearTimeout(timer)
    log.error({ reason }, 'ending at once')
    exit(1)
  }
  const abort = (reason: string) => {
    log.warn({ reason }, 'letting go of the work in hand')
    after(abortGraceMs, () => kill('the work in hand could not be let go of in time'))
    aborted.abort(new AppError('CANCELLED', `stopped hard: ${reason}`))
  }
  const drain = (reason: string) => {
    if (draining.signal.aborted) return
    log.info({ reason, shutdownTimeoutMs }, 'stopping: finishing the work in hand')
    after(shutdownTimeoutMs, () => abort('the work in hand did not finish in SHUTDOWN_TIMEOUT'))
    draining.abort(new AppError('CANCELLED', `stopping: ${reason}`))
  }

  const listeners = signals.map((signal) => {
    const listener = () => {
      if (aborted.signal.aborted) return kill(signal)
      if (signalled) return abort(`second signal, ${signal}`)
      signalled = true
      drain(signal)
    }
    on.on(signal, listener)
    return { signal, listener }
  })
  const end = () => {
    clearTimeout(timer)
    for (const { signal, listener } of listeners) on.off(signal, listener)
  }
  return { draining: draining.signal, aborted: aborted.signal, drain, end }
}
