import { AppError, ERRORS, type ErrorCode, systemCode, toAppError } from '../errors.ts'

/** What was asked, for the sentence of an error. */
export interface Asked {
  endpoint: string
  bucket: string
  /** Null when the bucket itself was asked. */
  key: string | null
  /** What the settings of this bucket are called, for the hint. */
  settings: 'R2' | 'SECOND'
}

interface Meaning {
  code: ErrorCode
  /** True when one key's answer cannot tell whether the whole bucket is meant: then the bucket is asked. */
  unsure?: true
}

const DENIED: Meaning = { code: 'BUCKET_DENIED' }
const MISSING: Meaning = { code: 'BUCKET_MISSING' }
const LOCKED: Meaning = { code: 'OBJECT_LOCKED' }
const THROTTLED: Meaning = { code: 'BUCKET_THROTTLED' }
const UNAVAILABLE: Meaning = { code: 'BUCKET_UNAVAILABLE' }

/** By the store's own word, where its answer has a body: it says more than the status. */
const BY_S3_CODE: Record<string, Meaning> = {
  Unauthorized: DENIED,
  InvalidAccessKeyId: DENIED,
  SignatureDoesNotMatch: DENIED,
  AuthorizationHeaderMalformed: DENIED,
  InvalidRegionName: DENIED,
  ExpiredToken: DENIED,
  InvalidToken: DENIED,
  NotEntitled: DENIED,
  NoSuchBucket: MISSING,
  InvalidBucketName: MISSING,
  PermanentRedirect: MISSING,
  NoSuchKey: { code: 'OBJECT_MISSING' },
  KeyTooLongError: { code: 'OBJECT_MISSING' },
  InvalidObjectName: { code: 'OBJECT_MISSING' },
  // R2 documents 403 for a bucket lock (10069) and was seen to answer 409.
  ObjectLockedByBucketPolicy: LOCKED,
  ObjectLocked: LOCKED,
  PreconditionFailed: { code: 'OBJECT_CHANGED' },
  RequestTimeTooSkewed: UNAVAILABLE,
  SlowDown: THROTTLED,
  TooManyRequests: THROTTLED,
  ServiceUnavailable: UNAVAILABLE,
  // Bytes that were lost or spoilt on the way, which the same request may bring.
  RequestTimeout: UNAVAILABLE,
  IncompleteBody: UNAVAILABLE,
  BadDigest: UNAVAILABLE,
}

/** By status, for answers without a body (HEAD) and words not listed above. */
const BY_STATUS: Record<number, Meaning> = {
  301: MISSING,
  307: UNAVAILABLE,
  401: DENIED,
  403: { code: 'OBJECT_DENIED', unsure: true },
  404: { code: 'OBJECT_MISSING', unsure: true },
  408: UNAVAILABLE,
  412: { code: 'OBJECT_CHANGED' },
  429: THROTTLED,
}

/** Any other refusal of one key (400, 405, 409 …). */
const REFUSED: Meaning = { code: 'OBJECT_DENIED', unsure: true }

/** What the bucket's own refusal means where the table only knows a key's. */
const OF_BUCKET: Partial<Record<ErrorCode, ErrorCode>> = {
  OBJECT_DENIED: 'BUCKET_DENIED',
  OBJECT_MISSING: 'BUCKET_MISSING',
  OBJECT_CHANGED: 'BUCKET_UNAVAILABLE',
}

const HINTS: Partial<Record<ErrorCode, string>> = {
  BUCKET_DENIED:
    'Check R2_ACCESS_KEY, R2_SECRET_KEY and R2_REGION, and that the key may read this bucket. A new R2 key works after up to a minute.',
  BUCKET_MISSING:
    'Check R2_BUCKET and R2_ENDPOINT. On R2 a bucket with a jurisdiction is only visible at its own endpoint: https://<account>.eu.r2.cloudflarestorage.com or https://<account>.fedramp.r2.cloudflarestorage.com.',
  BUCKET_THROTTLED: 'The store asks for fewer requests; they are repeated later by themselves.',
  OBJECT_DENIED:
    'The bucket answers but refuses this key: look at the rights of the access key and at the bucket policy.',
  OBJECT_LOCKED: 'A lock rule of the bucket protects this object; it is tried again later.',
}

const CLOCK_HINT =
  'The clock of this machine differs from the store by more than 15 minutes: synchronise it (NTP).'

const NETWORK_HINTS: Record<string, string> = {
  ENOTFOUND: 'Check the host name in R2_ENDPOINT and the DNS of this machine.',
  EAI_AGAIN: 'The DNS of this machine does not answer.',
  ECONNREFUSED: 'Nothing listens at R2_ENDPOINT: check its host and port.',
  EPROTO: 'R2_ENDPOINT does not speak TLS here: check http:// against https://.',
}

export interface Verdict {
  error: AppError
  /** True when the bucket must be asked before `error` may be believed. */
  unsure: boolean
}

