/** The request headers that make an answer depend on what the client has, in the lower case that Node gives them. */
export interface ConditionalHeaders {
  range?: string | undefined
  'if-range'?: string | undefined
  'if-match'?: string | undefined
  'if-none-match'?: string | undefined
  'if-modified-since'?: string | undefined
  'if-unmodified-since'?: string | undefined
}

/** What a file is known by. */
export interface Validators {
  /** Strong, with its quotes. */
  etag: string
  /** Null where there is none to tell; then dates are compared with nothing. */
  lastModified: Date | null
}

/** RFC 9110 13.1.1 (strong comparison) and 13.1.4, which counts only where there is no If-Match. */
export function mayProceed(headers: ConditionalHeaders, file: Validators): boolean {
  const wanted = headers['if-match']
  if (wanted !== undefined) return wanted.trim() === '*' || tagsOf(wanted).includes(file.etag)
  const since = parseHttpDate(headers['if-unmodified-since'])
  if (since === null || file.lastModified === null) return true
  return seconds(file.lastModified) <= seconds(since)
}

/** RFC 9110 13.1.2 (weak comparison) and 13.1.3, which counts only where there is no If-None-Match. */
export function isUnchanged(headers: ConditionalHeaders, file: Validators): boolean {
  const known = headers['if-none-match']
  if (known !== undefined) {
    const weak = tagsOf(known).map((tag) => tag.replace(/^W\//, ''))
    return known.trim() === '*' || weak.includes(file.etag)
  }
  const since = parseHttpDate(headers['if-modified-since'])
  if (since === null || file.lastModified === null) return false
  return seconds(file.lastModified) <= seconds(since)
}

/** RFC 9110 13.1.5: a strong tag or the exact date; a weak tag never matches. */
export function rangeApplies(headers: ConditionalHeaders, file: Validators): boolean {
  const condition = headers['if-range']?.trim()
  if (condition === undefined || condition === file.etag) return true
  const date = parseHttpDate(condition)
  if (date === null || file.lastModified === null) return false
  return seconds(date) === seconds(file.lastModified)
}

function tagsOf(header: string): string[] {
  return header.match(/(?:W\/)?"[^"]*"/g) ?? []
}

const MONTHS = ['Jan', 'Feb', 'Mar', 'Apr', 'May', 'Jun', 'Jul', 'Aug', 'Sep', 'Oct', 'Nov', 'Dec']
const CLOCK = String.raw`(?<hour>\d\d):(?<minute>\d\d):(?<second>\d\d)`
const MONTH = `(?<month>${MONTHS.join('|')})`
const FORMATS = [
  // Sun, 06 Nov 1994 08:49:37 GMT
  String.raw`(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun), (?<day>\d\d) ${MONTH} (?<year>\d{4}) ${CLOCK} GMT`,
  // Sunday, 06-Nov-94 08:49:37 GMT
  String.raw`(?:Mon|Tues|Wednes|Thurs|Fri|Satur|Sun)day, (?<day>\d\d)-${MONTH}-(?<year>\d\d) ${CLOCK} GMT`,
  // Sun Nov  6 08:49:37 1994
  String.raw`(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun) ${MONTH} (?<day>[ \d]\d) ${CLOCK} (?<year>\d{4})`,
].map((format) => new RegExp(`^${format}$`))

/** Reads the three formats that RFC 9110 5.6.7 obliges every recipient to know. @returns null for any other text */
export function parseHttpDate(text: string | undefined, now?: Date): Date | null {
  if (text === undefined) return null
  const trimmed = text.trim()
  const found = FORMATS.map((format) => format.exec(trimmed)?.groups).find((groups) => groups)
  if (!found) return null
  const { year = '', month = '', day = '', hour = '', minute = '', second = '' } = found
  const fields = [
    fullYear(year, now ?? new Date()),
    MONTHS.indexOf(month),
    Number(day),
    Number(hour),
    Number(minute),
    Number(second),
  ] as const
  const date = new Date(0)
  date.setUTCFullYear(fields[0], fields[1], fields[2])
  date.setUTCHours(fields[3], fields[4], fields[5])
  // A 31st of February would have become a day of March.
  const kept = [
    date.getUTCFullYear(),
    date.getUTCMonth(),
    date.getUTCDate(),
    date.getUTCHours(),
    date.getUTCMinutes(),
    date.getUTCSeconds(),
  ]
  return kept.every((value, index) => value === fields[index]) ? date : null
}

/** Two digits that would lie more than 50 years ahead mean the last such year that has passed (RFC 9110 5.6.7). */
function fullYear(digits: string, now: Date): number {
  if (digits.length === 4) return Number(digits)
  const thisYear = now.getUTCFullYear()
  const year = thisYear - (thisYear % 100) + Number(digits)
  return year > thisYear + 50 ? year - 100 : year
}

function seconds(date: Date): number {
  return Math.floor(date.getTime() / 1000)
}
