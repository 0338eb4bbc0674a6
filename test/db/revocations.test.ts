import assert from 'node:assert/strict'
import { test } from 'node:test'
import { openDatabase } from '../../src/db/connect.ts'
import { migrate } from '../../src/db/migrate.ts'
import { readRevocations, revoke } from '../../src/db/revocations.ts'
import { withDatabase } from '../support/postgres.ts'
import type { Scope } from '../support/scopes.ts'

async function withMigrated(t: Scope) {
  const { config, sql } = await withDatabase(t)
  const database = openDatabase(config)
  t.after(() => database.close())
  await migrate(database)
  return { database, sql }
}

const hours = (count: number) => new Date(Date.now() + count * 3_600_000)

test('what is revoked is read once, and again only when it has changed', async (t) => {
  const { database } = await withMigrated(t)
  const none = await readRevocations(database, null)
  assert.deepEqual(none?.subjects, [])
  assert.equal(await readRevocations(database, none?.stamp ?? ''), null)
  await revoke(database, { subject: 'jti:a', expiresAt: null })
  await revoke(database, { subject: 'jti:b', expiresAt: hours(1) })
  const two = await readRevocations(database, none?.stamp ?? '')
  assert.deepEqual(two?.subjects.toSorted(), ['jti:a', 'jti:b'])
  assert.equal(await readRevocations(database, two?.stamp ?? ''), null)
})

test('a revocation that is committed after a later one is not missed', async (t) => {
  const { database, sql } = await withMigrated(t)
  const before = await sql.begin(async (slow) => {
    await slow`insert into strongroom.revocations (subject) values ('jti:first')`
    await revoke(database, { subject: 'jti:second', expiresAt: null })
    return readRevocations(database, null)
  })
  assert.deepEqual(before?.subjects, ['jti:second'])
  const after = await readRevocations(database, before?.stamp ?? '')
  assert.deepEqual(after?.subjects.toSorted(), ['jti:first', 'jti:second'])
})

test('what is revoked twice stays revoked for the longer time', async (t) => {
  const { database, sql } = await withMigrated(t)
  const [soon, late] = [hours(1), hours(2)]
  for (const [subject, times] of Object.entries({
    'jti:longer': [soon, late],
    'jti:shorter': [late, soon],
    'jti:for ever': [soon, null],
    'jti:ever after': [null, soon],
  }))
    for (const expiresAt of times) await revoke(database, { subject, expiresAt })
  const rows = await sql`select subject, expires_at from strongroom.revocations order by subject`
  assert.deepEqual(
    rows.map(({ subject, expires_at }) => [subject, expires_at]),
    [
      ['jti:ever after', null],
      ['jti:for ever', null],
      ['jti:longer', late],
      ['jti:shorter', late],
    ],
  )
})

test('a revocation goes a day after the last token that it means has expired', async (t) => {
  const { database, sql } = await withMigrated(t)
  await sql`insert into strongroom.revocations (subject, expires_at) values
    ('jti:old', now() - interval '25 hours'), ('jti:recent', now() - interval '23 hours'), ('jti:ever', null)`
  const before = await readRevocations(database, null)
  await revoke(database, { subject: 'jti:new', expiresAt: hours(1) })
  const after = await readRevocations(database, before?.stamp ?? '')
  assert.deepEqual(after?.subjects.toSorted(), ['jti:ever', 'jti:new', 'jti:recent'])
})

test('a link is taken back although those that expired may not be removed', async (t) => {
  const { database, sql } = await withMigrated(t)
  await sql.unsafe(`
    create function refuse() returns trigger language plpgsql as $$ begin
      raise exception 'not yours to remove' using errcode = 'insufficient_privilege'; end $$;
    create trigger refuse before delete on strongroom.revocations for each statement execute function refuse()`)
  await revoke(database, { subject: 'jti:a', expiresAt: null })
  assert.deepEqual((await readRevocations(database, null))?.subjects, ['jti:a'])
})
