import assert from 'node:assert/strict'
import { test } from 'node:test'
import { inspectBackend, openBackend } from '../../src/db/backend.ts'
import { ourTables } from '../../src/db/catalogue.ts'
import type { Finding } from '../../src/db/checks.ts'
import { openDatabase } from '../../src/db/connect.ts'
import { migrate } from '../../src/db/migrate.ts'
import { checkSchemaRights, checkTableRights } from '../../src/db/rights.ts'
import { parse } from '../support/config.ts'
import { createBackendTables, withDatabase } from '../support/postgres.ts'
import type { Scope } from '../support/scopes.ts'

const { backend: mapping } = parse()

/** A backend's database, and a role that was only just made. */
async function withGuest(t: Scope) {
  const { config, sql } = await withDatabase(t)
  await createBackendTables(sql)
  await sql`revoke all on schema public from public`
  const role = `Guest.of "${config.database}"`
  const name = `"${role.replaceAll('"', '""')}"`
  await sql.unsafe(`create role ${name} login password 'guest'`)
  const guest = openDatabase({ ...config, user: role, password: 'guest' })
  const owner = openDatabase(config)
  t.after(async () => {
    await guest.close()
    await owner.close()
    // The database is gone by now, and with it what was granted there.
    const server = openDatabase({ ...config, database: 'postgres' })
    await server.script(`drop role ${name}`)
    await server.close()
  })
  const run = async (findings: readonly Finding[]) => {
    for (const statement of findings.flatMap((finding) => finding.sql)) await sql.unsafe(statement)
  }
  const tableRights = async () => {
    return Object.values(await checkTableRights(guest, await inspectBackend(guest, mapping))).flat()
  }
  return { sql, name, guest, owner, run, tableRights }
}

const sayings = (findings: readonly Finding[]) =>
  findings.map(({ what }) => what.replace(/role ".*" may/, 'may'))

test('a role without any right is told each that it lacks, and needs no more than what is printed', async (t) => {
  const { guest, run, tableRights } = await withGuest(t)
  const fresh = await checkSchemaRights(guest)
  assert.equal(fresh.use.ok, true, 'there is nothing to use yet')
  assert.equal(fresh.migrate.ok, false)
  assert.deepEqual(sayings([fresh.migrate]), ['may not make the schema strongroom'])
  const lacking = await tableRights()
  assert.deepEqual(sayings(lacking), [
    'may not use the schema public',
    'may not read public.media',
    'may not change public.media',
    'may not add to public.audit_logs',
    'may not read public.audit_logs',
  ])
  await run([fresh.migrate, ...lacking])
  assert.equal((await checkSchemaRights(guest)).migrate.ok, true)
  assert.deepEqual(await tableRights(), [])
  await migrate(guest)
  const after = await checkSchemaRights(guest)
  assert.deepEqual([after.use.ok, after.migrate.ok], [true, true])
  await openBackend(guest, mapping)
})

test('rights on the columns that are written are enough', async (t) => {
  const { sql, name, tableRights } = await withGuest(t)
  await sql.unsafe(`
    grant usage on schema public to ${name};
    grant select on media to ${name};
    grant update (status, archive_path, archived_at, checksum_sha256) on media to ${name};
    grant insert (media_id, action, details, created_at) on audit_logs to ${name};
    grant select (media_id, action, details) on audit_logs to ${name}`)
  assert.deepEqual(sayings(await tableRights()), ['may not change public.media'])
  await sql.unsafe(`grant update (updated_at) on media to ${name}`)
  assert.deepEqual(await tableRights(), [])
})

test('every table of our schema is asked about, also one that a migration made after the grants', async (t) => {
  const { sql, name, guest, owner, run } = await withGuest(t)
  await migrate(owner)
  const tables = await sql<{ relname: string }[]>`
    select relname from pg_class
    where relnamespace = 'strongroom'::regnamespace and relkind = 'r' order by relname`
  assert.deepEqual(
    ourTables,
    tables.map(({ relname }) => relname),
  )
  for (const table of ourTables) {
    await run([(await checkSchemaRights(guest)).use])
    assert.equal((await checkSchemaRights(guest)).use.ok, true)
    for (const right of ['delete', 'all']) {
      await sql.unsafe(`revoke ${right} on strongroom.${table} from ${name}`)
      assert.equal((await checkSchemaRights(guest)).use.ok, false, `${right} on ${table}`)
    }
  }
})

test('the sequence of a serial number is among the rights', async (t) => {
  const { sql, run, tableRights } = await withGuest(t)
  await run(await tableRights())
  await sql`drop table audit_logs`
  await sql`create table audit_logs (id bigserial primary key, media_id bigint, action text)`
  assert.deepEqual(sayings(await tableRights()), [
    'may not add to public.audit_logs',
    'may not number rows of public.audit_logs',
  ])
  await run(await tableRights())
  assert.deepEqual(await tableRights(), [])
})

test('a schema that another role migrated is opened by what is printed, but migrated further by its owner only', async (t) => {
  const { guest, owner, run } = await withGuest(t)
  await migrate(owner)
  const closed = await checkSchemaRights(guest)
  assert.equal(closed.use.ok, false)
  await run([closed.use])
  const opened = await checkSchemaRights(guest)
  assert.deepEqual([opened.use.ok, opened.migrate.ok], [true, false])
  assert.match(opened.migrate.sql.join(), /"strongroom migrate" with DB_USER=strongroom, who owns/)
})
