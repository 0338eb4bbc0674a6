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
  /** What a person does about it; the hint of every error whose thrower knows nothing better. */
  next: string
}

const config = (next: string): Meaning => ({ retry: 'never', status: 500, exit: 78, next })
const outage = (next: string): Meaning => ({ retry: 'outage', status: 503, exit: 69, next })
const archive = (next: string): Meaning => ({ retry: 'outage', status: 503, exit: 74, next })
const itemLater = (next: string): Meaning => ({ retry: 'later', status: 500, exit: 75, next })
const itemNever = (next: string): Meaning => ({ retry: 'never', status: 500, exit: 75, next })
const request = (status: number, next: string): Meaning => ({
  retry: 'never',
  status,
  exit: 1,
  next,
})

const transfer =
  'nothing to do: it is fetched again by itself; if it goes on, look at the network or proxy on the way to R2_ENDPOINT'

/** Every code the product can raise: whether to retry, the HTTP status, the exit code, the next step. */
export const ERRORS = {
  CONFIG_INVALID: config(
    'correct the setting; docs/configuration.md lists all of them, "strongroom config" shows what is in effect',
  ),
  MODE_UNSUPPORTED: config(
    'set MODE=live for this command; after shadow mode only once the other service is stopped (docs/cut-over.md)',
  ),
  USAGE: {
    ...config('"strongroom --help" lists the commands, "strongroom COMMAND --help" its options'),
    status: 400,
    exit: 64,
  },

  DB_UNAVAILABLE: outage(
    'check that PostgreSQL runs and is not overloaded, then DB_HOST and DB_PORT; work goes on by itself once it answers',
  ),
  /** The statement was sent and no answer came: it may or may not have happened. */
  DB_UNKNOWN: outage(
    'nothing is lost, the next run finds out what happened; if it goes on, look at the log of PostgreSQL and the network to it',
  ),
  DB_AUTH: {
    ...outage('check DB_USER and DB_PASSWORD (or DATABASE_URL), and pg_hba.conf on the server'),
    exit: 77,
  },
  DB_DENIED: { ...outage('run "strongroom doctor": it prints the missing GRANT'), exit: 77 },
  DB_SCHEMA: {
    ...outage('run "strongroom doctor": it prints the SQL or the setting that is missing'),
    exit: 78,
  },
  /** Two transactions collided; the statement is repeated. */
  DB_CONFLICT: outage(
    'run it again; if it goes on, another program holds locks on the media table (see pg_stat_activity)',
  ),
  /** The statement found what a unique index forbids. */
  DB_DUPLICATE: {
    ...config(
      'look at the index that the message names; if it is in schema strongroom, report this as a bug',
    ),
    exit: 70,
  },

  BUCKET_UNAVAILABLE: outage(
    'check R2_ENDPOINT and the network to it; work goes on by itself once the bucket answers',
  ),
  BUCKET_THROTTLED: outage(
    'nothing to do: it is tried again later; a smaller SYNC_CONCURRENCY asks for less at a time',
  ),
  BUCKET_DENIED: {
    ...outage(
      'check R2_ACCESS_KEY and R2_SECRET_KEY, and that the key may read and delete in this bucket',
    ),
    exit: 77,
  },
  BUCKET_MISSING: {
    ...outage(
      'check R2_BUCKET and R2_ENDPOINT; on R2 a bucket with a jurisdiction has an endpoint of its own',
    ),
    exit: 78,
  },
  /** This one key is refused although the bucket answers. */
  OBJECT_DENIED: itemLater('check the rights of the access key and the policy of the bucket'),
  /** The store fails for this one key (5xx) although the bucket answers. */
  OBJECT_UNAVAILABLE: itemLater(
    'nothing to do at first: it is asked for again; if it goes on, try to download that object by hand',
  ),
  /** A lock rule of the bucket forbids the change for now. */
  OBJECT_LOCKED: {
    ...itemLater('nothing to do: the source goes once the lock rule of the bucket lets it'),
    retry: 'outage',
  },
  OBJECT_MISSING: itemLater('upload the object again, or close the media row'),
  /** The object is no longer the version that was asked for (412). */
  OBJECT_CHANGED: itemLater(
    'somebody replaced the object; look at the new one and approve its row again',
  ),
  /** More than the whole disk of ARCHIVE_DIR, or of ERROR_DIR, has. */
  OBJECT_TOO_LARGE: itemNever(
    'put the folder that it names on a larger disk and approve the row again',
  ),
  /** No byte arrived for the stall time-out. */
  TRANSFER_STALLED: itemLater(transfer),
  /** The body ended early, ran over or broke off. */
  TRANSFER_BROKEN: itemLater(transfer),
  /** The bytes contradict a digest that the store gave. */
  TRANSFER_CORRUPT: itemLater(transfer),

  CHANGED_AFTER_APPROVAL: itemNever('look at the new object and approve its row again'),
  SIZE_MISMATCH: itemNever('correct file_size or upload the right object, then approve again'),
  ATTEMPTS_EXHAUSTED: itemNever('look at the reason, mend it, and approve the row again'),
  /** The backend's own trigger, rule or constraint. */
  ROW_REFUSED: {
    ...itemLater(
      'look at the triggers, row-level policies and constraints of the media and audit tables: this change must be allowed to our role',
    ),
    exit: 78,
  },
  /** What the backend says of the medium cannot be kept in a sidecar. */
  ROW_INVALID: itemNever('correct the media row and approve it again'),
  MEDIA_INVALID: itemNever(
    'look at the copy and its report in ERROR_DIR; upload a good file and approve it again',
  ),
  PROBE_MISSING: outage(
    'install ffprobe (Debian, Ubuntu: apt install ffmpeg), or set FFPROBE_PATH',
  ),
  PROBE_FAILED: itemLater(
    'it is tried again; if it goes on, run ffprobe on the file by hand and look at the memory of this machine',
  ),

  VOLUME_MISSING: archive('mount the archive at ARCHIVE_DIR; nothing was changed meanwhile'),
  VOLUME_FOREIGN: archive(
    'mount the right volume at ARCHIVE_DIR, or run "strongroom accept-volume" if this one is right',
  ),
  VOLUME_UNCLAIMED: archive(
    'run "strongroom accept-volume" if this archive belongs to this database',
  ),
  VOLUME_EPHEMERAL: archive(
    'mount a disk at ARCHIVE_DIR; run "strongroom init-volume" if memory is what you want',
  ),
  DISK_FULL: archive('make room on that disk; work goes on by itself afterwards'),
  /** Nothing was refused yet: less would be left than is to stay free. */
  DISK_LOW: archive(
    'make room on that disk ("strongroom clean --dry-run" says what could go), or lower FREE_SPACE_MIN; work goes on by itself afterwards',
  ),
  DISK_SICK: archive(
    'check the disk (dmesg, smartctl), then run "strongroom accept-volume" to go on',
  ),
  DISK_DENIED: archive(
    'give the folder to the user that Strongroom runs as (chown), or run it as the folder’s owner (PUID and PGID in the container)',
  ),
  FILE_MISSING: itemLater('restore the file from a backup of the archive'),
  /** A file was written to, moved or replaced while it was read. */
  FILE_CHANGED: itemLater('wait until nothing writes to the file any more, then run it again'),
  NAME_TAKEN: itemLater(
    'look at what lies there; nothing is overwritten, and {sha256} in ARCHIVE_LAYOUT makes names unique',
  ),
  LINK_REFUSED: itemLater(
    'put ARCHIVE_DIR on a file system that has hard links, or check its mount options',
  ),
  PATH_UNSAFE: itemNever(
    'look at that path; links are never followed below ARCHIVE_DIR: mount the folder there instead',
  ),
  MASS_CHANGE: archive(
    'check the archive disk and the bucket; if all is well with them, run "strongroom release resume"',
  ),
  /** A sidecar that is torn, edited or of an unknown schema. */
  SIDECAR_INVALID: {
    ...itemLater('restore the sidecar (the .json beside the file) from a backup of the archive'),
    status: 503,
  },
  /** A file and its own sidecar contradict each other. */
  ARCHIVE_DAMAGED: {
    ...itemNever('restore the file and its sidecar from a backup of the archive'),
    status: 503,
  },
  /** The file system refused a read for a reason that says nothing of the file (too many open files …). */
  ARCHIVE_UNREADABLE: archive(
    'look at the kernel log (dmesg) and the limit of open files (ulimit -n)',
  ),

  /** Another worker holds the item now: nothing of ours counts any more. */
  LEASE_LOST: itemLater('nothing to do: another worker has it, or the next run takes it up'),
  /** Said no, or could not be run. */
  HOOK_FAILED: outage(
    'look at its output in the log and run that command by hand; the next run asks it again',
  ),
  /** Said "not now" (exit code 75), which is nothing to worry about. */
  HOOK_REFUSED: outage('nothing to do: the next run asks it again'),
  RUN_INTERRUPTED: itemLater(
    'nothing is lost: the next run finishes or undoes what was in hand; the log of that time says why it ended',
  ),
  RUN_OVERLAPS: itemLater('nothing to do: the run that is under way does the work'),
  RUN_MISSED: itemLater(
    'nothing to do unless it goes on: then run the job less often, or find out what takes so long',
  ),
  RUN_REFUSED: itemLater('look at what the hook printed; the next run asks it again'),
  RUN_TIMED_OUT: itemLater(
    'raise SYNC_TIMEOUT, or look with "strongroom runs show ID" at what took so long',
  ),
  /** No sync has come to its end for longer than STALE_AFTER. */
  RUN_OVERDUE: outage(
    'look with "strongroom runs" at what became of the last ones, and in the log at why; STALE_AFTER sets the limit',
  ),
  /** The file server's public address. */
  EDGE_UNREACHABLE: outage('check the address, that cloudflared runs, and that it is connected'),
  CANCELLED: {
    ...outage('nothing is lost: start it again and it goes on where it was'),
    exit: 1,
  },
  /** Signatures and tokens carry times: beyond some minutes stores and clients refuse them. */
  CLOCK_OFF: outage(
    'set the clock of that machine from the network (timedatectl set-ntp true, or chrony)',
  ),

  REQUEST_INVALID: request(400, 'ask for /PATH?token=TOKEN, as "strongroom token" prints it'),
  TOKEN_INVALID: request(
    401,
    'ask for a new link; if none works, compare UNRAID_TUNNEL_SECRET with the backend’s',
  ),
  TOKEN_FOR_ANOTHER_FILE: request(403, 'ask for a link to this very file'),
  NOT_FOUND: request(404, 'check the path, or the media id and its state in strongroom.items'),
  /** A token that was good once: it was revoked, or its downloads are used up. */
  TOKEN_ENDED: request(410, 'ask for a new link: this one was taken back, or used up'),
  /** What a person asked for would change nothing, or not what he thinks. */
  ACTION_REFUSED: request(409, 'ask "strongroom why ID" what became of it, and what to do now'),
  ADMIN_OFF: request(
    404,
    'set ADMIN_TOKEN to at least 32 random bytes, for example those of "openssl rand -hex 32", and start again',
  ),
  ADMIN_DENIED: request(401, 'use the value of ADMIN_TOKEN, as the running service was given it'),
  /** A page of somebody else sent it, or a name was used that nobody gave this service. */
  REQUEST_FOREIGN: request(
    403,
    'load the page again and try once more; ADMIN_HOSTS lists further names of this service',
  ),
  TOO_MANY_LOGINS: request(
    429,
    'use the value of ADMIN_TOKEN, which is let in at once; see what else at this address uses another',
  ),
  METHOD_NOT_ALLOWED: request(405, 'use GET or HEAD'),
  PRECONDITION_FAILED: request(412, 'load the file anew from its beginning'),
  URL_TOO_LONG: request(414, 'use the link as it was given'),
  HEADERS_TOO_MANY: request(431, 'send fewer headers'),
  CODING_UNKNOWN: request(501, 'send no body with the request'),
  HTTP_VERSION_UNKNOWN: request(505, 'ask in HTTP/1.1, or 1.0'),
  RANGE_UNSATISFIABLE: request(416, 'load the file anew from its beginning'),
  TOO_MANY_FAILURES: request(
    429,
    'wait a minute and use a valid link; TOKEN_FAILURES_PER_MINUTE sets the limit',
  ),
  TOO_MANY_STREAMS: request(
    429,
    'wait until a download has ended; MAX_STREAMS_PER_USER and MAX_STREAMS_PER_CLIENT set the limits',
  ),
  /** The disk has not given the first byte in time. */
  ARCHIVE_SLOW: archive('look at the disk of ARCHIVE_DIR and at the network to it'),
  PORT_TAKEN: {
    ...config('stop what uses that port, or choose another with SERVER_PORT or ADMIN_PORT'),
    exit: 69,
  },
  INTERNAL: {
    ...itemLater(
      'this is a bug of ours: nothing was deleted for it; report it with the lines of the log around it',
    ),
    exit: 70,
  },
} as const satisfies Record<string, Meaning>

export type ErrorCode = keyof typeof ERRORS

/** An error the product understands: a code of {@link ERRORS}, a sentence, and what to do about it. */
export class AppError extends Error {
  readonly code: ErrorCode
  /** What to do about it: the thrower's own words, or else the table's next step. */
  readonly hint: string
  /** One word for the log on why a visitor was refused; the visitor never learns it. */
  readonly reason: string | null

  constructor(
    code: ErrorCode,
    message: string,
    options: { cause?: unknown; hint?: string | null; reason?: string } = {},
  ) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause })
    this.name = 'AppError'
    this.code = code
    this.hint = options.hint ?? ERRORS[code].next
    this.reason = options.reason ?? null
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
