import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, type TestContext, test } from 'node:test'
import { uniqueMedia } from '../support/media-files.ts'
import { sha256Of, sourceOf, statesOf } from '../support/media-rows.ts'
import { type Env, type Service, story, summaryOf, withService } from '../support/service.ts'

const once = ['sync', '--once', '--json']

/** What the settings say about this backend's own names. */
const mapping: Env = {
  MEDIA_TABLE: 'app.uploads',
  AUDIT_TABLE: 'app.journal',
  MEDIA_COLUMN_ID: 'ID',
  MEDIA_COLUMN_USER_ID: 'owner_id',
  MEDIA_COLUMN_FILENAME: 'original_name',
  MEDIA_COLUMN_CONTENT_TYPE: 'media_type',
  MEDIA_COLUMN_MIME_TYPE: 'mimetype',
  MEDIA_COLUMN_FILE_SIZE: 'file_size',
  MEDIA_COLUMN_OBJECT_KEY: 'r2_key',
  MEDIA_COLUMN_STATUS: 'state',
  MEDIA_COLUMN_APPROVED_AT: 'reviewed_at',
  MEDIA_COLUMN_ARCHIVE_PATH: 'nas_path',
  AUDIT_COLUMN_MEDIA_ID: 'upload_id',
  AUDIT_COLUMN_ACTION: 'event',
  AUDIT_COLUMN_DETAILS: 'payload',
  STATUS_APPROVED: 'APPROVED',
  STATUS_ARCHIVED: 'ON_NAS',
  STATUS_REJECTED: 'BROKEN',
  ACTION_ARCHIVED: 'media.archived',
  ACTION_SOURCE_DELETED: 'media.source_deleted',
  ACTION_REJECTED: 'media.rejected',
  KIND_VIDEO: 'VIDEO',
  KIND_IMAGE: 'PHOTO',
  KIND_AUDIO: 'SOUND',
}

/** As GORM makes tables, in a schema of their own: no checksum column, a status type, audit columns that must be set. */
const tables = `
  create schema app;
  create type app.upload_state as enum ('PENDING', 'APPROVED', 'ON_NAS', 'BROKEN');
  create type app.kind as enum ('VIDEO', 'PHOTO', 'SOUND');
  create table app.uploads (
    "ID" serial primary key,
    created_at timestamptz,
    updated_at timestamptz,
    deleted_at timestamptz,
    owner_id integer not null,
    title varchar(255) not null default '',
    original_name varchar(255),
    media_type app.kind,
    mimetype varchar(100),
    file_size bigint default 0,
    r2_key varchar(512) not null,
    state app.upload_state not null default 'PENDING',
    reviewed_at timestamp with time zone,
    nas_path varchar(512)
  );
  create index idx_uploads_deleted_at on app.uploads (deleted_at);
  create table app.journal (
    id uuid primary key default gen_random_uuid(),
    upload_id integer not null references app.uploads ("ID"),
    event varchar(64) not null,
    payload json,
    actor varchar(64) not null default current_user,
    severity smallint not null default 0,
    created_at timestamptz not null default now()
  )`

interface Row {
  id: number
  key: string
  bytes: Buffer
}

/** A service between a backend of another shape and its bucket. */
async function withShapedService(t: TestContext, env: Env = {}): Promise<Service> {
  const service = await withService(t, { env: { RELEASE_GRACE: '0', ...mapping, ...env } })
  await service.sql.unsafe(`drop table media, audit_logs; ${tables}`)
  return service
}

let seeds = 9000

async function approve(
  { sql, admin }: Service,
  given: { bytes?: Buffer; kind?: string | null; deleted?: boolean } = {},
): Promise<Row> {
  seeds += 1
  const bytes = given.bytes ?? uniqueMedia('image', seeds)
  const key = `r2/${seeds}.png`
  const kind = given.kind === undefined ? 'PHOTO' : given.kind
  const deletedAt = given.deleted ? new Date() : null
  await admin.put(key, bytes)
  const [row] = await sql<{ ID: number }[]>`
    insert into app.uploads
      (owner_id, original_name, media_type, file_size, r2_key, state, reviewed_at, created_at, deleted_at)
    values (3, ${`${seeds}.png`}, ${kind}, 0, ${key}, 'APPROVED', now(), now(), ${deletedAt}) returning "ID"`
  return { id: row?.ID ?? 0, key, bytes }
}

async function rowOf({ sql }: Service, { id }: Row) {
  const [row] = await sql<{ state: string; nas_path: string | null }[]>`
    select state, nas_path from app.uploads where "ID" = ${id}`
  return row
}

