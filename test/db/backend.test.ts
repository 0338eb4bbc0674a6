import assert from 'node:assert/strict'
import { test } from 'node:test'
import {
  auditColumnTypes,
  createBackendTables,
  mediaColumnTypes,
  openBackend,
} from '../../src/db/backend.ts'
import { findShadow } from '../../src/db/catalogue.ts'
import { openDatabase } from '../../src/db/connect.ts'
import { openItems } from '../../src/db/items.ts'
import { migrate } from '../../src/db/migrate.ts'
import { planApproved } from '../../src/db/plan.ts'
import { isAppError } from '../../src/errors.ts'
import type { DueItem, Item } from '../../src/media.ts'
import { intentFor } from '../contract/items-stores.ts'
import { parse } from '../support/config.ts'
import { withDatabase } from '../support/postgres.ts'
import { hasCode, type Scope } from '../support/scopes.ts'

const { backend: mapping } = parse()

async function withProduct(t: Scope) {
  const { config, sql } = await withDatabase(t)
  const database = openDatabase(config)
  t.after(() => database.close())
  return { sql, database, config }
}

test('the tables for stand-alone use have every column of the contract, and stay as they are', async (t) => {
  const { sql, database } = await withProduct(t)
  await createBackendTables(database, mapping)
  const backend = await openBackend(database, mapping)
  assert.deepEqual([...backend.mediaColumns], Object.keys(mediaColumnTypes))
  assert.deepEqual([...backend.auditColumns], Object.keys(auditColumnTypes))
  await sql`insert into media (object_key) values ('key')`
  await sql`alter table media drop column title`
  await createBackendTables(database, mapping)
  assert.equal((await openBackend(database, mapping)).mediaColumns.has('title'), false)
  assert.deepEqual([...(await sql`select id, status from media`)], [{ id: 1, status: 'pending' }])
})

test('a role named like our schema finds its tables, and migrating hides none of them', async (t) => {
  const { sql, database } = await withProduct(t)
  await sql`create table media (id bigint, status text, object_key text, approved_at timestamptz)`
  await migrate(database)
  const [{ path } = { path: '' }] = await sql<{ path: string }[]>`
    select current_schemas(false)::text as path`
  assert.equal(path, '{strongroom,public}', 'the search path leads to our schema first')
  assert.deepEqual(await createBackendTables(database, mapping), ['public.audit_logs'])
  const { mediaTable, auditTable } = (await openBackend(database, mapping)).mapping
  assert.deepEqual([mediaTable, auditTable], ['public.media', 'public.audit_logs'])
  const made = await sql`
    select from pg_tables where schemaname = 'strongroom' and tablename in ('media', 'audit_logs')`
  assert.equal(made.length, 0)
})

test('a table in our schema, where an earlier version made it, hides nothing', async (t) => {
  const { sql, database } = await withProduct(t)
  await createBackendTables(database, mapping)
  await migrate(database)
  await sql`create table strongroom.media (id bigint)`
  const backend = await openBackend(database, mapping)
  assert.equal(backend.mapping.mediaTable, 'public.media')
  assert.deepEqual([...backend.mediaColumns], Object.keys(mediaColumnTypes))
  assert.deepEqual(await findShadow(database, 'public.media'), {
    name: 'strongroom.media',
    used: false,
  })
  assert.equal(await findShadow(database, 'audit_logs'), null)
  assert.equal(await findShadow(database, 'app.items'), null, 'one of our own')
})

test('a stand-alone table that an earlier version made in our schema is not replaced by an empty one', async (t) => {
  const { sql, database } = await withProduct(t)
  await migrate(database)
  await sql`create table strongroom.media (id bigint)`
  await sql`insert into strongroom.media values (1)`
  const refused = await createBackendTables(database, mapping).catch((error: unknown) => error)
  assert.ok(isAppError(refused, 'DB_SCHEMA'))
  assert.match(refused.message, /^strongroom\.media holds rows/)
  const [statement = ''] = /alter table .*;$/.exec(refused.hint) ?? []
  await sql.unsafe(statement)
  assert.deepEqual(await createBackendTables(database, mapping), ['public.audit_logs'])
})

