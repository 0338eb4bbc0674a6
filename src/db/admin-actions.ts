import type { Database } from './connect.ts'

/** What somebody changes, and who. */
export interface AdminAction {
  /** One word, as the audit page shows it. */
  action: string
  /** `console`, `api` or `command`. */
  actor: string
  /** The address it came from; null for the command line. */
  client: string | null
  mediaId: number | null
  details: Readonly<Record<string, string | number | boolean | null>>
}

export interface AdminActionRow extends AdminAction {
  id: number
  at: Date
  /** `done`, or the code of the error that refused it; null where nobody knows. */
  outcome: string | null
}

/** Enters an action before it is done. @returns its id */
export async function enterAction(database: Database, action: AdminAction): Promise<number> {
  const [row] = await database.run(
    (sql) => sql<{ id: string }[]>`
      insert into strongroom.admin_actions (action, actor, client, media_id, details)
      values (${action.action}, ${action.actor}, ${action.client}, ${action.mediaId},
        ${sql.json(action.details as never)})
      returning id`,
  )
  return Number(row?.id)
}

/** @param learned what was known only once it was done; it is added to the details */
export async function closeAction(
  database: Database,
  id: number,
  { outcome, learned = {} }: { outcome: string; learned?: AdminAction['details'] },
): Promise<void> {
  await database.settle(
    (sql) => sql`
      update strongroom.admin_actions set outcome = ${outcome}, details = details || ${sql.json(learned as never)}
      where id = ${id}`,
  )
}

/** So that pruning never holds up a run. */
const FORGOTTEN_AT_ONCE = 1_000

/** Removes actions that were entered longer ago; ids grow with time, so only the oldest are looked at. @returns how many */
export async function forgetActions(database: Database, olderThanMs: number): Promise<number> {
  const rows = await database.run(
    (sql) => sql`
      delete from strongroom.admin_actions where id = any(array(
        select id from (
          select id, at from strongroom.admin_actions order by id limit ${FORGOTTEN_AT_ONCE}) oldest
        where at < now() - ${olderThanMs} * interval '1 millisecond'))
      returning 1`,
  )
  return rows.length
}

/** The newest first, before `before`. */
export async function listActions(
  database: Database,
  { before, mediaId, limit }: { before: number | null; mediaId: number | null; limit: number },
): Promise<AdminActionRow[]> {
  const rows = await database.run(
    (sql) => sql<
      (Omit<AdminActionRow, 'id' | 'mediaId'> & { id: string; media_id: string | null })[]
    >`
      select id, at, action, actor, client, media_id, details, outcome from strongroom.admin_actions
      where ${before === null ? sql`true` : sql`id < ${before}`}
        and ${mediaId === null ? sql`true` : sql`media_id = ${mediaId}`}
      order by id desc limit ${limit}`,
  )
  return rows.map(({ id, media_id: media, ...row }) => ({
    ...row,
    id: Number(id),
    mediaId: media === null ? null : Number(media),
  }))
}
