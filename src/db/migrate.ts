import { readdir, readFile } from 'node:fs/promises'
import { AppError, isAppError, systemCode } from '../errors.ts'
import type { Database } from './connect.ts'
import { noSchemaYet } from './database-errors.ts'

const folder = new URL('./migrations/', import.meta.url)
/** Any constant will do, as long as nobody else on this server uses it. */
const ADVISORY_LOCK = 7_287_664_666
/** PostgreSQL's code for a database that does not exist. */
const NO_DATABASE = '3D000'

/**
 * Brings schema `strongroom` to the newest version, forward only.
 *
 * Each migration is one `do` block, hence one transaction that needs no session state: two starting nodes take turns at
 * the advisory lock inside it, a crash leaves the migration whole or absent, and pgbouncer in transaction mode is fine.
 *
 * @returns the names of the migrations that were missing; another node may have applied them meanwhile
 * @throws DB_SCHEMA when a newer version of this program migrated before: what it changed is unknown here
 */
export async function migrate(database: Database): Promise<string[]> {
  const missing = await pendingMigrations(database)
  for (const name of missing) {
    const text = await readFile(new URL(name, folder), 'utf8')
    await database.script(guarded(name, text))
  }
  return missing
}

/** Names of migrations that are not applied yet; all of them when our schema is absent. @throws DB_SCHEMA as above */
export async function pendingMigrations(database: Database): Promise<string[]> {
  const names = await migrationNames()
  const applied = await appliedMigrations(database)
  const unknown = [...applied].filter((name) => !names.includes(name)).sort()
  if (unknown.length > 0)
    throw new AppError(
      'DB_SCHEMA',
      `the schema strongroom belongs to a newer version, which applied ${unknown.join(', ')}`,
      { hint: 'run that version or a newer one on every node' },
    )
  return names.filter((name) => !applied.has(name))
}

/** @throws DB_SCHEMA when the schema is not exactly this version's */
export async function assertMigrated(database: Database): Promise<void> {
  const gap = await schemaGap(database)
  if (gap !== null) throw gap
}

/** @returns what is missing of the schema, and what makes it; null when nothing is. @throws DB_SCHEMA as above */
export async function schemaGap(database: Database): Promise<AppError | null> {
  const missing = await pendingMigrations(database)
  if (missing.length === 0) return null
  if (missing.length === (await migrationNames()).length) return noSchemaYet()
  return new AppError('DB_SCHEMA', `the schema strongroom lacks ${missing.join(', ')}`, {
    hint: 'run "strongroom migrate"; the next sync or start does it too, unless MIGRATE_ON_START=false',
  })
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
    if (isAppError(error, 'DB_SCHEMA') && systemCode(error.cause) !== NO_DATABASE) return new Set()
    throw error
  }
}

function guarded(name: string, text: string): string {
  return `do $strongroom$ begin
-- A large table takes its time, and so does the node whose turn it is now; a table's own lock stops others' work meanwhile.
set local lock_timeout = 0;
perform pg_advisory_xact_lock(${ADVISORY_LOCK});
set local lock_timeout = '5s';
if to_regclass('strongroom.migrations') is null then
  -- "if not exists" would ask for the right to make it even where it is there.
  if to_regnamespace('strongroom') is null then
    create schema strongroom;
  end if;
  create table strongroom.migrations (name text primary key, applied_at timestamptz not null default now());
end if;
if not exists (select from strongroom.migrations where name = '${name}') then
${text}
insert into strongroom.migrations (name) values ('${name}');
end if;
end $strongroom$`
}
