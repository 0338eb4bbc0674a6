import postgres from 'postgres'
import type { DatabaseConfig } from '../config.ts'
import { AppError, type ErrorCode, isAppError, systemCode } from '../errors.ts'

export type Sql = postgres.Sql
export type Fragment = postgres.Fragment
type Rows = readonly postgres.Row[]
export type Query<T extends Rows> = postgres.PendingQuery<T>

export interface Database {
  /**
   * Runs one statement with a deadline. Serialisation failures and deadlocks are repeated.
   *
   * @throws DB_UNAVAILABLE (not sent), DB_UNKNOWN (sent, no answer: it may have happened), DB_AUTH, DB_DENIED,
   *   DB_SCHEMA, DB_DUPLICATE
   */
  run<T extends Rows>(statement: (sql: Sql) => Query<T>): Promise<T>
  /**
   * Runs a statement that may be repeated without harm until the database has answered: protocol writes name the
   * item's epoch and report what they find, so that a lost answer is simply asked for again.
   */
  settle<T extends Rows>(statement: (sql: Sql) => Query<T>, withinMs?: number): Promise<T>
  /** Runs `attempt` inside a transaction that is rolled back whatever happens; for `doctor` only. */
  rehearse<T>(attempt: (database: Pick<Database, 'run' | 'settle'>) => Promise<T>): Promise<T>
  /** Runs a script of statements without parameters as one transaction, which may take up to an hour. */
  script(text: string): Promise<void>
  close(): Promise<void>
}

/** The client-side deadline lies above the server's own time-outs, so that reaching it means the network. */
const STATEMENT_TIMEOUT_MS = 10_000
const LOCK_TIMEOUT_MS = 5_000
const DEADLINE_MS = 15_000
const SCRIPT_DEADLINE_MS = 3_600_000
const CONFLICT_TRIES = 8

/**
 * Opens a pool of at most eight connections; nothing is sent before the first statement. `onError` is told of each statement
 * that failed, before it is repeated.
 *
 * The driver is used as its known faults demand: no interactive transactions (a backend that dies inside one
 * crashes the process or hangs the pool: porsager/postgres 1066, 1154, 1208), no type query at start
 * (`fetch_types`), a backoff of at most one second (the default of up to 20 s looks like a hang).
 */
export function openDatabase(
  config: DatabaseConfig,
  options: { deadlineMs?: number; onError?: (code: ErrorCode) => void } = {},
): Database {
  const deadlineMs = options.deadlineMs ?? DEADLINE_MS
  let sql = connect(config)
  // What the database has never said anything to is most likely a setting.
  let answered = false

  const replacePool = (broken: Sql) => {
    if (sql !== broken) return
    sql = connect(config)
    // Its connections are believed dead; nothing waits for them and nothing depends on how they end.
    void broken.end({ timeout: 0 }).catch(() => {})
  }

  const once = async <T extends Rows>(
    statement: (sql: Sql) => PromiseLike<T>,
    withinMs = deadlineMs,
  ): Promise<T> => {
    const pool = sql
    try {
      const rows = await within(statement(pool), withinMs)
      answered = true
      return rows
    } catch (error) {
      if (isAppError(error, 'DB_UNKNOWN')) replacePool(pool)
      const told = translate(error, config)
      options.onError?.(told.code)
      throw answered ? told : neverAnswered(told, config)
    }
  }

  const run: Database['run'] = async (statement) => {
    for (let tries = 1; ; tries++) {
      try {
        return await once(statement)
      } catch (error) {
        if (!isAppError(error, 'DB_CONFLICT') || tries === CONFLICT_TRIES) throw error
        await pause(Math.random() * 20 * tries)
      }
    }
  }

  return {
    run,
    async settle(statement, withinMs = 45_000) {
      const giveUp = performance.now() + withinMs
      for (let wait = 50; ; wait = Math.min(wait * 2, 1_000)) {
        try {
          return await run(statement)
        } catch (error) {
          if (!isAppError(error, 'DB_UNKNOWN', 'DB_UNAVAILABLE') || performance.now() > giveUp)
            throw error
        }
        await pause(wait)
      }
    },
    async rehearse(attempt) {
      // A connection of its own: the driver's reserve() hangs on a fresh pool, and crashes when the backend dies.
      let lost = false
      const own = connect(config, {
        max: 1,
        onclose() {
          lost = true
        },
      })
      const inside: Database['run'] = async (statement) => {
        if (lost) throw new AppError('DB_UNKNOWN', 'the connection was lost during the rehearsal')
        try {
          return await within(statement(own), deadlineMs)
        } catch (error) {
          throw translate(error, config)
        }
      }
      try {
        await inside((one) => one`begin`)
        return await attempt({ run: inside, settle: inside })
      } finally {
        // What has no connection any more is rolled back by the server.
        if (!lost) await inside((one) => one`rollback`).catch(() => {})
        await own.end({ timeout: 0 })
      }
    },
    async script(text) {
      // Of its own statement a time-out cannot be lifted any more; several statements at once are one transaction.
      const whole = `set local statement_timeout = 0; ${text}`
      await once((pool) => pool.unsafe(whole).simple(), SCRIPT_DEADLINE_MS)
    },
    async close() {
      await sql.end({ timeout: 2 })
    },
  }
}