async function eventsOf({ sql }: Service, { id }: Row): Promise<string[]> {
  const rows = await sql<{ event: string }[]>`
    select event from app.journal where upload_id = ${id} order by created_at`
  return rows.map(({ event }) => event)
}

describe('a backend with other names and types', { concurrency: 2 }, () => {
  test('is archived, rejected and released end to end, in its own words', async (t) => {
    const service = await withShapedService(t)
    const good = await approve(service)
    const unsaid = await approve(service, { kind: null })
    const video = await approve(service, { kind: 'VIDEO', bytes: uniqueMedia('video', 1) })
    const broken = await approve(service, { bytes: Buffer.from('no picture') })
    const deleted = await approve(service, { deleted: true })
    const ended = await service.run(once)
    assert.equal(ended.code, 0, story(ended))
    assert.deepEqual(await statesOf(service), { released: 3, rejected: 1 })
    for (const row of [good, unsaid, video]) {
      const archived = await rowOf(service, row)
      assert.equal(archived?.state, 'ON_NAS')
      assert.deepEqual(
        await readFile(join(service.archiveDir, archived?.nas_path ?? '')),
        row.bytes,
      )
      assert.deepEqual(await eventsOf(service, row), ['media.archived', 'media.source_deleted'])
      assert.equal(await sourceOf(service, row.key), null)
    }
    assert.deepEqual(await rowOf(service, broken), { state: 'BROKEN', nas_path: null })
    assert.deepEqual(await eventsOf(service, broken), ['media.rejected'])
    assert.deepEqual(await rowOf(service, deleted), { state: 'APPROVED', nas_path: null })
    assert.deepEqual((await service.admin.list()).sort(), [broken.key, deleted.key].sort())
    const [audit] = await service.sql<{ payload: { sha256: string }; actor: string }[]>`
      select payload, actor from app.journal where upload_id = ${good.id} and event = 'media.archived'`
    assert.equal(audit?.payload.sha256, sha256Of(good.bytes))
    assert.equal(audit?.actor, 'strongroom', 'its own default')

    const idle = summaryOf(await service.run(once))
    assert.deepEqual([idle.items.archived, idle.items.rejected], [0, 0])
  })

  test('passes doctor, and a dry run tells what would be done in it', async (t) => {
    const service = await withShapedService(t)
    const row = await approve(service)
    const dry = await service.run(['sync', '--once', '--dry-run'])
    assert.equal(dry.code, 0, story(dry))
    assert.match(
      dry.stdout,
      new RegExp(`media ${row.id}: would be archived as \\d{4}/\\d\\d/${row.id}/`),
    )
    const migrated = await service.run(['migrate'])
    assert.equal(migrated.code, 0, story(migrated))
    const doctor = await service.run(['doctor'])
    assert.equal(doctor.code, 0, story(doctor))
    assert.match(doctor.stdout, /tried and rolled back: archived/)
    assert.match(doctor.stdout, /app\.uploads has no archived_at, checksum_sha256: not written/)
  })

  for (const { what, sql, says } of [
    {
      what: 'an audit column that must be set and has no default',
      sql: 'alter table app.journal add column tenant text not null',
      says: /record statement fails: .*null value in column "tenant"/,
    },
    {
      what: 'a status that the type does not know',
      sql: `alter type app.upload_state rename value 'ON_NAS' to 'AWAY'`,
      says: /record statement fails: .*invalid input value for enum.*ON_NAS/,
    },
    {
      what: 'a rule that forbids the new status',
      sql: `alter table app.uploads add constraint no_nas check (state <> 'ON_NAS')`,
      says: /record statement fails: .*violates check constraint "no_nas"/,
    },
  ]) {
    test(`doctor finds ${what} before the first file does`, async (t) => {
      const service = await withShapedService(t)
      await approve(service)
      await service.sql.unsafe(sql)
      await service.migrate()
      const doctor = await service.run(['doctor'])
      assert.equal(doctor.code, 78, story(doctor))
      assert.match(doctor.stdout, says)
      const [{ count } = { count: -1 }] = await service.sql<{ count: number }[]>`
        select (select count(*) from strongroom.items) + (select count(*) from strongroom.archives)
          + (select count(*) from app.journal) as count`
      assert.equal(count, 0, 'its attempt left nothing behind')
    })
  }

  test('that cannot take the record yet keeps everything until it can', async (t) => {
    const service = await withShapedService(t)
    const rows = [await approve(service), await approve(service)]
    await service.sql`alter table app.journal add column tenant text not null`
    const refused = await service.run(once)
    assert.equal(refused.code, 78, story(refused))
    assert.match(refused.stderr, /null value in column \\"tenant\\"/)
    assert.match(refused.stderr, /strongroom doctor/)
    for (const row of rows) {
      assert.deepEqual(await rowOf(service, row), { state: 'APPROVED', nas_path: null })
      assert.deepEqual(await sourceOf(service, row.key), row.bytes)
    }
    await service.sql`alter table app.journal alter column tenant set default 'one'`
    await service.expireLeases()
    const mended = await service.run(once)
    assert.equal(mended.code, 0, story(mended))
    assert.deepEqual(await statesOf(service), { released: 2 })
  })

  for (const { how, body, says } of [
    { how: 'refuses', body: `raise exception 'not on my watch'`, says: /not on my watch/ },
    { how: 'silently leaves', body: 'return null', says: /stays as it is when it is set/ },
  ])
    test(`that ${how} one row costs the other rows nothing, and the run says 75 until it gives in`, async (t) => {
      const service = await withShapedService(t)
      const [odd, even] = [await approve(service), await approve(service)]
      await service.sql.unsafe(`
      create function refuse() returns trigger language plpgsql as $$ begin
        ${body};
      end $$;
      create trigger refuse before update on app.uploads for each row
        when (new."ID" = ${odd.id} and new.state = 'ON_NAS') execute function refuse()`)
      for (let pass = 1; pass <= 2; pass++) {
        const ended = await service.run(once)
        assert.equal(ended.code, 75, `pass ${pass}: ${story(ended)}`)
        assert.match(ended.stderr, says)
        assert.match(ended.stderr, /look at the triggers, row-level policies and constraints/)
        await service.expireLeases()
      }
      assert.equal((await rowOf(service, even))?.state, 'ON_NAS')
      assert.equal((await rowOf(service, odd))?.state, 'APPROVED')
      assert.deepEqual(await sourceOf(service, odd.key), odd.bytes)

      await service.sql`drop trigger refuse on app.uploads`
      const mended = await service.run(once)
      assert.equal(mended.code, 0, story(mended))
      assert.equal(summaryOf(mended).reconciled?.recorded, 1, 'without another download')
      assert.equal((await rowOf(service, odd))?.state, 'ON_NAS')
      assert.deepEqual(await eventsOf(service, odd), ['media.archived', 'media.source_deleted'])
    })
})

