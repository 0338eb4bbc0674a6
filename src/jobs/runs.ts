import { AppError, toAppError } from '../errors.ts'
import type { Log } from '../log.ts'
import type { LogTail } from '../log-tail.ts'
import type {
  Job,
  Run,
  RunEnd,
  RunError,
  RunEvent,
  RunListener,
  RunMode,
  RunTrigger,
} from '../runs.ts'
import { createEventWriter } from './events.ts'

/** What a job is, however often it runs. */
export interface JobKind {
  job: Job
  mode: RunMode
  /** Only one run of it at a time may be under way, on all nodes together. */
  alone: boolean
}

/** Keeps the history; each call may fail with DB_*. */
export interface RunStore {
  /** @returns null when it must be alone and another one is under way */
  begin(run: JobKind & Claim & { trigger: RunTrigger }): Promise<Run | null>
  /** @returns null when none was asked for, or somebody else took it */
  takePending(run: JobKind & Claim): Promise<Run | null>
  /** @returns false when it counts as cut off by now */
  renew(run: Claim & Pick<Run, 'items' | 'bytes'>): Promise<boolean>
  /** @returns as it stands now, perhaps in the row of an earlier one that failed alike; null when it is gone */
  end(run: { worker: string; log: string | null } & RunEnd): Promise<Run | null>
  enterPast(run: Run): Promise<Run>
  addEvents(run: number, events: readonly RunEvent[]): Promise<void>
  closeInterrupted(error: RunError): Promise<Run[]>
  /** Runs, and what people did, from longer ago than is kept. */
  forgetOld(): Promise<void>
}

interface Claim {
  worker: string
  node: string
  leaseMs: number
}

/** A run that is under way. */
export interface OpenRun {
  readonly run: Run
  /** Counts an item that came to its end. */
  event(event: Omit<RunEvent, 'at'>): void
  /** Says how far it is, for whoever looks before the end. */
  progress(at: Pick<Run, 'items' | 'bytes'>): void
  /** @returns as it stands in the history */
  end(how: RunEnd): Promise<Run>
}

/** Begins and ends runs, and keeps their history as well as the database lets it. */
export interface Runs {
  /** @returns null when another one is under way: then a skipped one is in the history. @throws DB_* */
  begin(kind: JobKind, trigger: RunTrigger): Promise<OpenRun | null>
  /** Takes up a run that somebody asked for. @throws DB_* */
  beginPending(kind: JobKind): Promise<OpenRun | null>
  /** Enters one that never began. */
  skip(kind: JobKind, trigger: RunTrigger, error: AppError): Promise<void>
  /** Enters one that failed before it could begin, once the database can be told. */
  failedToBegin(kind: JobKind, trigger: RunTrigger, error: AppError, startedAt: Date): Promise<void>
  /** Closes what crashed processes left, here or elsewhere. @throws DB_* */
  closeInterrupted(): Promise<void>
}

/** Long enough for a database that is restarted; after it the run counts as cut off. */
const LEASE_MS = 90_000
const BEAT_MS = 20_000
/** What the database could not be told of while it was away; older ones are forgotten. */
const MOST_OWED = 20

