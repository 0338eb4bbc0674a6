import assert from 'node:assert/strict'
import { test } from 'node:test'
import { openBackend } from '../../src/db/backend.ts'
import { openDatabase } from '../../src/db/connect.ts'
import { countLegacy, keepLegacy, type LegacyRow, legacyRows } from '../../src/db/legacy.ts'
import { migrate } from '../../src/db/migrate.ts'
import { AppError } from '../../src/errors.ts'
import type { AdoptedFile } from '../../src/media.ts'
import { parse } from '../support/config.ts'
import { createBackendTables, withDatabase } from '../support/postgres.ts'
import type { Scope } from '../support/scopes.ts'

async function withLegacy(t: Scope) {
  const { config, sql } = await withDatabase(t)
  await createBackendTables(sql)
  const database = openDatabase(config)
  t.after(() => database.close())
  await migrate(database)
  const backend = await openBackend(database, parse().backend)
  const insert = async (id: number, more: Record<string, unknown> = {}) => {
    const row = { id, object_key: `k${id}`, status: 'archived', archive_path: `${id}.mp4`, ...more }
    await sql`insert into media ${sql(row)}`
  }
  return {
    sql,
    insert,
    count: (run = database.run) => countLegacy({ ...database, run }, backend),
    rows: (afterId = 0, limit = 100) =>
      legacyRows(database, backend, { afterId, limit, ours: true }),
    keep: (row: LegacyRow, more: Partial<AdoptedFile> = {}) =>
      keepLegacy(database, backend, { row, file: { ...fileOf(row), ...more } }),
  }
}

function fileOf({ pathText }: LegacyRow): AdoptedFile {
  const type = { mimeType: 'video/mp4', kind: 'video', probe: null } as const
  const facts = { sizeBytes: 1, sha256: 'ab'.repeat(32), adoptedAt: new Date() }
  return { archivePath: pathText, ...facts, ...type }
}

async function first(rows: Promise<LegacyRow[]>): Promise<LegacyRow> {
  const [row] = await rows
  assert.ok(row)
  return row
}

test('archived rows come by their ids, page after page, also those without a path, and deleted ones never', async (t) => {
  const { insert, rows, count } = await withLegacy(t)
  for (const id of [3, 1, 2, 9]) await insert(id)
  await insert(4, { status: 'approved' })
  await insert(5, { deleted_at: new Date() })
  await insert(6, { archive_path: null })
  await insert(7, { archive_path: '' })
  const idsOf = (page: LegacyRow[]) => page.map(({ media }) => media.mediaId)
  assert.deepEqual(idsOf(await rows()), [1, 2, 3, 6, 7, 9])
  assert.deepEqual(idsOf(await rows(1, 2)), [2, 3])
  assert.deepEqual(idsOf(await rows(9)), [])
  assert.equal(await count(), 6)
})

test('rows that take too long to count are not counted, and that is all', async (t) => {
  const { insert, rows, count } = await withLegacy(t)
  await insert(1)
  for (const code of ['DB_UNAVAILABLE', 'DB_UNKNOWN'] as const) {
    const tooSlow = () => Promise.reject(new AppError(code, 'the database was too slow'))
    assert.equal(await count(tooSlow), null)
  }
  assert.equal((await rows()).length, 1)
})

test('an item is kept once, however often and from however many sides that is asked for', async (t) => {
  const { sql, insert, rows, keep } = await withLegacy(t)
  await insert(1, { checksum_sha256: 'AB'.repeat(32), file_size: 0 })
  const row = await first(rows())
  assert.deepEqual([row.sha256, row.media.declaredBytes, row.known], ['ab'.repeat(32), null, false])
  const outcomes = await Promise.all(Array.from({ length: 8 }, () => keep(row)))
  assert.deepEqual(new Set(outcomes), new Set(['kept']))
  assert.equal(await keep(row), 'kept')
  const items = await sql<{ state: string; generation: number }[]>`
    select state, generation from strongroom.items`
  assert.deepEqual(
    items.map((item) => ({ ...item })),
    [{ state: 'kept', generation: 1 }],
  )
  assert.equal((await first(rows())).known, true)
})

test('a row that is no longer archived there gets no item', async (t) => {
  const { sql, insert, rows, keep } = await withLegacy(t)
  await insert(1)
  const row = await first(rows())
  for (const change of [
    sql`update media set archive_path = 'elsewhere.mp4'`,
    sql`update media set archive_path = '1.mp4', status = 'approved'`,
    sql`update media set status = 'archived', deleted_at = now()`,
    sql`delete from media`,
  ]) {
    await change
    assert.equal(await keep(row), 'changed')
  }
})

test('times that never come are not taken over', async (t) => {
  const { sql, insert, rows, keep } = await withLegacy(t)
  await insert(1)
  await sql`update media set archived_at = 'infinity', created_at = '-infinity', approved_at = null`
  assert.equal(await keep(await first(rows())), 'kept')
  const items = await sql<{ finite: boolean }[]>`
    select isfinite(archived_at) and isfinite(approved_at) as finite from strongroom.items`
  assert.deepEqual(
    items.map(({ finite }) => finite),
    [true],
  )
})

test('a path that another item has is taken', async (t) => {
  const { insert, rows, keep } = await withLegacy(t)
  await insert(1)
  await insert(2)
  const [one, two] = await rows()
  assert.ok(one && two)
  assert.equal(await keep(one), 'kept')
  assert.equal(await keep(two, { archivePath: '1.mp4' }), 'taken')
})
