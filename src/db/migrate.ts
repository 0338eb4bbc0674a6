import { readdir, readFile } from 'node:fs/promises'
import { isAppError } from '../errors.ts'
import type { Database } from './connect.ts'

const folder = new URL('./migrations/', import.meta.url)
/** Any constant will do, as long as nobody else on this server uses it. */
const ADVISORY_LOCK = 7_287_664_666

/**
 * Brings schema `strongroom` to the newest version, forward only.
 *
 * Each migration is one `do` block, hence one transaction that needs no session state: two starting nodes take turns at
 * the advisory lock inside it, a crash leaves the migration whole or absent, and pgbouncer in transaction mode is fine.
 *
 * @returns the names of the migrations that were applied by this call
 */
export async function migrate(database: Database): Promise<string[]> {
  const names = await migrationNames()
  const before = await appliedMigrations(database)
  const missing = names.filter((name) => !before.has(name))
  for (const name of missing) {
    const text = await readFile(new URL(name, folder), 'utf8')
    await database.script(guarded(name, text))
  }
  return missing
}

/** Names of migrations that are not applied yet; all of them when our schema is absent. */
export async function pendingMigrations(database: Database): Promise<string[]> {
  const applied = await appliedMigrations(database)
  return (await migrationNames()).filter((name) => !applied.has(name))
}

async function migrationNames(): Promise<string[]> {
  return (await readdir(folder)).filter((name) => /^\d{4}_\w+\.sql$/.test(name)).sort()
}

async function appliedMigrations(database: Database): Promise<Set<string>> {
  try {
    const rows = await database.run(
      (sql) => sql<{ name: string }[]>`select name from strongroom.migrations`,
    )
    return new Set(rows.map((row) => row.name))
  } catch (error) {
    // No table, or a role that may not look into a schema that is not ours yet.
    if (isAppError(error, 'DB_SCHEMA')) return new Set()
    throw error
  }
}

function guarded(name: string, text: string): string {
  return `do $strongroom$ begin
perform pg_advisory_xact_lock(${ADVISORY_LOCK});
if to_regclass('strongroom.migrations') is null then
  create schema if not exists strongroom;
  create table strongroom.migrations (name text primary key, applied_at timestamptz not null default now());
end if;
if not exists (select from strongroom.migrations where name = '${name}') then
${text}
insert into strongroom.migrations (name) values ('${name}');
end if;
end $strongroom$`
}
