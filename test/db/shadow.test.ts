import assert from 'node:assert/strict'
import { test } from 'node:test'
import { openBackend } from '../../src/db/backend.ts'
import { openDatabase } from '../../src/db/connect.ts'
import { archivedSince, auditsSince, namedPaths, rowsNow } from '../../src/db/shadow.ts'
import { parse } from '../support/config.ts'
import { withDatabase } from '../support/postgres.ts'

test('a backend with other names, times without a zone and ids as text is read all the same', async (t) => {
  const { config, sql } = await withDatabase(t)
  await sql.unsafe(`
    create table films (nr int primary key, state varchar(20), blob_key text, ok_at timestamp, changed timestamp, place text);
    create table trail (film text, what text, at timestamp);
    insert into films values
      (1, 'archived', 'k1', '2026-01-01', '2026-01-02', '/media/archive/1.mp4'),
      (2, 'archived', 'k2', '2026-01-01', '2026-01-05', '2.mp4'),
      (3, 'approved', 'k3', '2026-01-01', '2026-01-05', null),
      (4, 'failed', 'k4', null, '2026-01-05', '');
    insert into trail values ('2', 'archived', '2026-01-05'), ('2', 'archived', '2026-01-05'),
      ('2', 'archived', '2026-01-01'), ('2', 'seen', '2026-01-05'), ('x', 'archived', '2026-01-05')`)
  const { backend: mapping } = parse({
    MEDIA_TABLE: 'films',
    AUDIT_TABLE: 'trail',
    MEDIA_COLUMN_ID: 'nr',
    MEDIA_COLUMN_STATUS: 'state',
    MEDIA_COLUMN_OBJECT_KEY: 'blob_key',
    MEDIA_COLUMN_APPROVED_AT: 'ok_at',
    MEDIA_COLUMN_UPDATED_AT: 'changed',
    MEDIA_COLUMN_ARCHIVE_PATH: 'place',
    AUDIT_COLUMN_MEDIA_ID: 'film',
    AUDIT_COLUMN_ACTION: 'what',
    AUDIT_COLUMN_CREATED_AT: 'at',
    STATUS_REJECTED: 'failed',
  })
  const database = openDatabase(config)
  t.after(() => database.close())
  const backend = await openBackend(database, mapping)
  const since = new Date('2026-01-04T00:00:00Z')

  const recent = await archivedSince(database, backend, { since, afterId: 0, limit: 10 })
  assert.deepEqual(
    recent.map(({ media, archivePath }) => [media.mediaId, media.objectKey, archivePath]),
    [[2, 'k2', '2.mp4']],
  )
  const rows = await rowsNow(database, backend, [1, 3, 4, 5])
  assert.deepEqual(
    [...rows.values()]
      .map(({ media, status, archivePath }) => [media.mediaId, status, archivePath])
      .sort(),
    [
      [1, 'archived', '/media/archive/1.mp4'],
      [3, 'approved', null],
      [4, 'rejected', null],
    ],
  )
  assert.equal(rows.get(4)?.media.approvedAt, null)
  const audits = await auditsSince(database, backend, { mediaIds: [2, 3], since })
  assert.deepEqual(
    [...audits].map(([id, counts]) => [id, Object.fromEntries(counts)]),
    [[2, { archived: 2, seen: 1 }]],
  )
  const named = await namedPaths(database, backend, [
    '/media/archive/1.mp4',
    '1.mp4',
    "it's, 2.mp4",
  ])
  assert.deepEqual([...named], ['/media/archive/1.mp4'])
})
