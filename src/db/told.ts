import type { Database } from './connect.ts'

/** What people were told is failing. */
export interface Told {
  since: Date
  title: string
  /** Where it is several things: a name of each. */
  cases: readonly string[]
  /** It has worked since, although nobody was told; a later failure is another one. */
  isOver: boolean
}

/** As long as a process that ends waits for it. */
const ENTERED_WITHIN_MS = 5_000

/** All that people were told is failing, and not yet that it works again, by subject. */
export async function readTold(database: Database): Promise<Map<string, Told>> {
  const rows = await database.run(
    (sql) => sql<(Told & { subject: string })[]>`
      select subject, since, title, cases, exists (
        select from strongroom.runs
        where job = subject and status in ('success', 'partial') and mode <> 'dry-run' and ended_at > told_at) as "isOver"
      from strongroom.told where failing`,
  )
  return new Map(rows.map(({ subject, ...told }) => [subject, told]))
}

/** Enters what they know of a subject from now on; null once it works again. */
export async function enterTold(
  database: Database,
  subject: string,
  told: Omit<Told, 'isOver'> | null,
): Promise<void> {
  await database.settle(
    (sql) =>
      told === null
        ? sql`update strongroom.told set failing = false, told_at = clock_timestamp() where subject = ${subject}`
        : sql`
          insert into strongroom.told (subject, since, title, cases, failing)
          values (${subject}, ${told.since}, ${told.title}, ${JSON.stringify(told.cases)}::text::jsonb, true)
          on conflict (subject) do update set since = excluded.since, title = excluded.title,
            cases = excluded.cases, failing = true, told_at = excluded.told_at`,
    ENTERED_WITHIN_MS,
  )
}
