import postgres from 'postgres'
import type { DatabaseConfig } from '../config.ts'
import { AppError, type ErrorCode, isAppError } from '../errors.ts'
import { databaseError, neverAnswered } from './database-errors.ts'

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
   * item's epoch and report what they find, so that a lost answer is simply asked for again. A database that could
   * never be reached is told at once.
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
      const told = databaseError(error, config)
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
          // Before the first answer nothing was sent that needs settling, and somebody waits to be told of the setting.
          const isOpen =
            isAppError(error, 'DB_UNKNOWN') || (answered && isAppError(error, 'DB_UNAVAILABLE'))
          if (!isOpen || performance.now() > giveUp) throw error
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
          throw databaseError(error, config)
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
        : {
            statement_timeout: STATEMENT_TIMEOUT_MS,
            lock_timeout: LOCK_TIMEOUT_MS,
            // Each of our statements reads few rows. What PostgreSQL fears to be long in a large table it compiles first,
            // which took ten times as long as the search itself.
            jit: 'off',
          }),
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