function connect(
  config: DatabaseConfig,
  more: Pick<postgres.Options<never>, 'max' | 'onclose'> = {},
): Sql {
  return postgres({
    host: config.host,
    port: config.port,
    database: config.database,
    username: config.user,
    ...(config.password === null ? {} : { password: config.password }),
    ssl: tlsOf(config),
    max: 8,
    prepare: !config.pooler,
    fetch_types: false,
    connect_timeout: 5,
    idle_timeout: 60,
    backoff: (retries: number) => Math.min(0.05 * 2 ** retries, 1),
    onnotice: () => {},
    connection: {
      // pgbouncer knows this one setting, and refuses those that it does not know.
      application_name: 'strongroom',
      ...(config.pooler
        ? {}
        : { statement_timeout: STATEMENT_TIMEOUT_MS, lock_timeout: LOCK_TIMEOUT_MS }),
    },
    ...more,
  })
}

/** For a host given as an address the driver would check the certificate against the name "localhost". */
function tlsOf({ ssl, host }: DatabaseConfig) {
  if (ssl === 'verify-full') return { rejectUnauthorized: true, host }
  return ssl === 'disable' ? false : ssl
}

async function within<T>(answer: PromiseLike<T>, deadlineMs: number): Promise<T> {
  let timer: NodeJS.Timeout | undefined
  const deadline = new Promise<never>((_, reject) => {
    timer = setTimeout(() => {
      reject(new AppError('DB_UNKNOWN', `the database gave no answer within ${deadlineMs} ms`))
    }, deadlineMs)
  })
  try {
    return await Promise.race([answer, deadline])
  } finally {
    clearTimeout(timer)
  }
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms))
}

const notSent = new Set([
  'ECONNREFUSED',
  'ENOTFOUND',
  'EAI_AGAIN',
  'EHOSTUNREACH',
  'ENETUNREACH',
  'ETIMEDOUT',
  'ENOENT',
  'CONNECT_TIMEOUT',
  '53300',
  '57P03',
])
/** The server itself gave the statement up, so it did not happen. */
const givenUp = new Set(['55P03', '57014'])
const noAnswer = new Set([
  'CONNECTION_CLOSED',
  'CONNECTION_ENDED',
  'CONNECTION_DESTROYED',
  'ECONNRESET',
  'EPIPE',
  '57P01',
  '57P02',
])
const refused = new Set(['28P01', '28000'])
const denied = new Set(['42501', '25006'])
/** raise, foreign key, check, exclusion */
const backendsOwn = new Set(['P0001', '23503', '23514', '23P01'])
const schema = new Set(['42P01', '42703', '3F000', '22P02', '42704', '42883', '42804', '23502'])

/** OpenSSL's verdicts on a certificate (`CERT_HAS_EXPIRED`, `UNABLE_TO_VERIFY_LEAF_SIGNATURE` …) and Node's on its names. */
function isCertificateFault(code: string): boolean {
  return /^(ERR_TLS_CERT_|CERT_|SELF_SIGNED_CERT|DEPTH_ZERO_SELF|UNABLE_TO_(GET_ISSUER|VERIFY))/.test(
    code,
  )
}

