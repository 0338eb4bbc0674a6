/** The beginning of an answer. */
export interface AnswerHead {
  status: number
  /** By name in lower case; values that came in several lines are joined by a comma. */
  headers: Readonly<Record<string, string>>
  /** Of the body that follows; null where another reader has to find its end. */
  lengthBytes: number | null
  /** False when the server closes the connection after this answer. */
  staysOpen: boolean
}

/** No store sends so much; Node itself reads 16 KiB. */
export const HEAD_MAX_BYTES = 12 << 10
const LINES_MAX = 100
const STATUS_LINE = /^HTTP\/1\.1 ([2-5]\d\d)(?: [\t\x20-\x7e\x80-\xff]*)?$/
const FIELD_LINE = /^([!#$%&'*+\-.^_`|~0-9A-Za-z]+):[\t ]*([\t\x20-\x7e\x80-\xff]*)$/
/** Two lines of them that differ would let two readers see two answers. */
const SINGLE = new Set([
  'content-length',
  'content-range',
  'etag',
  'last-modified',
  'connection',
  'date',
])

/**
 * Reads a status line and header lines, and nothing that is unusual: other versions of HTTP, folded or bare lines, repeated
 * lengths (RFC 9112 sections 2.2, 5 and 6.3 say what all this may mean, and how readers came to differ).
 *
 * @param bytes up to the empty line, which is not part of it
 * @returns null for an answer that another reader has to judge
 */
export function parseHead(bytes: Buffer): AnswerHead | null {
  const [first = '', ...lines] = bytes.toString('latin1').split('\r\n')
  const status = STATUS_LINE.exec(first)?.[1]
  if (status === undefined || lines.length > LINES_MAX) return null
  const headers: Record<string, string> = Object.create(null)
  for (const line of lines) {
    const [, name = '', value = ''] = FIELD_LINE.exec(line) ?? []
    const key = name.toLowerCase()
    const before = headers[key]
    if (key === '' || (before !== undefined && SINGLE.has(key))) return null
    headers[key] = before === undefined ? value.trimEnd() : `${before}, ${value.trimEnd()}`
  }
  const { 'content-length': length, connection = '' } = headers
  // Whatever length these two name, nothing follows them (RFC 9112 section 6.3).
  const hasBody = status !== '204' && status !== '304'
  const isPlain = hasBody && length !== undefined && headers['transfer-encoding'] === undefined
  if (length !== undefined && !/^\d{1,15}$/.test(length)) return null
  const options = connection.split(',').map((option) => option.trim().toLowerCase())
  return {
    status: Number(status),
    headers,
    lengthBytes: isPlain ? Number(length) : null,
    staysOpen: !options.includes('close') && !options.includes('upgrade'),
  }
}
