/** What a failure means for the work in hand. */
export type Retry =
  /** A dependency is down for everybody: stop claiming, burn no attempt. */
  | 'outage'
  /** This item may succeed later: one attempt is burnt. */
  | 'later'
  /** Trying again changes nothing until a person or the backend does something. */
  | 'never'

interface Meaning {
  retry: Retry
  /** HTTP status shown to a client of the file server. */
  status: number
  /** Exit code of a command that ends with this error (sysexits.h where one fits). */
  exit: number
}

const config: Meaning = { retry: 'never', status: 500, exit: 78 }
const database: Meaning = { retry: 'outage', status: 503, exit: 69 }
const bucketDown: Meaning = { retry: 'outage', status: 503, exit: 69 }
const archive: Meaning = { retry: 'outage', status: 503, exit: 74 }
const itemLater: Meaning = { retry: 'later', status: 500, exit: 75 }
const itemNever: Meaning = { retry: 'never', status: 500, exit: 75 }
const request = (status: number): Meaning => ({ retry: 'never', status, exit: 1 })

/** Every code the product can raise: whether to retry, the HTTP status, the exit code. */
export const ERRORS = {
  CONFIG_INVALID: config,
  MODE_UNSUPPORTED: config,
  USAGE: { retry: 'never', status: 400, exit: 64 },

  DB_UNAVAILABLE: database,
  /** The statement was sent and no answer came: it may or may not have happened. */
  DB_UNKNOWN: database,
  DB_AUTH: { ...database, exit: 77 },
  DB_DENIED: { ...database, exit: 77 },
  DB_SCHEMA: { ...database, exit: 78 },
  /** Two transactions collided; the statement is repeated. */
  DB_CONFLICT: database,
  /** The statement found what a unique index forbids. */
  DB_DUPLICATE: { retry: 'never', status: 500, exit: 70 },

  BUCKET_UNAVAILABLE: bucketDown,
  BUCKET_THROTTLED: bucketDown,
  BUCKET_DENIED: { ...bucketDown, exit: 77 },
  BUCKET_MISSING: { ...bucketDown, exit: 78 },
  /** This one key is refused although the bucket answers. */
  OBJECT_DENIED: itemLater,
  /** A lock rule of the bucket forbids the change for now. */
  OBJECT_LOCKED: { ...itemLater, retry: 'outage' },
  OBJECT_MISSING: itemLater,
  /** The object is no longer the version that was asked for (412). */
  OBJECT_CHANGED: itemLater,
  /** No byte arrived for the stall time-out. */
  TRANSFER_STALLED: itemLater,
  /** The body ended early, ran over or broke off. */
  TRANSFER_BROKEN: itemLater,
  /** The bytes contradict a digest that the store gave. */
  TRANSFER_CORRUPT: itemLater,

  CHANGED_AFTER_APPROVAL: itemNever,
  SIZE_MISMATCH: itemNever,
  ATTEMPTS_EXHAUSTED: itemNever,
  MEDIA_INVALID: itemNever,
  PROBE_MISSING: { retry: 'outage', status: 503, exit: 69 },
  PROBE_FAILED: itemLater,

  VOLUME_MISSING: archive,
  VOLUME_FOREIGN: archive,
  VOLUME_UNCLAIMED: archive,
  VOLUME_EPHEMERAL: archive,
  DISK_FULL: archive,
  DISK_SICK: archive,
  DISK_DENIED: archive,
  FILE_MISSING: itemLater,
  NAME_TAKEN: itemLater,
  LINK_REFUSED: itemLater,
  PATH_UNSAFE: itemNever,
  MASS_CHANGE: archive,
  /** A sidecar that is torn, edited or of an unknown schema. */
  SIDECAR_INVALID: { ...itemLater, status: 503 },
  /** A file and its own sidecar contradict each other. */
  ARCHIVE_DAMAGED: { ...itemNever, status: 503 },
  /** The file system refused a read for a reason that says nothing of the file (too many open files …). */
  ARCHIVE_UNREADABLE: archive,

  /** Another worker holds the item now: nothing of ours counts any more. */
  LEASE_LOST: itemLater,
  CANCELLED: { retry: 'outage', status: 503, exit: 1 },

  REQUEST_INVALID: request(400),
  TOKEN_INVALID: request(401),
  TOKEN_FOR_ANOTHER_FILE: request(403),
  NOT_FOUND: request(404),
  METHOD_NOT_ALLOWED: request(405),
  PRECONDITION_FAILED: request(412),
  URL_TOO_LONG: request(414),
  RANGE_UNSATISFIABLE: request(416),
  PORT_TAKEN: { retry: 'never', status: 500, exit: 69 },
  INTERNAL: { retry: 'later', status: 500, exit: 70 },
} as const satisfies Record<string, Meaning>

export type ErrorCode = keyof typeof ERRORS

/** An error the product understands: a code of {@link ERRORS}, a sentence, and what to do about it. */
export class AppError extends Error {
  readonly code: ErrorCode
  readonly hint: string | null

  constructor(
    code: ErrorCode,
    message: string,
    options: { cause?: unknown; hint?: string | null } = {},
  ) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause })
    this.name = 'AppError'
    this.code = code
    this.hint = options.hint ?? null
  }

  get retry(): Retry {
    return ERRORS[this.code].retry
  }

  get status(): number {
    return ERRORS[this.code].status
  }

  get exit(): number {
    return ERRORS[this.code].exit
  }
}

/** True when `error` is an {@link AppError}, of one of `codes` if any are given. */
export function isAppError(error: unknown, ...codes: ErrorCode[]): error is AppError {
  return error instanceof AppError && (codes.length === 0 || codes.includes(error.code))
}

/** Makes an AppError of anything thrown; what no adapter translated is a bug and becomes INTERNAL. */
export function toAppError(error: unknown): AppError {
  if (error instanceof AppError) return error
  const message = error instanceof Error ? error.message : String(error)
  return new AppError('INTERNAL', `internal error: ${message}`, { cause: error })
}

/** The `code` property that Node's system errors carry (ENOENT, ECONNRESET …), or null. */
export function systemCode(error: unknown): string | null {
  if (typeof error !== 'object' || error === null || !('code' in error)) return null
  return typeof error.code === 'string' ? error.code : null
}