test('migrating as a role named strongroom leaves the tables of the backend in sight', async (t) => {
  const service = await withService(t, { env: { RELEASE_GRACE: '0' } })
  assert.equal(service.env.DB_USER, 'strongroom')
  for (let times = 1; times <= 2; times++) {
    const migrated = await service.run(['migrate'])
    assert.equal(migrated.code, 0, story(migrated))
    assert.doesNotMatch(migrated.stdout, /made/)
  }
  await service.approve(2)
  // What an earlier version left.
  await service.sql`create table strongroom.media (like public.media including all)`
  const ended = await service.run(once)
  assert.equal(ended.code, 0, story(ended))
  assert.deepEqual(await statesOf(service), { released: 2 })
  const doctor = await service.run(['doctor'])
  assert.equal(doctor.code, 0, story(doctor))
  assert.match(
    doctor.stdout,
    /^note strongroom\.media is not used: .*; it is empty\n {4}drop table/m,
  )

  await service.sql`drop table strongroom.media, public.media, public.audit_logs`
  const alone = await service.run(['migrate'])
  assert.equal(alone.code, 0, story(alone))
  assert.match(alone.stdout, /^made public\.media, public\.audit_logs: no such table was found$/m)
})

test('approved rows without an approval time or a key are told once, and cost the others nothing', async (t) => {
  const service = await withService(t, { env: { RELEASE_GRACE: '0' } })
  await service.approve(1)
  await service.sql`insert into media (id, status, object_key) values (99, 'approved', 'never timed')`
  const says = /1 approved row has no approved_at or no object_key and is skipped: media 99/g
  for (const args of [['doctor'], [...once, '--dry-run'], once]) {
    const ended = await service.run(args)
    assert.equal(ended.code, 0, story(ended))
    assert.equal((ended.stdout + ended.stderr).match(says)?.length, 1, story(ended))
  }
  assert.deepEqual(await statesOf(service), { released: 1 })
})

test('media ids that are no numbers are refused in a sentence, by doctor and by the sync', async (t) => {
  const service = await withService(t)
  await service.sql`alter table media alter id drop identity`
  await service.sql`alter table media alter id set data type uuid using gen_random_uuid()`
  for (const args of [['doctor'], once]) {
    const ended = await service.run(args)
    assert.equal(ended.code, 78, story(ended))
    const said = ended.stdout + ended.stderr
    assert.match(said, /public\.media\.id is uuid, but media ids must be whole numbers/)
    assert.match(said, /MEDIA_COLUMN_ID/)
    assert.doesNotMatch(said, /operator does not exist/)
  }
})
