import assert from 'node:assert/strict'
import { test } from 'node:test'
import { inspectBackend } from '../../src/db/backend.ts'
import {
  checkIndexes,
  checkNamesakes,
  checkServer,
  checkTables,
  checkTypes,
  describeIncomplete,
  rehearseRecord,
} from '../../src/db/checks.ts'
import { openDatabase } from '../../src/db/connect.ts'
import { migrate } from '../../src/db/migrate.ts'
import { parse } from '../support/config.ts'
import { createBackendTables, withDatabase } from '../support/postgres.ts'
import type { Scope } from '../support/scopes.ts'

const { backend: mapping } = parse()

/** A database as `doctor` meets it, with the backend's tables as `tables` make them. */
async function withChecked(t: Scope, tables: string | null = null) {
  const { config, sql } = await withDatabase(t)
  if (tables === null) await createBackendTables(sql)
  else await sql.unsafe(tables)
  const database = openDatabase(config)
  t.after(() => database.close())
  return { config, sql, database, inspect: () => inspectBackend(database, mapping) }
}

test('the server that the tests use is new enough', async (t) => {
  const { database } = await withChecked(t)
  const finding = await checkServer(database)
  assert.ok(finding.ok)
  assert.match(finding.what, /^PostgreSQL 1\d{5}, encoding UTF8/)
})

test('whatever required column is missing is named, and the SQL that is printed adds it', async (t) => {
  const { sql, inspect } = await withChecked(
    t,
    `create table media (id bigint, status text);
     create table audit_logs (media_id bigint);
     insert into media values (1, 'pending')`,
  )
  const findings = checkTables(await inspect())
  assert.deepEqual(
    findings.map(({ ok, what }) => [ok, what]),
    [
      [false, 'table public.media is missing or lacks object_key, approved_at'],
      [false, 'table public.audit_logs is missing or lacks action'],
      [true, 'public.media has no archive_path, archived_at, checksum_sha256: not written (fine)'],
    ],
  )
  for (const statement of findings.flatMap((finding) => finding.sql)) await sql.unsafe(statement)
  const mended = checkTables(await inspect())
  assert.deepEqual(
    mended.map(({ ok, what, sql }) => [ok, what, sql]),
    [
      [true, 'table public.media has every column that is needed', []],
      [true, 'table public.audit_logs has every column that is needed', []],
    ],
  )
})

test('where there are no tables, the advice is to name them or have them made', async (t) => {
  const { inspect } = await withChecked(t, 'select')
  assert.deepEqual(
    checkTables(await inspect()).map(({ ok, sql }) => [ok, sql]),
    ['MEDIA_TABLE', 'AUDIT_TABLE'].map((setting) => [
      false,
      [`-- name the backend's own with ${setting}, or run "strongroom migrate", which makes it`],
    ]),
  )
})

test('a table that an earlier version made in our schema is named, with what to do about it', async (t) => {
  const { sql, database, inspect } = await withChecked(t)
  await migrate(database)
  await sql`create table strongroom.media (id bigint)`
  const namesakes = async () => checkNamesakes(database, await inspect())
  const why = 'an earlier "strongroom migrate" made it in the wrong schema'
  const [empty] = await namesakes()
  assert.deepEqual(empty, {
    ok: true,
    what: `strongroom.media is not used: ${why}; it is empty`,
    sql: ['drop table "strongroom"."media";'],
  })
  await sql`insert into strongroom.media values (1)`
  const [filled] = await namesakes()
  assert.match(filled?.what ?? '', /it holds rows$/)
  await sql`drop table public.media`
  const [only] = await namesakes()
  assert.deepEqual(only?.sql, ['alter table "strongroom"."media" set schema public;'])
  await sql`delete from strongroom.media`
  for (const statement of empty?.sql ?? []) await sql.unsafe(statement)
  assert.deepEqual(await namesakes(), [])
})

test('a table that is elsewhere is told by the setting that would name it', async (t) => {
  const { database, inspect } = await withChecked(
    t,
    'create schema app; create table app.audit_logs (media_id bigint)',
  )
  assert.deepEqual(await checkNamesakes(database, await inspect()), [
    {
      ok: true,
      what: 'there is app.audit_logs, to which the search path does not lead',
      sql: ["-- if it is the backend's, set AUDIT_TABLE=app.audit_logs"],
    },
  ])
})

test('columns that hold no whole numbers are told, those that are needed as failures', async (t) => {
  const { sql, inspect } = await withChecked(t)
  assert.deepEqual(checkTypes(await inspect()), [])
  await sql`alter table media alter id drop identity`
  await sql`alter table media alter id set data type uuid using gen_random_uuid()`
  await sql`alter table media alter user_id set data type text`
  assert.deepEqual(
    checkTypes(await inspect()).map(({ ok, what }) => [ok, what.replace(/:.*/, '')]),
    [
      [false, 'public.media.id is uuid, but media ids must be whole numbers'],
      [true, 'public.media.user_id is text and no whole number'],
    ],
  )
})

