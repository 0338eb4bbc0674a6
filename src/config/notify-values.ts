import { Cron } from 'croner'
import { z } from 'zod'
import { splitCommand } from '../argv.ts'
import { type AddressRange, readAddressRange } from '../ip-address.ts'
import { type Reader, schedule } from './values.ts'

function reader<T>(right: string, read: (text: string) => T | undefined): Reader<T> {
  return z.string().transform((text, context) => {
    const value = read(text)
    if (value !== undefined) return value
    context.addIssue({ code: 'custom', message: right })
    return z.NEVER
  })
}

function parseUrl(text: string, schemes: RegExp): URL | undefined {
  if (!schemes.test(text) || /[\s\p{Cc}\\#]/u.test(text)) return undefined
  const url = URL.parse(text)
  return url === null || url.hostname === '' ? undefined : url
}

/** @param shape what it looks like there, for the message; @param path what its path must match */
export function serviceUrl(shape: string, path: RegExp = /^\//): Reader<URL> {
  return reader(`must be an https:// address such as ${shape}, without #`, (text) => {
    const url = parseUrl(text, /^https?:\/\//i)
    return url !== undefined && path.test(url.pathname) ? url : undefined
  })
}

export const smtpUrl: Reader<URL> = reader(
  'must look like smtps://user:password@host:465 or smtp://user:password@host:587; special characters are percent-encoded',
  (text) => {
    const url = parseUrl(text, /^smtps?:\/\//i)
    if (url === undefined || url.search !== '' || !/^\/?$/.test(url.pathname)) return undefined
    try {
      decodeURIComponent(`${url.username}${url.password}`)
      return url
    } catch {
      // URIError: a percent sign that encodes nothing.
      return undefined
    }
  },
)

/** Without a display name; whoever wants one gives it as `Name <address>`. */
const mailbox = /^(?:[^<>"@,;\p{Cc}]{1,100} <)?[^\s<>"@,;\p{Cc}]{1,64}@[\p{L}\p{N}.-]{1,253}>?$/u

function isMailbox(text: string): boolean {
  return mailbox.test(text) && text.includes('<') === text.endsWith('>')
}

export const sender: Reader<string> = reader(
  'must be an e-mail address, such as strongroom@example.org or Strongroom <strongroom@example.org>',
  (text) => (isMailbox(text) ? text : undefined),
)

export const recipients: Reader<string[]> = reader(
  'must be e-mail addresses with commas between',
  (text) => {
    const list = text.split(',').map((one) => one.trim())
    return list.every(isMailbox) ? list : undefined
  },
)

/** Host names, addresses and ranges with commas between. */
export const ownNetwork: Reader<{ hosts: string[]; ranges: AddressRange[] }> = reader(
  'must be host names, addresses or ranges with commas between, such as ntfy.lan, 192.168.1.0/24',
  (text) => {
    const parts = text.split(',').map((part) => part.trim().toLowerCase())
    const isHost = (part: string) => /^(?!.*\/)[a-z\d_](?:[a-z\d_.-]*[a-z\d_])?$/.test(part)
    const sorted = parts.map((part) => readAddressRange(part) ?? (isHost(part) ? part : null))
    if (sorted.includes(null)) return undefined
    return {
      hosts: sorted.filter((part) => typeof part === 'string'),
      ranges: sorted.filter((part) => typeof part === 'object' && part !== null),
    }
  },
)

/** Several of `choices` with commas between. */
export function someOf<const T extends readonly string[]>(...choices: T): Reader<T[number][]> {
  return reader(`must be one or more of ${choices.join(', ')}, with commas between`, (text) => {
    const parts = text.split(',').map((part) => part.trim().toLowerCase())
    const chosen = choices.filter((choice) => parts.includes(choice))
    return parts.every((part) => choices.some((choice) => choice === part)) ? chosen : undefined
  })
}

/** A cron expression, without the durations that {@link schedule} takes as well. */
export const cron: Reader<string> = reader(
  'must be a cron expression of 5 or 6 fields, such as "0 8 * * *"',
  (text) => {
    const read = schedule.safeParse(text)
    if (!read.success || !('cron' in read.data)) return undefined
    return new Cron(text, { paused: true }).nextRun() === null ? undefined : text
  },
)

export const command: Reader<readonly [string, ...string[]]> = reader(
  'must be a program and its arguments, quoted where they have blanks; no shell reads it unless it says sh -c',
  (text) => splitCommand(text) ?? undefined,
)
