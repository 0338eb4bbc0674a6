import { hostname } from 'node:os'
import { type Config, secretsOf } from '../config.ts'
import type { Database } from '../db/connect.ts'
import { listRuns } from '../db/runs.ts'
import { enterTold, readTold } from '../db/told.ts'
import { toAppError } from '../errors.ts'
import { createHooks, type Hooks } from '../hooks/hooks.ts'
import { createRedactor } from '../log-redact.ts'
import { openChannels } from '../notify/channels.ts'
import { sendDigests } from '../notify/digest.ts'
import { createNotifier, type History, type Notifier } from '../notify/notifier.ts'
import { createReach } from '../notify/reach.ts'
import type { Sender } from '../notify/texts.ts'
import { createTunnelLook } from '../notify/tunnel.ts'
import { lookAt, type Watched, watchParts } from '../notify/watch.ts'
import type { Program } from '../open.ts'
import type { Run } from '../runs.ts'
import { runTool } from '../tools/spawn.ts'
import { pauseUnlessStopped } from '../waiting.ts'

/** How long messages that wait may hold up the end of the program. */
const CLOSE_WITHIN_MS = 10_000
const TUNNEL_EVERY_MS = 15_000

/** A command that runs something, and how it is stopped. */
interface Running {
  program: Pick<Program, 'log' | 'stops' | 'searchPath' | 'home'>
  drain: AbortSignal
  abort: AbortSignal
}

/** Opens what tells people; nothing is sent before there is something to tell. */
export function openNotifier(
  config: Config,
  { program, abort }: Running,
  database: Database | null,
): Notifier {
  const { log, stops } = program
  const channels = openChannels(config.notify, {
    reach: createReach(config.notify.allowed),
    redact: createRedactor(secretsOf(config)).text,
  })
  const notifier = createNotifier({
    on: config.notify.on,
    channels,
    sender: senderOf(config),
    history: database === null || channels.messages.length === 0 ? null : historyIn(database),
    log,
    wait: pauseUnlessStopped,
    now: () => performance.now(),
  })
  const close = (signal: AbortSignal) => notifier.close(AbortSignal.any([signal, abort]))
  stops.push('messages', close, CLOSE_WITHIN_MS)
  return notifier
}

/** Opens the programs around a sync; each item that settles is told to `notifier`, too. */
export function openHooks(
  config: Config,
  { program, abort }: Running,
  notifier: Notifier,
): Pick<Hooks, 'before' | 'after' | 'settled'> {
  const { log, stops, searchPath, home } = program
  const hooks = createHooks({
    config: config.hooks,
    run: runTool,
    env: {
      PATH: searchPath ?? '/usr/local/bin:/usr/bin:/bin',
      TZ: config.timeZone,
      ...(home === undefined ? {} : { HOME: home }),
    },
    archiveDir: config.archive.dir,
    log,
    abort,
  })
  const close = (signal: AbortSignal) => hooks.close(AbortSignal.any([signal, abort]))
  stops.push('hooks', close, config.shutdownTimeoutMs)
  return {
    before: hooks.before,
    after: hooks.after,
    settled(report) {
      notifier.itemSettled(report)
      hooks.settled(report)
    },
  }
}

/** Looks at parts of the service until the program drains, and tells of what changes. */
export function watchAll(
  { program: { log }, drain: signal }: Running,
  { tell }: Notifier,
  parts: readonly Watched[],
): void {
  void watchParts(parts, { tell, wait: pauseUnlessStopped, signal, log })
}

/** Looks at them once, and tells of what has changed since anybody was told. */
export async function lookAtAll(
  { program: { log }, abort: signal }: Running,
  { tell, tellsPeople }: Notifier,
  parts: readonly Watched[],
): Promise<void> {
  if (!tellsPeople) return
  await Promise.all(parts.map((part) => lookAt(part, { tell, signal, log })))
}

/** The tunnel, where its address is known. */
export function partsOfTunnel({ notify }: Config): Watched[] {
  if (notify.tunnelMetrics === null) return []
  const look = createTunnelLook(notify.tunnelMetrics)
  return [
    {
      subject: 'tunnel',
      recovered: 'the tunnel is up again',
      ofNode: true,
      everyMs: TUNNEL_EVERY_MS,
      look,
    },
  ]
}

/** Sends the digests, if they are asked for, until the program drains. */
export function digestDaily(
  { notify, timeZone }: Config,
  { program: { log }, drain: signal }: Running,
  { digest }: Notifier,
): void {
  if (!notify.on.includes('digest')) return
  const times = {
    cron: notify.digest,
    timeZone,
    wait: pauseUnlessStopped,
    now: () => new Date(),
    signal,
  }
  sendDigests(times, digest).catch((error: unknown) => {
    log.error({ error: toAppError(error) }, 'no digest is sent any more')
  })
}

/** Beyond that a digest counts no more. */
const MOST_RUNS = 5_000
const PAGE = 500

function historyIn(database: Database): History {
  return {
    told: () => readTold(database),
    enterTold: (subject, failing) => enterTold(database, subject, failing),
    async endedSince(since) {
      const found: Run[] = []
      for (let before: number | null = null; found.length < MOST_RUNS; ) {
        const page: Run[] = await listRuns(database, { job: null, before, limit: PAGE })
        found.push(...page.filter(({ endedAt }) => endedAt !== null && endedAt >= since))
        const last = page.at(-1)
        // A run of days may have begun long before; a page that ends earlier holds nothing new.
        if (last === undefined || page.length < PAGE || last.startedAt < since) break
        before = last.id
      }
      return found
    },
  }
}

export function senderOf({ notify }: Config): Sender {
  return {
    node: hostname(),
    adminUrl: notify.adminUrl,
    stamp: () => ({ id: crypto.randomUUID(), at: new Date() }),
  }
}
