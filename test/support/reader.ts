import { execFile } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { promisify } from 'node:util'
import type { DatabaseConfig } from '../../src/config.ts'
import type { TestSql } from './postgres.ts'
import type { Scope } from './scopes.ts'
import type { Env } from './service.ts'

/**
 * A role that may do nothing but look at the backend's tables, and the settings to log in as it.
 *
 * @param ours true when it may look at our tables too, which must be there
 */
export async function withReader(
  t: Scope,
  { sql, database }: { sql: TestSql; database: DatabaseConfig },
  { ours = false } = {},
): Promise<Env> {
  const name = `reader_${randomBytes(8).toString('hex')}`
  const password = randomBytes(16).toString('hex')
  await sql.unsafe(`
    create role ${name} login password '${password}';
    grant select on media, audit_logs to ${name};
    alter role ${name} set default_transaction_read_only = on`)
  if (ours)
    await sql.unsafe(`
      grant usage on schema strongroom to ${name};
      grant select on all tables in schema strongroom to ${name}`)
  t.after(async () => {
    // The database is gone by now, and with it what was granted there.
    await psql({ ...database, database: 'postgres' }, `drop role ${name}`)
  })
  return { DB_USER: name, DB_PASSWORD: password }
}

async function psql(database: DatabaseConfig, statement: string): Promise<void> {
  await promisify(execFile)('psql', [...connectionOf(database), '-qc', statement], {
    env: { PATH: process.env.PATH, PGPASSWORD: database.password ?? '' },
  })
}

/** For the programs that come with PostgreSQL. */
export function connectionOf({ host, port, user, database }: DatabaseConfig): string[] {
  return ['-h', host, '-p', String(port), '-U', user, '-d', database]
}