test('approved rows that are never claimed are counted, and the first are named', async (t) => {
  const { sql, database, inspect } = await withChecked(t)
  await sql`alter table media alter object_key drop not null`
  const told = async () => describeIncomplete(database, await inspect())
  await sql`insert into media (status, object_key, approved_at, deleted_at) values
    ('approved', 'whole', now(), null), ('pending', null, null, null), ('approved', null, null, now())`
  assert.equal(await told(), null)
  await sql`insert into media (id, status, object_key) values (20, 'approved', 'a')`
  assert.equal(
    await told(),
    '1 approved row has no approved_at or no object_key and is skipped: media 20',
  )
  await sql`insert into media (id, status, approved_at)
    select n, 'approved', now() from generate_series(30, 36) n`
  assert.equal(
    await told(),
    '8 approved rows have no approved_at or no object_key and are skipped: media 20, 30, 31, 32, 33 …',
  )
  await sql`insert into media (id, status, object_key)
    select n, 'approved', 'b' from generate_series(1000, 2500) n`
  assert.match((await told()) ?? '', /^at least 1000 approved rows have/)
})

test('an index that is missing is advised, and the SQL that is printed makes it', async (t) => {
  const { sql, database, inspect } = await withChecked(t)
  const backend = await inspect()
  const found = async () =>
    (await checkIndexes(database, backend)).map(({ what, sql }) => [what, sql.length])
  const both = [
    ['index on public.media (status, approved_at)', 0],
    ['index on public.media (object_key)', 0],
  ]
  assert.deepEqual(await found(), both)
  await sql`drop index media_status_approved_at, media_object_key`
  await sql`create index elsewhere on media (approved_at, status)`
  await sql`create index of_something_else on media (lower(object_key))`
  assert.deepEqual(await found(), [
    [
      'no index on public.media (status, approved_at): fine while the table is small, slow later',
      1,
    ],
    ['no index on public.media (object_key): fine while the table is small, slow later', 1],
  ])
  for (const { sql: statements } of await checkIndexes(database, backend))
    for (const statement of statements) await sql.unsafe(statement)
  assert.deepEqual(await found(), both)
})

test('the rehearsal goes as far as the tables allow, and leaves nothing', async (t) => {
  const { sql, database, inspect } = await withChecked(t)
  await migrate(database)
  const backend = await inspect()
  const rehearse = async () => (await rehearseRecord(database, backend, 'strongroom')).finding
  const asFarAsItGoes = /rolled back: as far as a media table that never saw an approval allows$/
  assert.match((await rehearse()).what, asFarAsItGoes)
  await sql`insert into media (object_key, status) values ('key', 'pending')`
  assert.match((await rehearse()).what, asFarAsItGoes)
  await sql`update media set approved_at = now()`
  assert.match((await rehearse()).what, /rolled back: archived$/)
  await sql.unsafe(`
    create function revert() returns trigger language plpgsql as $$ begin
      return null;
    end $$;
    create trigger revert before update on media for each row when (new.status = 'archived') execute function revert()`)
  const { ok, what } = await rehearse()
  assert.equal(ok, false)
  assert.match(
    what,
    /record statement fails: the media row of item \d+ is approved, and yet stays as it is/,
  )
  const [left] = await sql`
    select (select count(*) from strongroom.items) + (select count(*) from strongroom.archives)
      + (select count(*) from audit_logs) as count, (select status from media) as status`
  assert.deepEqual(left, { count: 0, status: 'pending' })
})

test('what rights a role lacks is printed, and that is all it takes', async (t) => {
  const { config, sql, database } = await withChecked(t)
  await migrate(database)
  await sql`insert into media (object_key, approved_at) values ('key', now())`
  const role = `Guest ${config.database}`
  await sql`create role ${sql(role)} login password 'guest'`
  const guest = openDatabase({ ...config, user: role, password: 'guest' })
  const backend = await inspectBackend(guest, mapping)
  const { finding, error } = await rehearseRecord(guest, backend, role)
  assert.equal(error?.code, 'DB_DENIED')
  assert.match(finding.what, /^the record statement fails: .*permission denied/)
  for (const statement of finding.sql) await sql.unsafe(statement)
  const mended = await rehearseRecord(guest, backend, role)
  assert.deepEqual(mended.finding, {
    ok: true,
    what: 'record statement tried and rolled back: archived',
    sql: [],
  })
  await guest.close()
  await sql`drop owned by ${sql(role)}`
  await sql`drop role ${sql(role)}`
})

test('a fault of the rehearsal itself is not told as a finding', async (t) => {
  const { database, inspect } = await withChecked(t)
  const broken = { ...database, rehearse: () => Promise.reject(new TypeError('a bug')) }
  await assert.rejects(rehearseRecord(broken, await inspect(), 'strongroom'), TypeError)
})
