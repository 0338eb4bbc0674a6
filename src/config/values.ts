import { isAbsolute, resolve } from 'node:path/posix'
import { Cron } from 'croner'
import { z } from 'zod'
import { checkLayout } from '../archive-path.ts'
import { type AddressRange, readAddressRange } from '../ip-address.ts'

/** Reads a setting's text. Its messages say what would be right and never repeat the text, which may be a secret. */
export type Reader<T> = z.ZodType<T, string>

export function reader<T>(right: string, read: (text: string) => T | undefined): Reader<T> {
  return z.string().transform((text, context) => {
    const value = read(text)
    if (value !== undefined) return value
    context.addIssue({ code: 'custom', message: right })
    return z.NEVER
  })
}

/** One line without control characters. */
export const text: Reader<string> = reader(
  'must be one line of at most 1024 characters, without control characters',
  (value) => (value.length <= 1024 && !/\p{Cc}/u.test(value) ? value : undefined),
)

/** Kept byte for byte, because the other side has the same. */
export const secretText: Reader<string> = reader('must be a single line', (value) =>
  /[\0\r\n]/.test(value) ? undefined : value,
)

export function wholeNumber(min: number, max: number): Reader<number> {
  return reader(`must be a whole number from ${min} to ${max}`, (value) => {
    const number = /^\d{1,9}$/.test(value) ? Number(value) : Number.NaN
    return number >= min && number <= max ? number : undefined
  })
}

export const port: Reader<number> = wholeNumber(0, 65_535)

export const yesNo: Reader<boolean> = z.stringbool({
  truthy: ['true', '1', 'yes'],
  falsy: ['false', '0', 'no'],
  error: 'must be true or false (1, 0, yes and no are fine too)',
})

export function oneOf<const T extends readonly [string, ...string[]]>(
  ...choices: T
): Reader<T[number]> {
  return reader(`must be ${listed(choices)}`, (value) =>
    choices.find((choice) => choice.toLowerCase() === value.toLowerCase()),
  )
}

const unitMs = { ns: 1e-6, us: 1e-3, µs: 1e-3, μs: 1e-3, ms: 1, s: 1000, m: 60_000, h: 3_600_000 }
const durationPart = /(\d+(?:\.\d*)?|\.\d+)(ns|us|µs|μs|ms|s|m|h)/y

/** Milliseconds of a Go duration (`1h30m`) or of bare seconds (`1800`). */
export function readDuration(value: string): number | undefined {
  if (/^\d{1,9}$/.test(value)) return Number(value) * 1000
  if (value === '' || value.length > 40) return undefined
  let sum = 0
  durationPart.lastIndex = 0
  while (durationPart.lastIndex < value.length) {
    const part = durationPart.exec(value)
    if (!part) return undefined
    sum += Number(part[1]) * unitMs[part[2] as keyof typeof unitMs]
  }
  return Math.round(sum)
}

/** @param range inclusive, in milliseconds, with the words for it */
export function duration(range: { min: number; max: number; words: string }): Reader<number> {
  return reader(
    `must be a duration ${range.words}, such as 1h30m, 90s or plain seconds`,
    (value) => {
      const ms = readDuration(value)
      return ms !== undefined && ms >= range.min && ms <= range.max ? ms : undefined
    },
  )
}

const second = 1000
/** Node's timers hold 24.8 days. */
const longestInterval = 480 * 3600 * second

export const schedule: Reader<{ every: number } | { cron: string }> = z
  .string()
  .transform((value, context) => {
    const refuse = (message: string) => {
      context.addIssue({ code: 'custom', message })
      return z.NEVER
    }
    if (!/\s/.test(value)) {
      const every = readDuration(value)
      if (every !== undefined && every >= second && every <= longestInterval) return { every }
      return refuse(
        'must be a duration from 1s to 480h, such as 30m, plain seconds, or a cron expression',
      )
    }
    const problem = cronProblem(value)
    return problem === null ? { cron: value } : refuse(problem)
  })

