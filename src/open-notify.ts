import { hostname } from 'node:os'
import { setTimeout as timer } from 'node:timers/promises'
import { type Config, secretsOf } from './config.ts'
import { createRedactor } from './log-redact.ts'
import { openChannels } from './notify/channels.ts'
import { createNotifier, type Notifier, type RunHistory } from './notify/notifier.ts'
import { createReach } from './notify/reach.ts'
import type { Sender } from './notify/texts.ts'
import type { Program } from './open.ts'

/** How long messages that wait may hold up the end of the program. */
const CLOSE_WITHIN_MS = 10_000

/** Opens what tells people; nothing is sent before there is something to tell. */
export function openNotifier(
  config: Config,
  { log, stops }: Pick<Program, 'log' | 'stops'>,
  history: RunHistory | null,
): Notifier {
  const { notify } = config
  const channels = openChannels(notify, {
    reach: createReach(notify.allowed),
    redact: createRedactor(secretsOf(config)).text,
  })
  const notifier = createNotifier({
    on: notify.on,
    channels,
    sender: senderOf(config),
    history,
    log,
    wait: waitOrAbort,
    now: () => performance.now(),
  })
  stops.push('messages', (signal) => notifier.close(signal), CLOSE_WITHIN_MS)
  return notifier
}

export function senderOf({ notify }: Config): Sender {
  return {
    node: hostname(),
    adminUrl: notify.adminUrl,
    stamp: () => ({ id: crypto.randomUUID(), at: new Date() }),
  }
}

/** Resolves after so long, or as soon as the signal fires. */
export async function waitOrAbort(ms: number, signal: AbortSignal): Promise<void> {
  await timer(ms, undefined, { signal }).catch(() => {})
}
