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

export async function closeAction(database: Database, id: number, outcome: string): Promise<void> {
  await database.settle(
    (sql) => sql`update strongroom.admin_actions set outcome = ${outcome} where id = ${id}`,
  )
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
