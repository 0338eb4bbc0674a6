import {
  type ConditionalHeaders,
  isUnchanged,
  mayProceed,
  rangeApplies,
  type Validators,
} from './conditions.ts'

export interface Representation extends Validators {
  sizeBytes: number
}

export interface Slice {
  start: number
  length: number
}

/** What is sent of a file: with 200 one slice, the whole; with 206 one or more. */
export type Verdict =
  | { status: 200 | 206; slices: readonly [Slice, ...Slice[]] }
  | { status: 304 }
  | { status: 412 }
  | { status: 416 }

/** More parts than this are answered with the whole file, as RFC 9110 14.2 allows: many small ones are an attack. */
const MAX_PARTS = 16
/** More than this many are not even read. */
const MAX_SPECS = 256
/** Ranges nearer to each other than the head of a part is long are cheaper as one (RFC 9110 15.3.7.2). */
const WORTHWHILE_GAP = 80

/** Decides in the order of RFC 9110 13.2.2: If-Match, If-None-Match, then the range. A HEAD has no range (14.2). */
export function judgeRequest(
  method: string,
  headers: ConditionalHeaders,
  file: Representation,
): Verdict {
  if (!mayProceed(headers, file)) return { status: 412 }
  if (isUnchanged(headers, file)) return { status: 304 }
  const whole: Verdict = { status: 200, slices: [{ start: 0, length: file.sizeBytes }] }
  if (method !== 'GET' || headers.range === undefined || !rangeApplies(headers, file)) return whole
  const slices = parseRanges(headers.range, file.sizeBytes)
  if (slices === 'ignored') return whole
  return slices === 'unsatisfiable' ? { status: 416 } : { status: 206, slices }
}

/**
 * Reads a Range header (RFC 9110 14.1.2, 14.2). Ranges that overlap or nearly touch become one, and then all are in
 * the order of the file; otherwise they stay in the order asked for.
 *
 * @returns `ignored` for what is malformed, in another unit, or too many parts, and for an empty file, of which no part
 *   can be named
 */
export function parseRanges(
  header: string,
  sizeBytes: number,
): readonly [Slice, ...Slice[]] | 'ignored' | 'unsatisfiable' {
  const list = /^bytes=(.*)$/i.exec(header.trim())?.[1]
  if (list === undefined || sizeBytes === 0) return 'ignored'
  const specs = list.split(',', MAX_SPECS + 1).map((spec) => spec.trim())
  if (specs.length > MAX_SPECS) return 'ignored'
  // A list may have empty elements (RFC 9110 5.6.1.2), but not only those.
  const asked = specs.filter((spec) => spec !== '').map((spec) => sliceOf(spec, sizeBytes))
  if (asked.length === 0 || asked.includes('malformed')) return 'ignored'
  const slices = coalesce(asked.filter((slice) => typeof slice !== 'string'))
  if (slices.length > MAX_PARTS) return 'ignored'
  const [first, ...rest] = slices
  return first === undefined ? 'unsatisfiable' : [first, ...rest]
}

function sliceOf(spec: string, sizeBytes: number): Slice | 'malformed' | 'unsatisfiable' {
  const [, first = '', last = ''] = /^(\d*)-(\d*)$/.exec(spec) ?? []
  if (first === '') return last === '' ? 'malformed' : suffixOf(Number(last), sizeBytes)
  // Digits are compared exactly where numbers would round.
  if (last !== '' && BigInt(first) > BigInt(last)) return 'malformed'
  const start = Number(first)
  const end = last === '' ? sizeBytes - 1 : Math.min(Number(last), sizeBytes - 1)
  return start >= sizeBytes ? 'unsatisfiable' : { start, length: end - start + 1 }
}

function suffixOf(length: number, sizeBytes: number): Slice | 'unsatisfiable' {
  if (length === 0) return 'unsatisfiable'
  const start = Math.max(0, sizeBytes - length)
  return { start, length: sizeBytes - start }
}

function coalesce(asked: Slice[]): Slice[] {
  const merged: Slice[] = []
  for (const { start, length } of asked.toSorted((a, b) => a.start - b.start)) {
    const before = merged.at(-1)
    if (before === undefined || start - (before.start + before.length) > WORTHWHILE_GAP)
      merged.push({ start, length })
    else before.length = Math.max(before.length, start + length - before.start)
  }
  return merged.length === asked.length ? asked : merged
}
