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

const GATE_LOCK = 4711

export interface Gate {
  /** Resolves when as many statements went through as may. */
  reached: Promise<void>
  /** What was held up may still go through; then the gate is gone. */
  open(): Promise<void>
}

/** Lets items be made until there are `count`, and holds up every statement that would make more. */
export async function withGate(sql: TestSql, count: number): Promise<Gate> {
  const holder = await sql.reserve()
  await holder`select pg_advisory_lock(${GATE_LOCK})`
  await sql.unsafe(`
    create function public.hold_up() returns trigger language plpgsql as $$
    begin
      if (select count(*) from strongroom.items) >= ${count} then
        perform pg_advisory_xact_lock(${GATE_LOCK});
      end if;
      perform pg_notify('made', '');
      return null;
    end $$;
    create trigger hold_up before insert on strongroom.items for each statement execute function public.hold_up()`)
  const reached = Promise.withResolvers<void>()
  let seen = 0
  const listening = await sql.listen('made', () => {
    seen += 1
    if (seen >= count) reached.resolve()
  })
  return {
    reached: reached.promise,
    async open() {
      await holder`select pg_advisory_unlock(${GATE_LOCK})`
      holder.release()
      await listening.unlisten()
      await sql`drop function public.hold_up cascade`
    },
  }
}