test('the search path that the role has is followed, and its first table counts', async (t) => {
  const { sql, database, config } = await withProduct(t)
  await sql`create schema app`
  await sql`create table app.media (id bigint, status text, object_key text, approved_at timestamptz)`
  await sql`create table public.media (id bigint)`
  await sql`create table app.audit_logs (media_id bigint, action text)`
  await assert.rejects(openBackend(database, mapping), hasCode('DB_SCHEMA'))
  await sql.unsafe(`alter database ${config.database} set search_path = app, public`)
  const later = openDatabase(config)
  t.after(() => later.close())
  const { mediaTable, auditTable } = (await openBackend(later, mapping)).mapping
  assert.deepEqual([mediaTable, auditTable], ['app.media', 'app.audit_logs'])
})

test('no empty table is made where one of its name lies off the search path, unless it is asked for', async (t) => {
  const { sql, database } = await withProduct(t)
  await sql`create schema app`
  await sql`create table app.media (id bigint)`
  await assert.rejects(
    createBackendTables(database, mapping),
    hasCode('DB_SCHEMA', /^media is not in the search path, but there is app\.media$/),
  )
  const asked = { ...mapping, mediaTable: 'public.media' }
  assert.deepEqual(await createBackendTables(database, asked), [
    'public.media',
    'public.audit_logs',
  ])
  await assert.rejects(
    createBackendTables(database, { ...mapping, mediaTable: 'strongroom.uploads' }),
    hasCode('DB_SCHEMA', /names the schema that Strongroom keeps/),
  )
})

test('a role that may make no table needs no right to, where the tables are there', async (t) => {
  const { sql, database, config } = await withProduct(t)
  await createBackendTables(database, mapping)
  const role = `guest_${config.database}`
  await sql.unsafe(`create role ${role} login password 'guest'`)
  await sql`revoke all on schema public from public`
  const guest = openDatabase({ ...config, user: role, password: 'guest' })
  assert.deepEqual(await createBackendTables(guest, mapping), [])
  await guest.close()
  await sql.unsafe(`drop role ${role}`)
})

test('required columns that are missing are named by the names they should have', async (t) => {
  const { sql, database } = await withProduct(t)
  const renamed = {
    ...mapping,
    mediaTable: 'app.uploads',
    mediaColumns: { ...mapping.mediaColumns, approved_at: 'reviewed_at' },
  }
  await sql`create schema app`
  await sql`create table app.uploads (id bigint, status text, object_key text, approved_at timestamptz)`
  await assert.rejects(
    openBackend(database, renamed),
    hasCode(
      'DB_SCHEMA',
      /tables lack app\.uploads\.reviewed_at, audit_logs\.media_id, audit_logs\.action$/,
    ),
  )
})

for (const { settings, says, hint } of [
  {
    settings: { MEDIA_COLUMN_DELETED_AT: 'Deleted_At' },
    says: 'MEDIA_COLUMN_DELETED_AT=Deleted_At names no column of public.media',
    hint: 'set MEDIA_COLUMN_DELETED_AT=deleted_at, if that column was meant',
  },
  {
    settings: { MEDIA_COLUMN_FILE_SIZE: 'filesize', AUDIT_COLUMN_DETAILS: 'payload' },
    says: 'MEDIA_COLUMN_FILE_SIZE=filesize names no column of public.media; AUDIT_COLUMN_DETAILS=payload names no column of public.audit_logs',
    hint: 'set MEDIA_COLUMN_FILE_SIZE=file_size, if that column was meant; set AUDIT_COLUMN_DETAILS to the name of that column, or take the setting away if there is none',
  },
])
  test(`a column that is named and is not there is not taken for one that nobody has: ${Object.keys(settings)}`, async (t) => {
    const { sql, database } = await withProduct(t)
    await createBackendTables(database, mapping)
    await sql`alter table audit_logs drop column details`
    const refused = await openBackend(database, parse(settings).backend).catch(
      (error: unknown) => error,
    )
    assert.ok(isAppError(refused, 'DB_SCHEMA'))
    assert.deepEqual([refused.message, refused.hint], [says, hint])
    assert.ok(await openBackend(database, mapping), 'what nobody named may be missing')
  })