function cronProblem(value: string): string | null {
  const wrong = 'must be a valid cron expression of 5 or 6 fields'
  if (value.length > 200 || !/^[\w*/,\-#?+ \t]+$/.test(value)) return wrong
  let fires: Date[]
  try {
    // UTC, but not as a time zone, whose calendar takes 11 ms to load.
    const cron = new Cron(value, { mode: '5-or-6-parts', paused: true, utcOffset: 0 })
    fires = cron.nextRuns(2)
  } catch {
    // croner's own message repeats the text.
    return wrong
  }
  const [first, next] = fires
  if (!first) return 'is a cron expression that never fires'
  if (next && next.getTime() - first.getTime() < second) {
    return 'is a cron expression that fires more often than once a second'
  }
  return null
}

export const folder: Reader<string> = reader('must be an absolute path', (value) =>
  isAbsolute(value) && !/\p{Cc}/u.test(value) ? resolve(value) : undefined,
)

export const program: Reader<string> = reader(
  'must be the name of a program in PATH, or its absolute path',
  (value) =>
    !/\p{Cc}/u.test(value) && (isAbsolute(value) || /^[\w.+][\w.+-]*$/.test(value))
      ? value
      : undefined,
)

export const layout: Reader<string> = z.string().superRefine((value, context) => {
  for (const message of checkLayout(value)) context.addIssue({ code: 'custom', message })
})

/** A mask that took our own rights away would make files that we cannot read back. */
export const umask: Reader<number> = reader(
  'must be an octal mask that leaves the owner all rights, from 000 to 077',
  (value) => (/^0{0,2}[0-7]{2}$/.test(value) ? Number.parseInt(value, 8) : undefined),
)

function webUrl(value: string): URL | undefined {
  if (!/^https?:\/\/[^/]/i.test(value) || /[\s\p{Cc}\\]/u.test(value)) return undefined
  const url = URL.parse(value)
  const plain = url && url.username === '' && url.password === '' && !/[?#]/.test(value)
  return plain ? url : undefined
}

/** The path is judged later, together with the bucket's name. */
export const endpoint: Reader<URL> = reader(
  'must be an http:// or https:// URL of the service alone, without user, password or query',
  webUrl,
)

export const publicUrl: Reader<string> = reader(
  'must be an http:// or https:// URL without user, password or query',
  (value) => webUrl(value)?.href.replace(/\/+$/, ''),
)

/** As browsers write them in Origin: lower case, no path, no port that goes without saying. */
export const origins: Reader<'*' | string[]> = reader(
  'must be * or origins such as https://app.example.org, without a path and separated by commas',
  (value) => {
    if (value.trim() === '*') return '*'
    const list = value.split(',').map((text) => webUrl(text.trim()))
    if (!list.every((url) => url !== undefined && url.pathname === '/')) return undefined
    return list.flatMap((url) => url?.origin ?? [])
  },
)

/** DNS names in lower case, as a browser sends them in Host (RFC 1123 2.1). */
export const hostNames: Reader<string[]> = reader(
  'must be host names such as nas.example.org, without ports and separated by commas',
  (value) => {
    const names = value.split(',').map((text) => text.trim().toLowerCase())
    const isName = (text: string) => /^(?=.{1,253}$)[a-z0-9_-]+(?:\.[a-z0-9_-]+)*$/.test(text)
    return names.every(isName) ? names : undefined
  },
)

export const pathPrefix: Reader<string> = reader(
  'must start with / and contain only letters, digits, and . _ ~ - between slashes',
  (value) => {
    const trimmed = value.replace(/\/+$/, '')
    const segments = /^(?:\/[\w~-][\w.~-]*)*$/
    return value.startsWith('/') && segments.test(trimmed) ? trimmed : undefined
  },
)

export const bucketName: Reader<string> = reader(
  'must be the bucket’s name: letters, digits, dots, dashes and underscores',
  (value) => (/^[A-Za-z0-9][\w.-]{0,254}$/.test(value) ? value : undefined),
)

/** Ends with a slash, so that no other prefix is its beginning. */
export const keyPrefix: Reader<string> = reader(
  'must be the beginning of a key, such as archive/: letters, digits, and . _ - between slashes',
  (value) => {
    const trimmed = value.replace(/\/$/, '')
    return /^\w[\w.-]*(?:\/\w[\w.-]*)*$/.test(trimmed) && trimmed.length <= 200
      ? `${trimmed}/`
      : undefined
  },
)

/** A host name, an address, or the folder of a Unix socket. */
export const databaseHost: Reader<string> = reader(
  'must be a host name, an IP address or the folder of a Unix socket, without a port',
  (value) =>
    /^(?:\/[^\s\p{Cc}]+|[\w.-]+|[0-9a-f:.]*::?[0-9a-f:.%]*)$/iu.test(value) ? value : undefined,
)

/** Some of the choices, with commas between, each once. */
export function someOf<const T extends readonly [string, ...string[]]>(
  ...choices: T
): Reader<T[number][]> {
  return reader(`must be some of ${listed(choices)}, with commas between`, (value) => {
    const words = new Set(value.split(',').map((word) => word.trim().toLowerCase()))
    const chosen = choices.filter((choice) => words.has(choice))
    return chosen.length === words.size ? chosen : undefined
  })
}

/** Ranges as {@link readAddressRange} reads them, with commas between. */
export const addressRanges: Reader<AddressRange[]> = reader(
  'must be a list of addresses or ranges with commas between, such as 127.0.0.1, 172.18.0.0/16, fd00::/8',
  (value) => {
    const ranges = value.split(',').map((part) => readAddressRange(part.trim()))
    const right = ranges.filter((range) => range !== null)
    return right.length === ranges.length ? right : undefined
  },
)

export const timeZone: Reader<string> = reader(
  'must be a time zone that this machine knows',
  (value) => {
    // To make a format takes 10 ms of every start; only it knows the older names, too.
    if (value === 'UTC' || Intl.supportedValuesOf('timeZone').includes(value)) return value
    try {
      return new Intl.DateTimeFormat('en', { timeZone: value }) && value
    } catch {
      // RangeError is how Intl says no.
      return undefined
    }
  },
)

const identifier = '[\\p{L}_][\\p{L}\\p{N}_$]*'

function identifiers(pattern: RegExp, right: string): Reader<string> {
  const fits = (part: string) => Buffer.byteLength(part) <= 63
  return reader(right, (value) =>
    pattern.test(value) && value.split('.').every(fits) ? value : undefined,
  )
}

export const columnName: Reader<string> = identifiers(
  new RegExp(`^${identifier}$`, 'u'),
  'must be a column’s name: letters, digits and underscores, at most 63 bytes',
)

export const tableName: Reader<string> = identifiers(
  new RegExp(`^${identifier}(?:\\.${identifier})?$`, 'u'),
  'must be a table’s name, or schema.table: letters, digits and underscores',
)

function listed(words: readonly string[]): string {
  return words.length === 1 ? `${words[0]}` : `${words.slice(0, -1).join(', ')} or ${words.at(-1)}`
}
