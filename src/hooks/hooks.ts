import type { Hook, HooksConfig } from '../config/notify.ts'
import { AppError, isAppError, toAppError } from '../errors.ts'
import type { Log } from '../log.ts'
import type { Run } from '../runs.ts'
import type { ItemReport } from '../sync/report.ts'
import type { Tool, ToolOutcome } from '../tools/spawn.ts'
import { type HookContext, itemContext, runContext, variablesOf } from './context.ts'

/** Programs of the operator around a sync. */
export interface Hooks {
  /** @returns why the run is not to begin (HOOK_FAILED, HOOK_REFUSED, CANCELLED); null when it may */
  before(run: Run): Promise<AppError | null>
  /** Never throws: what is done is done. */
  after(run: Run): Promise<void>
  /** Returns at once; the program runs beside the sync. */
  settled(report: ItemReport): void
  /** Waits for the programs of items; when `signal` fires they are killed, and those that did not begin are left out. */
  close(signal: AbortSignal): Promise<void>
}

export interface HooksParts {
  config: HooksConfig
  run: (tool: Tool) => Promise<ToolOutcome>
  /** All of our own environment that a hook sees. */
  env: Readonly<Record<string, string>>
  archiveDir: string
  log: Log
  /** Fires when a sync is to let go of everything. */
  abort: AbortSignal
}

/** EX_TEMPFAIL of sysexits.h: not now. */
const EXIT_NOT_NOW = 75
const OUTPUT_BYTES = 8_192
const AT_ONE_TIME = 2
/** Some ten megabytes of reports; programs that much slower than the sync are left out, and the log says so. */
const MOST_WAITING = 10_000

export function createHooks(parts: HooksParts): Hooks {
  const { config, log, archiveDir, abort } = parts
  const queue = createQueue(parts)
  return {
    async before(run) {
      try {
        const ended = await runHook(parts, 'HOOK_PRE_SYNC', runContext('pre-sync', run), abort)
        return ended === null ? null : refusalOf(ended, config)
      } catch (error) {
        return toAppError(error)
      }
    },
    async after(run) {
      try {
        await runHook(parts, 'HOOK_POST_SYNC', runContext('post-sync', run), abort)
      } catch (error) {
        log.warn({ hook: 'HOOK_POST_SYNC', error: toAppError(error) }, 'the hook was stopped')
      }
    },
    settled(report) {
      const hook = hookOf(report)
      if (hook !== null && config.commands[hook] !== null)
        queue.put({ hook, context: itemContext(report, archiveDir) })
    },
    close: queue.close,
  }
}

function hookOf({ outcome }: ItemReport): Hook | null {
  if (outcome === 'archived') return 'HOOK_ITEM_ARCHIVED'
  return outcome === 'rejected' ? 'HOOK_ITEM_REJECTED' : null
}

/** @returns null when there is no such hook. @throws CANCELLED */
async function runHook(
  { config, run, env, log }: HooksParts,
  hook: Hook,
  context: HookContext,
  signal: AbortSignal,
): Promise<ToolOutcome | null> {
  const words = config.commands[hook]
  if (words === null) return null
  const [command, ...args] = words
  const startedAt = performance.now()
  const ended = await run({
    command,
    args,
    env: { ...env, ...variablesOf(context) },
    input: `${JSON.stringify(context)}\n`,
    timeoutMs: config.timeoutMs,
    maxOutputBytes: OUTPUT_BYTES,
    excess: 'drop',
    signal,
  })
  const durationMs = Math.round(performance.now() - startedAt)
  const about = { hook, event: context.event, media: context.media_id, run: context.run_id }
  const said = ended.kind === 'exited' ? { stdout: ended.stdout, stderr: ended.stderr } : {}
  if (isFine(ended)) log.info({ ...about, durationMs, ...said }, 'hook ended')
  else log.warn({ ...about, durationMs, ...said, why: failureText(ended, config) }, 'hook failed')
  return ended
}

function isFine(ended: ToolOutcome): boolean {
  return ended.kind === 'exited' && ended.exitCode === 0
}

function failureText(ended: ToolOutcome, { timeoutMs }: HooksConfig): string {
  switch (ended.kind) {
    case 'not-started':
      return `it could not be started (${ended.systemCode})`
    case 'timeout':
      return `it did not end within HOOK_TIMEOUT (${timeoutMs / 1000} s) and was stopped`
    case 'overflow':
      return 'it said too much'
    case 'exited':
      return ended.exitCode === null
        ? `it was ended by ${ended.signal}`
        : `it ended with exit code ${ended.exitCode}`
  }
}

function refusalOf(ended: ToolOutcome, config: HooksConfig): AppError | null {
  if (isFine(ended)) return null
  const isLater = ended.kind === 'exited' && ended.exitCode === EXIT_NOT_NOW
  const message = isLater
    ? 'HOOK_PRE_SYNC said not now (exit code 75)'
    : `HOOK_PRE_SYNC failed: ${failureText(ended, config)}`
  return new AppError(isLater ? 'HOOK_REFUSED' : 'HOOK_FAILED', message)
}

interface ItemHook {
  hook: Hook
  context: HookContext
}

/** Runs what is put into it, a few at a time, whatever the sync does meanwhile. */
function createQueue(parts: HooksParts) {
  const { log } = parts
  const waiting: ItemHook[] = []
  const stop = new AbortController()
  const lanes = new Set<Promise<void>>()
  let working = 0
  let leftOut = 0

  const work = async () => {
    for (let next = waiting.shift(); next !== undefined; next = waiting.shift()) {
      try {
        await runHook(parts, next.hook, next.context, stop.signal)
      } catch (error) {
        const what = { hook: next.hook, media: next.context.media_id }
        if (!isAppError(error, 'CANCELLED')) log.error({ ...what, error }, 'hook failed')
        else log.warn(what, 'the hook was stopped')
      }
    }
    // In the same turn in which nothing was left, so that what comes next finds a lane.
    working -= 1
  }
  return {
    put(one: ItemHook) {
      if (waiting.length >= MOST_WAITING || stop.signal.aborted) {
        if (leftOut === 0)
          log.warn({ hook: one.hook }, 'hooks are slower than the sync; some are left out')
        leftOut += 1
        return
      }
      waiting.push(one)
      if (working >= AT_ONE_TIME) return
      working += 1
      const lane = work().finally(() => lanes.delete(lane))
      lanes.add(lane)
    },
    async close(signal: AbortSignal) {
      const cut = (): void => {
        leftOut += waiting.splice(0).length
        stop.abort()
      }
      signal.addEventListener('abort', cut, { once: true })
      if (signal.aborted) cut()
      await Promise.all(lanes)
      signal.removeEventListener('abort', cut)
      if (leftOut > 0) log.warn({ leftOut }, 'hooks of items that did not run')
    },
  }
}
