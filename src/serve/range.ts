/** The request headers that decide how much of a file is sent, in the lower case that Node gives them. */
export interface ConditionalHeaders {
  range?: string | undefined
  'if-range'?: string | undefined
  'if-match'?: string | undefined
  'if-none-match'?: string | undefined
  'if-modified-since'?: string | undefined
  'if-unmodified-since'?: string | undefined
}

export interface Representation {
  sizeBytes: number
  /** Strong, with its quotes. */
  etag: string
  lastModified: Date
}

export interface Slice {
  start: number
  length: number
}

export type Verdict =
  | ({ status: 200 | 206 } & Slice)
  | { status: 304 }
  | { status: 412 }
  | { status: 416 }

/** Decides in the order of RFC 9110 13.2.2: If-Match, If-None-Match, then the range. A HEAD has no range. */
export function judgeRequest(
  method: string,
  headers: ConditionalHeaders,
  file: Representation,
): Verdict {
  if (!mayProceed(headers, file)) return { status: 412 }
  if (isUnchanged(headers, file)) return { status: 304 }
  const whole = { status: 200, start: 0, length: file.sizeBytes } as const
  if (method !== 'GET' || headers.range === undefined || !rangeApplies(headers, file)) return whole
  const range = parseRange(headers.range, file.sizeBytes)
  if (range === 'ignored') return whole
  return range === 'unsatisfiable' ? { status: 416 } : { status: 206, ...range }
}

/**
 * Reads a Range header of exactly one range of bytes.
 *
 * @returns `ignored` for anything else (RFC 9110 14.2 lets a server answer with the whole), also for an empty file,
 *   of which no part can be named
 */
export function parseRange(header: string, sizeBytes: number): Slice | 'ignored' | 'unsatisfiable' {
  const match = /^bytes=(\d*)-(\d*)$/i.exec(header.trim())
  if (!match || sizeBytes === 0) return 'ignored'
  const [, first = '', last = ''] = match
  if (first === '') return last === '' ? 'ignored' : suffixOf(Number(last), sizeBytes)
  const start = Number(first)
  const end = last === '' ? sizeBytes - 1 : Math.min(Number(last), sizeBytes - 1)
  if (last !== '' && isGreater(first, last)) return 'ignored'
  return start >= sizeBytes ? 'unsatisfiable' : { start, length: end - start + 1 }
}

function suffixOf(length: number, sizeBytes: number): Slice | 'unsatisfiable' {
  if (length === 0) return 'unsatisfiable'
  const start = Math.max(0, sizeBytes - length)
  return { start, length: sizeBytes - start }
}

/** Compares digits exactly where numbers would round. */
function isGreater(first: string, last: string): boolean {
  return BigInt(first) > BigInt(last)
}

function mayProceed(headers: ConditionalHeaders, file: Representation): boolean {
  const wanted = headers['if-match']
  if (wanted !== undefined) return wanted.trim() === '*' || tagsOf(wanted).includes(file.etag)
  const since = parseDate(headers['if-unmodified-since'])
  return since === null || seconds(file.lastModified) <= seconds(since)
}

function isUnchanged(headers: ConditionalHeaders, file: Representation): boolean {
  const known = headers['if-none-match']
  if (known !== undefined) {
    const weak = tagsOf(known).map((tag) => tag.replace(/^W\//, ''))
    return known.trim() === '*' || weak.includes(file.etag)
  }
  const since = parseDate(headers['if-modified-since'])
  return since !== null && seconds(file.lastModified) <= seconds(since)
}

/** If-Range takes a strong tag or the exact date; a weak tag never matches. */
function rangeApplies(headers: ConditionalHeaders, file: Representation): boolean {
  const condition = headers['if-range']?.trim()
  if (condition === undefined || condition === file.etag) return true
  const date = parseDate(condition)
  return date !== null && seconds(date) === seconds(file.lastModified)
}

function tagsOf(header: string): string[] {
  return header.match(/(?:W\/)?"[^"]*"/g) ?? []
}

/** Only the one format that RFC 9110 lets anyone send; other texts are no condition. */
function parseDate(text: string | undefined): Date | null {
  const fixdate = /^(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun), \d\d [A-Z][a-z]{2} \d{4} \d\d:\d\d:\d\d GMT$/
  if (text === undefined || !fixdate.test(text.trim())) return null
  const date = new Date(text)
  return Number.isNaN(date.getTime()) ? null : date
}

function seconds(date: Date): number {
  return Math.floor(date.getTime() / 1000)
}
