import { hash } from 'node:crypto'
import { isAppError } from '../errors.ts'
import type { Log } from '../log.ts'

/** What is revoked, in the memory of this process. */
export interface RevokedTokens {
  has(token: string, jti: string | null): boolean
}

/** For a server without a database. */
export const nothingRevoked: RevokedTokens = { has: () => false }

/** What a revocation names: the token's `jti`, which others may share, or else a digest of the token itself. */
export function subjectOf(token: string, jti: string | null): string {
  return jti === null ? `sha256:${hash('sha256', token)}` : subjectOfJti(jti)
}

export function subjectOfJti(jti: string): string {
  return `jti:${jti}`
}

/**
 * Keeps the list of revoked tokens in memory, so that no request waits for the database.
 *
 * @param options.read gives the list and its stamp, or null while it is still the one with the stamp that it is given
 * @returns the list; `refresh` brings it up to date and never throws: what was revoked stays so while it cannot be read
 */
export function createRevokedTokens(options: {
  read: (stamp: string | null) => Promise<{ subjects: string[]; stamp: string } | null>
  log: Log
}): RevokedTokens & { refresh(): Promise<void> } {
  let subjects: ReadonlySet<string> = new Set()
  let stamp: string | null = null
  let failing = false
  return {
    has: (token, jti) => subjects.size > 0 && subjects.has(subjectOf(token, jti)),
    async refresh() {
      try {
        const list = await options.read(stamp)
        if (failing) options.log.info({}, 'revoked tokens can be read again')
        failing = false
        if (list === null) return
        subjects = new Set(list.subjects)
        stamp = list.stamp
      } catch (error) {
        // A database that was never migrated has no revocations; the first sync will migrate it.
        if (isAppError(error, 'DB_SCHEMA') || failing) return
        failing = true
        options.log.warn({ error }, 'revoked tokens cannot be read; those known so far stay so')
      }
    },
  }
}