function demandsTls({ ssl }: DatabaseConfig): boolean {
  return ssl === 'require' || ssl === 'verify-full'
}

function tlsHint({ ssl }: DatabaseConfig): string {
  return `DB_SSLMODE=${ssl} demands TLS: turn it on in PostgreSQL, or set DB_SSLMODE=prefer`
}

/**
 * What went silent or broke off before the first answer, with the setting that is behind it in all likelihood. The code
 * stays: the statement may have been sent for all that is known.
 */
function neverAnswered(told: AppError, config: DatabaseConfig): AppError {
  if (told.code !== 'DB_UNKNOWN') return told
  const where = `${config.host}:${config.port}`
  // Only the deadline is ours and has no cause.
  if (told.cause === undefined)
    return new AppError(
      'DB_UNKNOWN',
      told.message.replace('the database', `the database at ${where}`),
      {
        hint: `check DB_HOST and DB_PORT, and that no firewall on the way swallows the connection${demandsTls(config) ? `; ${tlsHint(config)}` : ''}`,
      },
    )
  if (!demandsTls(config)) return told
  return new AppError(
    'DB_UNKNOWN',
    `the database at ${where} ended the connection before its first answer`,
    {
      cause: told.cause,
      hint: tlsHint(config),
    },
  )
}

function translate(error: unknown, config: DatabaseConfig): AppError {
  if (error instanceof AppError) return error
  const code = systemCode(error) ?? ''
  const message = error instanceof Error ? error.message : String(error)
  const where = `${config.host}:${config.port}`
  const options = { cause: error }
  if (code === '40P01' || code === '40001') return new AppError('DB_CONFLICT', message, options)
  if (code === '23505') return new AppError('DB_DUPLICATE', message, options)
  if (refused.has(code))
    return new AppError(
      'DB_AUTH',
      `the database at ${where} refuses user "${config.user}": ${message}`,
      {
        cause: error,
      },
    )
  if (isCertificateFault(code))
    return new AppError('DB_AUTH', `the certificate of the database at ${where}: ${message}`, {
      cause: error,
      hint: 'DB_SSLMODE=verify-full needs a certificate for the name in DB_HOST from an authority that Node knows (NODE_EXTRA_CA_CERTS); require encrypts without looking at it',
    })
  if (
    message.includes('before secure TLS connection was established') ||
    code === 'EPROTO' ||
    code.startsWith('ERR_SSL_')
  )
    return new AppError('DB_UNAVAILABLE', `the database at ${where} ended the TLS handshake`, {
      cause: error,
      hint: tlsHint(config),
    })
  if (code === '3D000')
    return new AppError('DB_SCHEMA', `there is no database "${config.database}" at ${where}`, {
      cause: error,
      hint: 'check DB_NAME (or DATABASE_URL)',
    })
  if (denied.has(code))
    return new AppError('DB_DENIED', `the database role may not do this: ${message}`, {
      cause: error,
      hint: 'run "strongroom doctor": it prints the missing GRANT',
    })
  if (code === '42P01' && message.includes('"strongroom.'))
    return new AppError('DB_SCHEMA', 'this database has no schema strongroom yet', {
      cause: error,
      hint: 'run "strongroom migrate"; the first sync or start does it too, unless MIGRATE_ON_START=false',
    })
  if (schema.has(code))
    return new AppError('DB_SCHEMA', `the database does not fit: ${message}`, {
      cause: error,
      hint: 'run "strongroom doctor": it prints the exact SQL or setting that is missing',
    })
  if (backendsOwn.has(code))
    return new AppError('ROW_REFUSED', `the database refuses the change: ${message}`, options)
  if (givenUp.has(code))
    return new AppError('DB_UNAVAILABLE', `the database was too slow: ${message}`, options)
  if (noAnswer.has(code) || code.startsWith('08'))
    return new AppError(
      'DB_UNKNOWN',
      `the connection to the database at ${where} was lost`,
      options,
    )
  if (notSent.has(code))
    return new AppError('DB_UNAVAILABLE', `the database at ${where} cannot be reached (${code})`, {
      cause: error,
      hint: 'check DB_HOST and DB_PORT, and that the database is running',
    })
  return new AppError('INTERNAL', `the database answered: ${message}`, options)
}