/** Says what a failed request means; the only place that knows the store's words. */
export function judge(error: unknown, asked: Asked): Verdict {
  if (error instanceof AppError) return { error, unsure: false }
  const status = statusOf(error)
  if (status === null) return { error: networkError(error, asked), unsure: false }
  const word = isRefusal(error) ? error.name : ''
  // A HEAD has no word for it, and the SDK corrects its clock at once: asked again, the bucket finds nothing wrong.
  const skewed = status === 403 && (word === 'RequestTimeTooSkewed' || clockDiffers(error))
  const meaning = skewed ? UNAVAILABLE : meaningOf(word, status, messageOf(error))
  const code = asked.key === null ? (OF_BUCKET[meaning.code] ?? meaning.code) : meaning.code
  const spoken = /^[A-Za-z]+$/.test(word) && !/^(Unknown|UnknownError)$/.test(word)
  const answer = spoken ? `${status} ${word}` : `${status}`
  const hint = skewed ? CLOCK_HINT : hintFor(asked, code)
  return {
    error: new AppError(code, `${subject(asked)} answered ${answer}`, { hint }),
    unsure: meaning.unsure === true && asked.key !== null,
  }
}

/** The second bucket has settings of its own. */
function hintFor({ settings }: Asked, code: ErrorCode, known = HINTS[code] ?? null): string | null {
  return settings === 'R2'
    ? known
    : (known ?? ERRORS[code].next).replaceAll(/\bR2_(?=[A-Z])/g, `${settings}_`)
}

function meaningOf(word: string, status: number, message: string): Meaning {
  // A 2xx or 304 that could not be understood comes from something that is no S3 server.
  if (status < 400 && !(status in BY_STATUS)) return UNAVAILABLE
  if (status === 403 && /object lock|worm/i.test(message)) return LOCKED
  // R2 answers 400 InvalidArgument to an access key of the wrong length.
  if (status === 400 && /credential/i.test(message)) return DENIED
  return BY_S3_CODE[word] ?? BY_STATUS[status] ?? (status >= 500 ? UNAVAILABLE : REFUSED)
}

function networkError(error: unknown, asked: Asked): AppError {
  const cause = systemCode(error)
  const timedOut = error instanceof Error && error.name === 'TimeoutError'
  if (!timedOut && (cause === null || /^ERR_(?!TLS|SSL)/.test(cause))) return toAppError(error)
  const what = timedOut ? 'did not answer in time' : `cannot be reached (${cause})`
  const known = cause === null ? null : NETWORK_HINTS[cause]
  const hint = hintFor(asked, 'BUCKET_UNAVAILABLE', known ?? 'Check R2_ENDPOINT and the way to it.')
  return new AppError('BUCKET_UNAVAILABLE', `${subject(asked)} ${what}`, { cause: error, hint })
}

/** 400, 405, 416 and 501: the store does not know this kind of question. */
export function isRefusedFeature(error: unknown): boolean {
  return [400, 405, 416, 501].includes(statusOf(error) ?? 0)
}

export function isDenied(error: unknown): boolean {
  return statusOf(error) === 403
}

/** The store knows no such header; it says 400 for much else besides. */
export function isUnknownCondition(error: unknown): boolean {
  return statusOf(error) === 501 || (isRefusal(error) && error.name === 'InvalidArgument')
}

/** A refusal of this very request (400, 405, 409, 501 …) that says nothing of the object, its rights or the bucket. */
export function isRefusedRequest(error: unknown): boolean {
  const status = statusOf(error)
  if (status === null) return false
  const word = isRefusal(error) ? error.name : ''
  return status === 501 || meaningOf(word, status, messageOf(error)) === REFUSED
}

/** Something answered, but not as an S3 server does. */
export function notS3(asked: Asked, what: string): AppError {
  return new AppError('BUCKET_UNAVAILABLE', `${subject(asked)} answered ${what}`, {
    hint: hintFor(
      asked,
      'BUCKET_UNAVAILABLE',
      'Check that R2_ENDPOINT is the S3 address and that no proxy or portal answers in its place.',
    ),
  })
}

export function cancelled(asked: Asked): AppError {
  return new AppError('CANCELLED', `the request to ${subject(asked)} was cancelled`)
}

/** The sentence's subject: names of bucket, endpoint and key, never a credential. */
export function subject({ endpoint, bucket, key }: Asked): string {
  const where = `bucket ${JSON.stringify(bucket)} at ${endpoint}`
  if (key === null) return where
  const shown = key.length > 200 ? `${key.slice(0, 200)}…` : key
  return `${where}, object ${JSON.stringify(shown)},`
}

/** What a store said instead of doing as it was asked, as the SDK throws it. */
export interface Refusal extends Error {
  /** The store's word for it. */
  name: string
  $fault: 'client' | 'server'
  $metadata: { httpStatusCode?: number }
}

export function isRefusal(error: unknown): error is Refusal {
  return error instanceof Error && '$fault' in error
}

/** The HTTP status behind an error of the SDK; null when no answer came. */
function statusOf(error: unknown): number | null {
  if (typeof error !== 'object' || error === null) return null
  const { $metadata, $response } = error as {
    $metadata?: { httpStatusCode?: number }
    $response?: { statusCode?: number }
  }
  return $metadata?.httpStatusCode ?? $response?.statusCode ?? null
}

function clockDiffers(error: unknown): boolean {
  const { $response } = error as { $response?: { headers?: Record<string, string> } }
  const theirs = Date.parse($response?.headers?.date ?? '')
  return Math.abs(theirs - Date.now()) > 15 * 60_000
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : ''
}
