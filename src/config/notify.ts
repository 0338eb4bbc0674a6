import type { AddressRange } from '../ip-address.ts'
import type { SettingName, SettingValues } from './settings.ts'

export type NotifyOn = 'failure' | 'recovery' | 'always' | 'digest'

/** Where messages go; null where a channel is not set. */
export interface NotifyConfig {
  on: readonly NotifyOn[]
  /** A cron expression. */
  digest: string
  slack: URL | null
  discord: URL | null
  ntfy: { url: URL; token: string | null } | null
  apprise: URL | null
  webhook: { url: URL; secret: string | null } | null
  email: { server: URL; from: string; to: readonly string[] } | null
  ping: URL | null
  kuma: URL | null
  allowed: { hosts: readonly string[]; ranges: readonly AddressRange[] }
  tunnelMetrics: URL | null
  /** Begins the links in messages. */
  adminUrl: string | null
}

export type Hook = 'HOOK_PRE_SYNC' | 'HOOK_POST_SYNC' | 'HOOK_ITEM_ARCHIVED' | 'HOOK_ITEM_REJECTED'

export interface HooksConfig {
  commands: Readonly<Record<Hook, readonly [program: string, ...args: string[]] | null>>
  timeoutMs: number
}

export function notifyConfig(values: SettingValues): NotifyConfig {
  const { NOTIFY_NTFY_URL: ntfy, NOTIFY_WEBHOOK_URL: webhook, NOTIFY_SMTP_URL: server } = values
  const { NOTIFY_EMAIL_FROM: from, NOTIFY_EMAIL_TO: to } = values
  return {
    on: values.NOTIFY_ON,
    digest: values.NOTIFY_DIGEST,
    slack: values.NOTIFY_SLACK_URL,
    discord: values.NOTIFY_DISCORD_URL,
    ntfy: ntfy === null ? null : { url: ntfy, token: values.NOTIFY_NTFY_TOKEN },
    apprise: values.NOTIFY_APPRISE_URL,
    webhook: webhook === null ? null : { url: webhook, secret: values.NOTIFY_WEBHOOK_SECRET },
    email: server === null || from === null || to === null ? null : { server, from, to },
    ping: values.NOTIFY_PING_URL,
    kuma: values.NOTIFY_KUMA_URL,
    allowed: values.NOTIFY_ALLOW_PRIVATE ?? { hosts: [], ranges: [] },
    tunnelMetrics: values.TUNNEL_METRICS_URL,
    adminUrl: values.ADMIN_URL,
  }
}

export function hooksConfig(values: SettingValues): HooksConfig {
  const { HOOK_PRE_SYNC, HOOK_POST_SYNC, HOOK_ITEM_ARCHIVED, HOOK_ITEM_REJECTED } = values
  return {
    commands: { HOOK_PRE_SYNC, HOOK_POST_SYNC, HOOK_ITEM_ARCHIVED, HOOK_ITEM_REJECTED },
    timeoutMs: values.HOOK_TIMEOUT,
  }
}

/** What must not be told of the addresses of messages: each of them holds a token, or is one. */
export function notifySecrets({ slack, discord, ntfy, apprise, ...rest }: NotifyConfig): string[] {
  const { webhook, email, ping, kuma } = rest
  const urls = [slack, discord, ntfy?.url, apprise, webhook?.url, email?.server, ping, kuma]
  return [
    ...urls.flatMap((url) => (url ? secretPartsOf(url) : [])),
    ...[ntfy?.token, webhook?.secret].filter((secret) => typeof secret === 'string'),
  ]
}

/** Long enough to be a token and no ordinary word of a path. */
const TOKEN_LENGTH = 16

function secretPartsOf({ href, pathname, search, password, username }: URL): string[] {
  const path = `${pathname}${search}`
  const tokens = path.split(/[/?&=]/).filter((part) => part.length >= TOKEN_LENGTH)
  const parts = [href, ...(path.length >= TOKEN_LENGTH ? [path] : []), ...tokens, password]
  const raw = username.length >= TOKEN_LENGTH ? [...parts, username] : parts
  return raw.filter((part) => part !== '').flatMap((part) => [part, decoded(part)])
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text)
  } catch {
    // A percent sign that encodes nothing stands for itself.
    return text
  }
}

const urlSettings = [
  'NOTIFY_SLACK_URL',
  'NOTIFY_DISCORD_URL',
  'NOTIFY_NTFY_URL',
  'NOTIFY_APPRISE_URL',
  'NOTIFY_WEBHOOK_URL',
  'NOTIFY_PING_URL',
  'NOTIFY_KUMA_URL',
] as const

interface Fault {
  setting: SettingName
  wrong: string
}

/** What no setting of these can be judged on alone. */
export function notifyFaults(values: SettingValues): Fault[] {
  const faults: Fault[] = []
  for (const setting of urlSettings) {
    if (values[setting]?.protocol === 'http:' && values.NOTIFY_ALLOW_PRIVATE === null)
      faults.push({
        setting,
        wrong: 'must begin with https://, unless NOTIFY_ALLOW_PRIVATE names its host',
      })
  }
  const mail = ['NOTIFY_SMTP_URL', 'NOTIFY_EMAIL_FROM', 'NOTIFY_EMAIL_TO'] as const
  const given = mail.filter((setting) => values[setting] !== null)
  for (const setting of mail) {
    if (given.length > 0 && values[setting] === null)
      faults.push({
        setting,
        wrong: `must be set for mail, because ${given.join(' and ')} ${given.length > 1 ? 'are' : 'is'}`,
      })
  }
  for (const [setting, needs] of [
    ['NOTIFY_NTFY_TOKEN', 'NOTIFY_NTFY_URL'],
    ['NOTIFY_WEBHOOK_SECRET', 'NOTIFY_WEBHOOK_URL'],
  ] as const) {
    if (values[setting] !== null && values[needs] === null)
      faults.push({ setting: needs, wrong: `must be set, because ${setting} is` })
  }
  return faults
}
