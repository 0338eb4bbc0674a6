import { type Config, secretsOf } from '../config.ts'
import { AppError } from '../errors.ts'
import type { Host } from '../host.ts'
import { createRedactor } from '../log-redact.ts'
import { type ChannelName, channelNames, openChannels, settingOf } from '../notify/channels.ts'
import type { Delivery } from '../notify/delivery.ts'
import { createReach } from '../notify/reach.ts'
import { testMessage } from '../notify/texts.ts'
import { senderOf } from '../open/notify.ts'

/** As for a database that cannot be reached (EX_UNAVAILABLE). */
const EXIT_UNSENT = 69

/**
 * `strongroom notify test`: sends one message through each channel and says of each what happened.
 *
 * @param run.only null for every channel that is set; @returns the exit code
 * @throws CONFIG_INVALID when there is nothing to test
 */
export async function notifyTest(
  host: Host,
  config: Config,
  { only, drain }: { only: ChannelName | null; drain: AbortSignal },
): Promise<number> {
  const channels = openChannels(config.notify, {
    reach: createReach(config.notify.allowed),
    redact: createRedactor(secretsOf(config)).text,
  })
  const sender = senderOf(config)
  const sign = { sign: 'seen', runKey: crypto.randomUUID(), durationMs: null } as const
  const text = `"strongroom notify test" on ${sender.node}`
  const tries = [
    ...channels.messages.map(({ name, setting, send }) => ({
      name,
      setting,
      send: () => send(testMessage(sender, setting), drain),
    })),
    ...channels.pings.map(({ name, setting, send }) => ({
      name,
      setting,
      send: () => send({ ...sign, text }, drain),
    })),
  ].filter(({ name }) => only === null || name === only)
  if (tries.length === 0) throw nothingToTest(only)
  const results = await Promise.all(tries.map(attempt))
  for (const { line } of results) host.out(line)
  return results.every(({ isSent }) => isSent) ? 0 : EXIT_UNSENT
}

interface Try {
  name: ChannelName
  setting: string
  send: () => Promise<Delivery>
}

async function attempt({ name, setting, send }: Try): Promise<{ isSent: boolean; line: string }> {
  const startedAt = performance.now()
  const delivery = await send()
  const label = name.padEnd(LONGEST_NAME)
  if (delivery.kind === 'delivered') {
    const ms = Math.round(performance.now() - startedAt)
    return { isSent: true, line: `${label}  ok, sent in ${ms} ms (${setting})\n` }
  }
  const { why, remedy } = delivery
  return { isSent: false, line: `${label}  FAILED: ${why}\n  ${setting}: ${remedy}\n` }
}

const LONGEST_NAME = Math.max(...channelNames.map(({ length }) => length))

function nothingToTest(only: ChannelName | null): AppError {
  return only === null
    ? new AppError('CONFIG_INVALID', 'no channel is set: nobody would be told of anything', {
        hint: 'set one of NOTIFY_NTFY_URL, NOTIFY_SMTP_URL, NOTIFY_SLACK_URL …; docs/notifications.md lists them',
      })
    : new AppError('CONFIG_INVALID', `the channel ${only} is not set`, {
        hint: `set ${settingOf(only)}; docs/notifications.md shows an example`,
      })
}
