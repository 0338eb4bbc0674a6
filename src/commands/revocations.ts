import { takeBack } from '../admin/actions.ts'
import type { Config } from '../config.ts'
import type { Database } from '../db/connect.ts'
import * as db from '../db/revocations.ts'
import { AppError } from '../errors.ts'
import type { Host } from '../host.ts'
import { openMigrated, type Program } from '../open.ts'
import {
  createRevokedTokens,
  type RevokedTokens,
  subjectOf,
  subjectOfJti,
} from '../serve/revocations.ts'
import { readSigned } from '../serve/token.ts'
import { lookAgain } from '../waiting.ts'
import { requireLive } from './require-live.ts'

/** How long after `token revoke` a link may still open its file, while the database answers. */
const refreshMs = 5_000
/** Files are served although the database is away, but one that answers is heard first. */
const firstReadMs = 3_000

/** Keeps what is revoked in the memory of this process, from now until it stops. */
export async function watchRevocations(
  database: Database,
  { log, stops }: Pick<Program, 'log' | 'stops'>,
): Promise<RevokedTokens> {
  const stop = new AbortController()
  const read = async (stamp: string | null) => {
    try {
      return await db.readRevocations(database, stamp)
    } catch (error) {
      if (stop.signal.aborted) return null
      throw error
    }
  }
  const revoked = createRevokedTokens({ read, log })
  stops.push('revocations', async () => stop.abort(), 1_000)
  await lookAgain(revoked.refresh, { everyMs: refreshMs, firstMs: firstReadMs }, stop.signal)
  return revoked
}

/** `strongroom token revoke`: no server of this database opens a file for that token any more. */
export async function revokeCommand(
  host: Host,
  config: Config,
  { program, named, keepMs }: { program: Program; named: string; keepMs: number | null },
): Promise<void> {
  requireLive(config, 'taking a link back writes to the database')
  const database = await openMigrated(config, program)
  const by = { actor: 'command', client: null }
  const revoke = () => revokeNamed(config, database, { named, keepMs })
  const { revoked, subject } = await takeBack(database, by, { keepMs, revoke })
  if (!revoked) {
    host.out('nothing to revoke: the token has expired\n')
    return
  }
  const what = subject.startsWith('jti:')
    ? `every token with the jti ${subject.slice(4)}`
    : 'the token'
  host.out(`${what} is revoked: servers refuse it within ${refreshMs / 1000} s\n`)
  host.out('downloads under way are finished\n')
}

/**
 * Takes back a link, a token or a jti.
 *
 * @returns `revoked` false when it has expired, and opens nothing anyway
 * @throws USAGE, TOKEN_INVALID
 */
export async function revokeNamed(
  config: Config,
  database: Database,
  { named, keepMs }: { named: string; keepMs: number | null },
): Promise<{ revoked: boolean; subject: string }> {
  const { subject, expiresAt } = revocationOf(config, { named, keepMs, now: new Date() })
  if (expiresAt !== null && expiresAt < new Date()) return { revoked: false, subject }
  await db.revoke(database, { subject, expiresAt })
  return { revoked: true, subject }
}

function revocationOf(
  config: Config,
  { named, keepMs, now }: { named: string; keepMs: number | null; now: Date },
): { subject: string; expiresAt: Date | null } {
  const token = tokenIn(named)
  if (token === null) {
    const expiresAt = keepMs === null ? null : new Date(now.getTime() + keepMs)
    return { subject: subjectOfJti(named), expiresAt }
  }
  const { tokens } = config.serve
  const signed = tokens === null ? null : readSigned(token, tokens)
  if (tokens === null || signed === null)
    throw new AppError('TOKEN_INVALID', 'none of the configured secrets signed this token', {
      hint: 'it opens nothing here; to revoke a jti, give that alone',
    })
  const { jti, expiresAt } = signed
  const isAlone = jti === null || expiresAt === null || expiresAt < now
  return {
    subject: subjectOf(token, jti),
    expiresAt: isAlone ? expiresAt : later(expiresAt, now.getTime() + tokens.maxTtlSeconds * 1_000),
  }
}

/** Its namesakes, which are revoked with it, may expire after it: as late as any token that was signed until now. */
function later(expiresAt: Date, atMs: number): Date {
  return new Date(Math.max(expiresAt.getTime(), atMs))
}

/** The token of a link, or the text itself where it looks like one; null for a jti. @throws USAGE */
function tokenIn(named: string): string | null {
  const isLink = /^https?:/i.test(named)
  const token = isLink ? (URL.parse(named)?.searchParams.get('token') ?? '') : named
  if (/^eyJ[\w-]*\.[\w-]+\.[\w-]+$/.test(token)) return token
  if (isLink) throw new AppError('USAGE', 'there is no token in that link')
  // For a jti it would be kept and shown as it is, and the link that was meant would stay open.
  if (/(?<![\w-])eyJ[\w-]{5}/.test(named))
    throw new AppError('USAGE', 'that is a part of a token, or has more to it', {
      hint: 'give the whole link as it was printed, or the whole token; nothing was revoked',
    })
  if (/^\P{Cc}{1,1024}$/u.test(named)) return null
  throw new AppError('USAGE', 'a link, a token or a jti is needed')
}
