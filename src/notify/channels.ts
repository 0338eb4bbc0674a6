import type { NotifyConfig } from '../config/notify.ts'
import type { Delivery } from './delivery.ts'
import { sendMail } from './mail.ts'
import type { Message } from './message.ts'
import {
  apprisePayload,
  discordPayload,
  ntfyPayload,
  slackPayload,
  webhookPayload,
} from './payloads.ts'
import { healthchecksPing, kumaPing, type Ping } from './pings.ts'
import { type Outgoing, post } from './post.ts'
import type { Reach } from './reach.ts'

export const channelNames = [
  'slack',
  'discord',
  'ntfy',
  'apprise',
  'webhook',
  'email',
  'ping',
  'kuma',
] as const
export type ChannelName = (typeof channelNames)[number]

/** One way to the outside; never throws. */
export interface Channel<T> {
  name: ChannelName
  /** Which setting to look at when it does not work. */
  setting: string
  send(what: T, signal: AbortSignal): Promise<Delivery>
}

export interface Channels {
  /** For people. */
  messages: Channel<Message>[]
  /** For services that wait for signs of life. */
  pings: Channel<Ping>[]
}

export function settingOf(name: ChannelName): string {
  return name === 'email' ? 'NOTIFY_SMTP_URL' : `NOTIFY_${name.toUpperCase()}_URL`
}

/** Every channel that is set. */
export function openChannels(
  config: NotifyConfig,
  {
    reach,
    redact,
    now = () => new Date(),
  }: {
    reach: Reach
    /** Takes secrets out of what a service answered. */
    redact: (text: string) => string
    now?: () => Date
  },
): Channels {
  const { slack, discord, ntfy, apprise, webhook, email, ping, kuma } = config
  const over = <T>(name: ChannelName, form: (what: T) => Outgoing | null): Channel<T> => {
    const setting = settingOf(name)
    const send = async (what: T, signal: AbortSignal): Promise<Delivery> => {
      const outgoing = form(what)
      if (outgoing === null) return { kind: 'delivered' }
      return discreet(await post(outgoing, { reach, signal, setting }), redact)
    }
    return { name, setting, send }
  }
  const messages: (Channel<Message> | null)[] = [
    slack && over('slack', (message) => slackPayload(slack, message)),
    discord && over('discord', (message) => discordPayload(discord, message)),
    ntfy && over('ntfy', (message) => ntfyPayload(ntfy, message)),
    apprise && over('apprise', (message) => apprisePayload(apprise, message)),
    webhook && over('webhook', (message) => webhookPayload(webhook, message, now())),
    email && {
      name: 'email',
      setting: settingOf('email'),
      send: async (message, signal) =>
        discreet(await sendMail(email, message, { reach, signal }), redact),
    },
  ]
  const pings: (Channel<Ping> | null)[] = [
    ping && over('ping', (sign) => healthchecksPing(ping, sign)),
    kuma && over('kuma', (sign) => kumaPing(kuma, sign)),
  ]
  const isSet = <T>(channel: T | null): channel is T => channel !== null
  return { messages: messages.filter(isSet), pings: pings.filter(isSet) }
}

function discreet(delivery: Delivery, redact: (text: string) => string): Delivery {
  return delivery.kind === 'delivered' ? delivery : { ...delivery, why: redact(delivery.why) }
}
