import assert from 'node:assert/strict'
import { readdir } from 'node:fs/promises'
import { test } from 'node:test'
import { type Database, openDatabase } from '../../src/db/connect.ts'
import { assertMigrated, migrate, pendingMigrations } from '../../src/db/migrate.ts'
import { type TestDatabase, type TestSql, withDatabase } from '../support/postgres.ts'
import { hasCode, type Scope } from '../support/scopes.ts'

const all = (await readdir(new URL('../../src/db/migrations', import.meta.url))).sort()

/** Nodes of different versions must queue at the same lock: it is part of the schema. */
const MIGRATION_LOCK = 7_287_664_666

async function waitingForMigration(sql: TestSql): Promise<number> {
  const rows = await sql`select from pg_locks where locktype = 'advisory' and not granted
    and database = (select oid from pg_database where datname = current_database())`
  return rows.length
}

function withNode(t: Scope, config: TestDatabase['config']): Database {
  const database = openDatabase(config)
  t.after(() => database.close())
  return database
}

async function appliedIn(sql: TestSql): Promise<string[]> {
  const rows = await sql<{ name: string }[]>`select name from strongroom.migrations order by name`
  return rows.map(({ name }) => name)
}

async function relationsIn(sql: TestSql): Promise<string[]> {
  const rows = await sql<{ name: string }[]>`
    select oid::regclass::text as name from pg_class
    where relnamespace in ('public'::regnamespace, to_regnamespace('strongroom')) order by name`
  return rows.map(({ name }) => name)
}

test('nodes that start together on an empty database migrate it once', async (t) => {
  const { config, sql } = await withDatabase(t)
  const nodes = [1, 2, 3, 4].map(() => withNode(t, config))
  const { answers } = await sql.begin(async (inside) => {
    await inside`select pg_advisory_xact_lock(${MIGRATION_LOCK})`
    const answers = nodes.map((node) => migrate(node))
    while ((await waitingForMigration(sql)) < nodes.length);
    return { answers }
  })
  for (const found of await Promise.all(answers)) assert.deepEqual(found, all)
  assert.deepEqual(await appliedIn(sql), all)
  for (const node of nodes) assert.deepEqual(await migrate(node), [])
})

test('a migration that fails leaves nothing of itself, and succeeds once the cause is gone', async (t) => {
  const { config, sql } = await withDatabase(t)
  const node = withNode(t, config)
  // The second table that the first migration makes has this name: by then it has made others.
  await sql`create schema strongroom`
  await sql`create table strongroom.items (id bigint)`
  const before = await relationsIn(sql)
  await assert.rejects(migrate(node), hasCode('INTERNAL', /relation "items" already exists/))
  assert.deepEqual(await relationsIn(sql), before)
  assert.deepEqual(await pendingMigrations(node), all)
  await sql`drop table strongroom.items`
  assert.deepEqual(await migrate(node), all)
  assert.deepEqual(await appliedIn(sql), all)
})

test('a role that may not make a schema is told so, and nothing is made', async (t) => {
  const { config, sql } = await withDatabase(t)
  const role = `guest_${config.database}`
  await sql.unsafe(`create role ${role} login password 'guest'`)
  const guest = withNode(t, { ...config, user: role, password: 'guest' })
  await assert.rejects(migrate(guest), hasCode('DB_DENIED', /permission denied for database/))
  assert.deepEqual(await relationsIn(sql), [])
  await guest.close()
  await sql.unsafe(`drop role ${role}`)
})

test('a schema that was made for a role beforehand is all that it needs', async (t) => {
  const { config, sql } = await withDatabase(t)
  const role = `guest_${config.database}`
  await sql.unsafe(
    `create role ${role} login password 'guest'; create schema strongroom authorization ${role}`,
  )
  const guest = withNode(t, { ...config, user: role, password: 'guest' })
  assert.deepEqual(await migrate(guest), all)
  await guest.close()
  await sql.unsafe(`drop owned by ${role}; drop role ${role}`)
})

test('a schema that a newer version made is refused, and named', async (t) => {
  const { config, sql } = await withDatabase(t)
  const node = withNode(t, config)
  await migrate(node)
  await assertMigrated(node)
  await sql`insert into strongroom.migrations (name) values ('9001_future.sql'), ('9000_soon.sql')`
  const refused = hasCode(
    'DB_SCHEMA',
    /newer version, which applied 9000_soon.sql, 9001_future.sql$/,
  )
  for (const attempt of [migrate, pendingMigrations, assertMigrated])
    await assert.rejects(attempt(node), refused)
})

test('a schema that is behind is refused where the program may not migrate by itself', async (t) => {
  const { config, sql } = await withDatabase(t)
  const node = withNode(t, config)
  await assert.rejects(assertMigrated(node), hasCode('DB_SCHEMA', /has no schema strongroom yet$/))
  await migrate(node)
  const [last = ''] = all.slice(-1)
  await sql`delete from strongroom.migrations where name = ${last}`
  await assert.rejects(assertMigrated(node), hasCode('DB_SCHEMA', new RegExp(`lacks ${last}$`)))
})

test('a database that does not exist is not taken for one without a schema', async (t) => {
  const { config } = await withDatabase(t)
  const node = withNode(t, { ...config, database: 'nobody_made_it' })
  const absent = hasCode('DB_SCHEMA', /^there is no database "nobody_made_it"/)
  for (const attempt of [pendingMigrations, assertMigrated])
    await assert.rejects(attempt(node), absent)
})

test('a database that is away is not taken for one without a schema', async (t) => {
  const { config } = await withDatabase(t)
  const node = withNode(t, { ...config, port: 9 })
  await assert.rejects(pendingMigrations(node), hasCode('DB_UNAVAILABLE'))
})
