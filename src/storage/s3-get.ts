import { AppError } from '../errors.ts'
import type { Download } from './bucket.ts'
import { ask } from './s3-ask.ts'
import { isRefusedFeature, notS3, subject } from './s3-errors.ts'
import { type GetAnswer, sendGet } from './s3-kept.ts'
import { askedFor, type Link, quoted, unquoted } from './s3-link.ts'

interface Wanted {
  key: string
  ifMatch: string
  from: number
  /** Null: all that follows. */
  to: number | null
}

/** Which bytes an answer carries: those from `from` on, as far as `to`, which is no longer among them. */
interface Window {
  from: number
  to: number
  /** Of the whole object. */
  sizeBytes: number
}

/**
 * Starts a download. A store that answers a range with anything but exactly these bytes is asked for the whole object
 * instead: bytes too many cost time, a byte in the wrong place would cost the file.
 */
export async function get(
  link: Link,
  wanted: Omit<Wanted, 'to'>,
  signal?: AbortSignal,
): Promise<Download> {
  const toItsEnd = { ...wanted, to: null }
  const rest = wanted.from > 0 ? await begin(link, toItsEnd, signal) : null
  const download = rest ?? (await begin(link, { ...toItsEnd, from: 0 }, signal))
  if (download !== null) return download
  throw notS3(askedFor(link, wanted.key), 'a part to a GET of the whole object')
}

/** Starts a download of a part. @returns null when the store sends anything but exactly these bytes */
export function getPart(
  link: Link,
  wanted: Wanted & { to: number },
  signal?: AbortSignal,
): Promise<Download | null> {
  return begin(link, wanted, signal)
}

/** @returns null when the store does not send what was asked for, but may send something else of this version */
async function begin(link: Link, wanted: Wanted, signal?: AbortSignal): Promise<Download | null> {
  const asked = askedFor(link, wanted.key)
  const answer = await answerTo(link, wanted, signal)
  if (answer === null) return null
  const window = windowOf(answer)
  const refusal = whyNot(answer, link, wanted)
  if (refusal !== null || window === null || !isWanted(window, wanted)) {
    answer.drop()
    if (refusal !== null) throw refusal
    return null
  }
  const body = answer.open({
    sizeBytes: window.to - window.from,
    stallMs: link.stallMs,
    signal: signal ?? null,
    subject: subject(asked),
  })
  return { sizeBytes: window.sizeBytes, from: window.from, etag: wanted.ifMatch, body }
}

/** Whoever wants the rest can do with all of it. */
function isWanted(window: Window, { from, to }: Wanted): boolean {
  if (to !== null) return window.from === from && window.to === to
  return window.to === window.sizeBytes && [0, from].includes(window.from)
}

/** @returns null when the store refuses to be asked for a range */
async function answerTo(
  link: Link,
  { key, ifMatch, from, to }: Wanted,
  signal?: AbortSignal,
): Promise<GetAnswer | null> {
  const range = to === null ? `bytes=${from}-` : `bytes=${from}-${to - 1}`
  const isWhole = from === 0 && to === null
  const headers = { 'if-match': quoted(ifMatch), ...(!isWhole && { range }) }
  return ask(link, { ...askedFor(link, key), signal }, async ({ abortSignal }) => {
    try {
      return await sendGet(link, { method: 'GET', key, headers }, abortSignal)
    } catch (error) {
      if (!isWhole && isRefusedFeature(error)) return null
      throw error
    }
  })
}

/** @returns null when the headers contradict each other or leave the window open */
function windowOf({ status, headers, lengthBytes: length }: GetAnswer): Window | null {
  if (length === null) return null
  if (status === 200) return { from: 0, to: length, sizeBytes: length }
  const range = /^bytes (\d{1,15})-(\d{1,15})\/(\d{1,15})$/.exec(headers['content-range'] ?? '')
  if (status !== 206 || range === null) return null
  const [from = 0, last = 0, sizeBytes = 0] = range.slice(1).map(Number)
  const to = last + 1
  // Status 206 for the whole object would be odd enough not to be believed.
  const isPart = to - from < sizeBytes && from < to && to <= sizeBytes
  return isPart && length === to - from ? { from, to, sizeBytes } : null
}

/** The reason why a 2xx answer is not of the version that was asked for, or null. */
function whyNot(
  { headers, lengthBytes }: GetAnswer,
  link: Link,
  { key, ifMatch }: Wanted,
): AppError | null {
  const asked = askedFor(link, key)
  const etag = unquoted(headers.etag)
  if (etag === null) return notS3(asked, 'without an ETag')
  if (lengthBytes === null) return notS3(asked, 'without Content-Length')
  // A store that ignores If-Match gives itself away here.
  if (etag !== ifMatch) {
    return new AppError('OBJECT_CHANGED', `${subject(asked)} is another version than asked for`)
  }
  return null
}
