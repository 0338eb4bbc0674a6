import { isAppError } from '../errors.ts'
import type { Database } from './connect.ts'

/** All that is revoked, and a stamp that differs whenever any of it does. */
export interface RevocationList {
  subjects: string[]
  stamp: string
}

/** How long a revocation outlives the last token that it means: the clocks of nodes and database may differ. */
const keptAfterExpiry = '1 day'

/** Adds a subject; one that is there stays for the longer of both times. Those that mean no valid token any more go. */
export async function revoke(
  database: Database,
  { subject, expiresAt }: { subject: string; expiresAt: Date | null },
): Promise<void> {
  await database.settle(
    (sql) => sql`
      insert into strongroom.revocations as known (subject, expires_at) values (${subject}, ${expiresAt})
      on conflict (subject) do update set expires_at =
        case when known.expires_at is not null and excluded.expires_at is not null
          then greatest(known.expires_at, excluded.expires_at) end`,
  )
  await forgetExpired(database).catch((error: unknown) => {
    // The link is taken back; the next time tidies up.
    if (!isAppError(error)) throw error
  })
}

async function forgetExpired(database: Database): Promise<void> {
  await database.settle(
    (sql) => sql`
      delete from strongroom.revocations where expires_at < now() - ${keptAfterExpiry}::interval`,
  )
}

/**
 * Reads all revocations, unless they are still those of `stamp`.
 *
 * @returns null when nothing has changed
 */
export async function readRevocations(
  database: Database,
  stamp: string | null,
): Promise<RevocationList | null> {
  // Ids are committed in any order, so the newest alone would not tell of an older one that comes late.
  const [now] = await database.run(
    (sql) => sql<{ stamp: string }[]>`
      select count(*) || ':' || coalesce(sum(id), 0) as stamp from strongroom.revocations`,
  )
  if (now?.stamp === stamp) return null
  const rows = await database.run(
    (sql) => sql<{ id: string; subject: string }[]>`select id, subject from strongroom.revocations`,
  )
  const sum = rows.reduce((total, { id }) => total + BigInt(id), 0n)
  return { subjects: rows.map(({ subject }) => subject), stamp: `${rows.length}:${sum}` }
}