test('a backend with nothing but the required columns is archived, rejected and released', async (t) => {
  const { sql, database } = await withProduct(t)
  await sql`create table media (id int primary key, status text, object_key text, approved_at timestamptz)`
  await sql`create table audit_logs (media_id int, action text)`
  await sql`insert into media select n, 'approved', 'key ' || n, now() - n * interval '1 minute' from generate_series(1, 2) n`
  await migrate(database)
  const backend = await openBackend(database, {
    ...mapping,
    status: { ...mapping.status, rejected: 'rejected' },
  })
  const archiveId = crypto.randomUUID()
  await sql`insert into strongroom.archives (id) values (${archiveId})`
  const worker = {
    archiveId,
    bucket: 'uploads',
    owner: 'a',
    leaseMs: 60_000,
    releaseGraceMs: 0,
    releaseDailyMax: null,
  }
  const items = openItems({ ...worker, database, backend })

  const planned = await planApproved(database, backend, { after: null, limit: 9, ours: true })
  const [one, two] = (await items.claim(9, [])) as [Item, Item]
  assert.deepEqual(
    planned.map(({ media }) => media),
    [one.media, two.media],
  )
  assert.deepEqual(one.media, {
    mediaId: 2,
    userId: null,
    title: null,
    filename: null,
    contentType: null,
    mimeType: null,
    declaredBytes: null,
    objectKey: 'key 2',
    approvedAt: one.media.approvedAt,
  })
  await items.commitIntent(one, intentFor(one, 'folder/1'))
  assert.equal(await items.record(one), 'archived')
  const verdict = { reason: 'r', report: 'p', sha256: 'ef'.repeat(32), sizeBytes: 5 }
  assert.equal(await items.reject(two, verdict), 'rejected')
  const [due] = (await items.claimDue(9, [])) as [DueItem]
  assert.equal(await items.released(due, 'deleted'), true)
  assert.deepEqual(
    [...(await sql`select id, status from media order by id`)],
    [
      { id: 1, status: 'rejected' },
      { id: 2, status: 'archived' },
    ],
  )
  assert.deepEqual(
    [...(await sql`select media_id, action from audit_logs order by media_id, action`)],
    [
      { media_id: 1, action: mapping.action.rejected },
      { media_id: 2, action: mapping.action.archived },
      { media_id: 2, action: mapping.action.sourceDeleted },
    ],
  )
})

for (const { what, sql: statement, says } of [
  {
    what: 'media ids that are UUIDs',
    sql: 'alter table media drop column id, add column id uuid',
    says: /^public\.media\.id is uuid, but media ids must be whole numbers$/,
  },
  {
    what: 'media ids that are text',
    sql: 'alter table media drop column id, add column id text',
    says: /^public\.media\.id is text, but media ids must be whole numbers$/,
  },
  {
    what: 'an audit table that names media by UUID',
    sql: 'alter table audit_logs alter media_id set data type uuid using gen_random_uuid()',
    says: /^public\.audit_logs\.media_id is uuid, but/,
  },
])
  test(`${what} are refused by the name of their column`, async (t) => {
    const { sql, database } = await withProduct(t)
    await createBackendTables(database, mapping)
    await sql.unsafe(statement)
    await assert.rejects(openBackend(database, mapping), hasCode('DB_SCHEMA', says))
  })

test('ids that are a domain over numbers are numbers, and a user id that is none is not read', async (t) => {
  const { sql, database } = await withProduct(t)
  await createBackendTables(database, mapping)
  await sql`create domain media_id as integer check (value > 0)`
  await sql`alter table media alter id drop identity`
  await sql`alter table media alter id set data type media_id`
  await sql`alter table media alter user_id set data type uuid using gen_random_uuid()`
  await sql`alter table audit_logs alter media_id set data type text`
  const backend = await openBackend(database, mapping)
  assert.equal(backend.mediaColumns.has('user_id'), false)
  assert.deepEqual(
    backend.misfits.map(({ column, needed }) => [column, needed]),
    [['public.media.user_id', false]],
  )
})
