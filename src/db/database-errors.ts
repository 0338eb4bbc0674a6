import type { DatabaseConfig } from '../config.ts'
import { AppError, systemCode } from '../errors.ts'

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

/** The AppError that a failure of the driver or the server means; an AppError stays what it is. */
export function databaseError(error: unknown, config: DatabaseConfig): AppError {
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
  if (code === '42P01' && message.includes('"strongroom.')) return noSchemaYet(error)
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

/** @param cause the driver's error; undefined where it was looked for */
export function noSchemaYet(cause?: unknown): AppError {
  return new AppError('DB_SCHEMA', 'this database has no schema strongroom yet', {
    cause,
    hint: 'run "strongroom migrate"; the first sync or start does it too, unless MIGRATE_ON_START=false',
  })
}

/**
 * What went silent or broke off before the first answer, with the setting that is behind it in all likelihood. The code
 * stays: the statement may have been sent for all that is known.
 */
export function neverAnswered(told: AppError, config: DatabaseConfig): AppError {
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