export function createRuns(options: {
  store: RunStore
  node: string
  log: Log
  tail: LogTail
  listeners: readonly RunListener[]
  beatMs?: number
}): Runs {
  const { store, node, log, tail, listeners, beatMs = BEAT_MS } = options
  /** Told to the database before the next run; in a row with the same error they are one. */
  let owed: Run[] = []

  const tell = (what: 'started' | 'ended', run: Run) => {
    for (const listener of listeners) listener[what]?.(run)
  }
  const enterOwed = async () => {
    for (let next = owed.shift(); next !== undefined; next = owed.shift()) {
      try {
        await store.enterPast(next)
      } catch (error) {
        owed = [next, ...owed].slice(-MOST_OWED)
        throw error
      }
    }
  }
  let settling: Promise<void> | null = null
  /** Several jobs begin at once after an outage: each debt is entered once. */
  const settleDebts = async () => {
    settling ??= enterOwed().finally(() => {
      settling = null
    })
    await settling
  }
  const closeInterrupted = async () => {
    const error = new AppError('RUN_INTERRUPTED', 'its process ended before it did')
    for (const run of await store.closeInterrupted(plain(error))) {
      log.warn({ run: run.id, job: run.job, node: run.node }, 'a run was cut off')
      tell('ended', run)
    }
  }
  const owe = (run: Run) => {
    const last = owed.at(-1)
    const repeats = last?.job === run.job && last.error?.code === run.error?.code
    if (last !== undefined && repeats)
      owed = [...owed.slice(0, -1), { ...last, endedAt: run.endedAt, attempts: last.attempts + 1 }]
    else owed = [...owed, run].slice(-MOST_OWED)
  }
  const past = async (run: Run) => {
    const entered = await store.enterPast(run).catch((error: unknown) => {
      log.debug({ error: toAppError(error) }, 'a run could not be entered in the history')
      owe(run)
      return run
    })
    tell('ended', entered)
  }

  const open = (begun: Run, worker: string): OpenRun => {
    const excerpt = tail.since()
    const events = createEventWriter({
      write: (batch) => (begun.id === null ? Promise.resolve() : store.addEvents(begun.id, batch)),
      log,
    })
    let at: Pick<Run, 'items' | 'bytes'> = { items: {}, bytes: 0 }
    const timer = setInterval(() => {
      const beat = store.renew({ worker, node, leaseMs: LEASE_MS, ...at })
      // Nothing hangs on it but what others read meanwhile: items have leases of their own.
      beat.catch((error: unknown) => log.debug({ error: toAppError(error) }, 'no beat of the run'))
      events.flush()
    }, beatMs)
    timer.unref()
    tell('started', begun)
    return {
      run: begun,
      event: (event) => events.add({ ...event, at: new Date() }),
      progress: (now) => {
        at = now
      },
      async end(how) {
        clearInterval(timer)
        const stands = await store
          .end({ ...how, worker, log: excerpt() })
          .catch((error: unknown) => {
            const about = { run: begun.id, error: toAppError(error) }
            log.warn(about, 'the end of the run could not be entered; it will count as cut off')
            return 'unknown' as const
          })
        const told =
          stands === null || stands === 'unknown'
            ? { ...begun, ...how, endedAt: new Date() }
            : stands
        // A database that does not take the end takes nothing else either, and would only be waited for.
        if (stands !== 'unknown') await events.close()
        tell('ended', told)
        if (stands !== 'unknown') await store.forgetOld().catch(() => {})
        return told
      },
    }
  }

  return {
    closeInterrupted,
    async begin(kind, trigger) {
      const worker = crypto.randomUUID()
      await settleDebts()
      await closeInterrupted()
      const run = await store.begin({ ...kind, trigger, worker, node, leaseMs: LEASE_MS })
      if (run !== null) return open(run, worker)
      const other = new AppError('RUN_OVERLAPS', `another ${kind.job} is under way`)
      await past(neverBegan({ ...kind, trigger, node }, other))
      return null
    },
    async beginPending(kind) {
      const worker = crypto.randomUUID()
      const run = await store.takePending({ ...kind, worker, node, leaseMs: LEASE_MS })
      return run === null ? null : open(run, worker)
    },
    skip: (kind, trigger, error) => past(neverBegan({ ...kind, trigger, node }, error)),
    failedToBegin: (kind, trigger, error, startedAt) =>
      past({ ...neverBegan({ ...kind, trigger, node }, error), status: 'failed', startedAt }),
  }
}

function neverBegan(
  { job, mode, trigger, node }: Pick<Run, 'job' | 'mode' | 'trigger' | 'node'>,
  error: AppError,
): Run {
  const now = new Date()
  return {
    id: null,
    job,
    mode,
    trigger,
    node,
    status: 'skipped',
    startedAt: now,
    endedAt: now,
    attempts: 1,
    items: {},
    bytes: 0,
    error: plain(error),
  }
}

/** As it is kept. */
export function plain({ code, message, hint }: AppError): RunError {
  return { code, message, hint }
}
