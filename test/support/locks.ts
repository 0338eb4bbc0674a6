/** Statements that meet in PostgreSQL, on purpose. */
import type { TransactionSql } from 'postgres'
import type { TestSql } from './postgres.ts'

/**
 * Starts `late` when `early` has changed rows without committing, and commits when every statement of `late` has looked at
 * the tables and waits for such a row.
 *
 * @returns the answers of `late`
 */
export async function overtaken<T>(
  sql: TestSql,
  early: (inside: TransactionSql<{ int8: number }>) => Promise<unknown>,
  late: () => Promise<T>[],
): Promise<T[]> {
  const { waiting } = await sql.begin(async (inside) => {
    await early(inside)
    const waiting = late()
    while ((await waitingForLocks(sql)) < waiting.length);
    return { waiting }
  })
  return Promise.all(waiting)
}

async function waitingForLocks(sql: TestSql): Promise<number> {
  const [row] = await sql<{ count: number }[]>`
    select count(*) from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'`
  return row?.count ?? 0
}
