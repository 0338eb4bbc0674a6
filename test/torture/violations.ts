/** Good outcomes with one thing wrong: whatever the checker does not find here it would not find in earnest. */
import { cpSync, readFileSync, truncateSync, unlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { TestSql } from '../support/postgres.ts'
import type { Event, StoredVersion } from './evidence.ts'

/** Somebody else's file in the archive. */
export const FOREIGN = 'old/holiday.bin'

/** What a violation may spoil; the archive is a copy, and the tables are put back afterwards. */
export interface Copy {
  sql: TestSql
  archive: string
  listing: Record<string, string>
  events: Event[]
  /** Where the copy of this medium lies. */
  path(mediaId: number): string
  key(mediaId: number): string
}

export interface Seeded {
  name: string
  what: string
  spoil: (world: Copy) => unknown
  /** Only wrong once all work is said to be done. */
  settled?: true
}

const item = (state: string) => (world: Copy) =>
  world.sql.unsafe(`update strongroom.items set state = '${state}' where media_id = 5`)

/** Each with one thing wrong, and the name under which the checker must find it. */
export const seeded: Seeded[] = [
  {
    name: 'lost',
    what: 'an archived file is gone, and so is its source',
    spoil: (w) => unlinkSync(w.path(1)),
  },
  { name: 'lost', what: 'a rejected object is gone', spoil: (w) => delete w.listing[w.key(4)] },
  {
    name: 'source-replaced',
    what: 'a source has other bytes',
    spoil: (w) => set(w.listing, w.key(5), 'f'.repeat(32)),
  },
  {
    name: 'object-from-nowhere',
    what: 'the bucket holds an object that nobody stored',
    spoil: (w) => set(w.listing, 'uploads/99.png', 'f'.repeat(32)),
  },
  {
    name: 'archived-file-missing',
    what: 'an archived file is gone',
    spoil: (w) => unlinkSync(w.path(5)),
  },
  {
    name: 'archived-file-differs',
    what: 'one bit of an archived file is flipped',
    spoil: (w) => flip(w.path(2)),
  },
  {
    name: 'partial-final-name',
    what: 'an archived file is cut short',
    spoil: (w) => truncateSync(w.path(5), 20),
  },
  {
    name: 'partial-final-name',
    what: 'an unknown file has a final name',
    spoil: (w) => writeFileSync(`${w.path(5)}.part`, 'half'),
  },
  {
    name: 'sidecar-missing',
    what: 'a sidecar is gone',
    spoil: (w) => unlinkSync(`${w.path(1)}.json`),
  },
  {
    name: 'sidecar-torn',
    what: 'a sidecar is cut short',
    spoil: (w) => truncateSync(`${w.path(1)}.json`, 100),
  },
  {
    name: 'sidecar-torn',
    what: 'one number of a sidecar is edited',
    spoil: (w) => edit(`${w.path(1)}.json`, /"media_id": ?1\b/, '"media_id": 9'),
  },
  {
    name: 'sidecar-differs',
    what: 'a sidecar is another one’s',
    spoil: (w) => cpSync(`${w.path(2)}.json`, `${w.path(1)}.json`),
  },
  {
    name: 'item-hash-differs',
    what: 'an item has another hash',
    spoil: (w) => w.sql`update strongroom.items set sha256 = ${'0'.repeat(64)} where media_id = 5`,
  },
  {
    name: 'archived-what-nobody-stored',
    what: 'an item names an ETag that nobody stored',
    spoil: (w) => w.sql`update strongroom.items set etag = ${'0'.repeat(32)} where media_id = 5`,
  },
  {
    name: 'bad-media-archived',
    what: 'what is no media was archived',
    spoil: (w) => {
      for (const one of w.events) if (one.what === 'upload' && one.media_id === 5) one.good = false
    },
  },
  {
    name: 'row-archived-without-item',
    what: 'a row is archived whose item is not',
    spoil: item('withdrawn'),
  },
  {
    name: 'row-not-archived',
    what: 'an item is archived whose row is not',
    spoil: (w) => w.sql`update media set status = 'approved' where id = 5`,
  },
  {
    name: 'row-path-differs',
    what: 'a row names another path than its item',
    spoil: (w) => w.sql`update media set archive_path = 'a/b' where id = 5`,
  },
  {
    name: 'row-hash-differs',
    what: 'a row names another hash than its item',
    spoil: (w) => w.sql`update media set checksum_sha256 = 'a' where id = 5`,
  },
  {
    name: 'deleted-without-release',
    what: 'a source was deleted in its grace',
    spoil: (w) => w.events.push(deletion(w.key(5), null)),
  },
  {
    name: 'deleted-without-release',
    what: 'a source was deleted that its item calls another version, and nobody stored one',
    spoil: (w) => w.sql`update strongroom.items set state = 'source_differs' where media_id = 1`,
  },
  {
    name: 'deleted-before-archived',
    what: 'a source was deleted and no audit row says that it was archived',
    spoil: (w) => w.sql`delete from audit_logs where media_id = 1 and action = 'archived'`,
  },
  {
    name: 'deleted-another-version',
    what: 'a new version was deleted in place of the archived one',
    spoil: (w) => {
      const at = w.events.findIndex((one) => one.what === 'request' && one.key === w.key(1))
      const fresh = { ...stored(w, 1), md5: 'e'.repeat(32), sha256: 'e'.repeat(64) }
      w.events.splice(at, 1, fresh, deletion(w.key(1), null))
    },
  },
  {
    name: 'deleted-unknown-key',
    what: 'an object was deleted that nobody stored',
    spoil: (w) => w.events.push(deletion('uploads/77.png', 'a'.repeat(32))),
  },
  {
    name: 'deleted-without-copy',
    what: 'a source was deleted whose copy is another one’s',
    spoil: (w) => cpSync(w.path(2), w.path(1)),
  },
  {
    name: 'deleted-but-there',
    what: 'a source is said to be deleted, and is there',
    spoil: (w) => set(w.listing, w.key(1), stored(w, 1).md5),
  },
  {
    name: 'written-to-bucket',
    what: 'the program wrote to the bucket',
    spoil: (w) => w.events.push({ ...deletion(w.key(5), null), method: 'PUT' }),
  },
  {
    name: 'foreign-file-changed',
    what: 'somebody else’s file was overwritten',
    spoil: (w) => writeFileSync(join(w.archive, FOREIGN), 'other'),
  },
  {
    name: 'foreign-file-gone',
    what: 'somebody else’s file was removed',
    spoil: (w) => unlinkSync(join(w.archive, FOREIGN)),
  },
  {
    name: 'audit-archived-missing',
    what: 'an archived item has no audit row',
    spoil: (w) => w.sql`delete from audit_logs where media_id = 5`,
  },
  {
    name: 'audit-archived-doubled',
    what: 'an archived item has two audit rows',
    spoil: (w) => again(w.sql, 5, 'archived'),
  },
  {
    name: 'audit-archived-false',
    what: 'a rejected item has an archived row',
    spoil: (w) => w.sql`update audit_logs set action = 'archived' where media_id = 4`,
  },
  {
    name: 'audit-deleted-missing',
    what: 'a released item has no audit row for it',
    spoil: (w) => w.sql`delete from audit_logs where media_id = 1 and action = 'source_deleted'`,
  },
  {
    name: 'audit-deleted-doubled',
    what: 'a released item has two audit rows for it',
    spoil: (w) => again(w.sql, 1, 'source_deleted'),
  },
  {
    name: 'audit-deleted-false',
    what: 'an archived item has a source_deleted row',
    spoil: (w) => w.sql`
      insert into audit_logs (media_id, action, details)
      select media_id, 'source_deleted', details from audit_logs where media_id = 5`,
  },
  {
    name: 'audit-of-no-item',
    what: 'an audit row is of another medium than its item',
    spoil: (w) => w.sql`update audit_logs set media_id = 6 where media_id = 5`,
  },
  {
    name: 'doubled',
    what: 'one version was archived twice',
    spoil: (w) => w.sql`
      insert into strongroom.items
        (media_id, generation, state, object_key, approved_at, etag, sha256, size_bytes, archive_path)
      select media_id, 2, state, object_key, approved_at, etag, sha256, size_bytes, archive_path || '~2'
      from strongroom.items where media_id = 5`,
  },
  {
    name: 'path-shared',
    what: 'two items name one file',
    spoil: (w) => w.sql`
      update strongroom.items set archive_path = (
        select archive_path from strongroom.items where media_id = 5) where media_id = 6`,
  },
  {
    name: 'archives-doubled',
    what: 'the database knows two archives',
    spoil: (w) => w.sql`insert into strongroom.archives (id) values (gen_random_uuid())`,
  },
  {
    name: 'marker-differs',
    what: 'another archive was put in place',
    spoil: (w) =>
      edit(
        join(w.archive, '.strongroom/archive.json'),
        /[0-9a-f-]{36}/,
        '00000000-0000-4000-8000-000000000000',
      ),
  },
  {
    name: 'marker-torn',
    what: 'the archive’s marker is cut short',
    spoil: (w) => truncateSync(join(w.archive, '.strongroom/archive.json'), 9),
  },
  {
    name: 'filed-astray',
    what: 'a file was written below the mount point of an archive that was away',
    spoil: (w) => w.events.push({ what: 'astray', path: join(w.archive, '2026/11/5/5.png') }),
  },
  {
    name: 'not-converged',
    what: 'an item is still being published',
    spoil: item('publishing'),
    settled: true,
  },
  {
    name: 'not-released',
    what: 'an item is due and still archived',
    spoil: (w) =>
      w.sql`update strongroom.items set release_due = now() - interval '1 hour' where media_id = 5`,
    settled: true,
  },
  {
    name: 'lease-left',
    what: 'an item is still leased',
    spoil: (w) => w.sql`update strongroom.items set lease_owner = 'x' where media_id = 5`,
    settled: true,
  },
  {
    name: 'never-archived',
    what: 'an approved row with a good object was left alone',
    spoil: (w) => w.sql`
      insert into media (id, object_key, status, approved_at)
      select 50, object_key, 'approved', now() from media where id = 5`,
    settled: true,
  },
  {
    name: 'orphan-file',
    what: 'a second copy lies about',
    spoil: (w) => cpSync(w.path(5), `${w.path(5)}~2`),
    settled: true,
  },
  {
    name: 'orphan-sidecar',
    what: 'a sidecar describes no file',
    spoil: (w) => cpSync(`${w.path(5)}.json`, `${w.path(5)}~2.json`),
    settled: true,
  },
  {
    name: 'temporary-left',
    what: 'a temporary is left',
    spoil: (w) => writeFileSync(join(w.archive, '.strongroom/tmp/1.1.part'), 'x'),
    settled: true,
  },
]

export function deletion(key: string, etag: string | null): Event & { what: 'request' } {
  const if_match = etag === null ? null : `"${etag}"`
  return { what: 'request', method: 'DELETE', key, if_match, status: 204 }
}

export function stored({ events }: Pick<Copy, 'events'>, mediaId: number): StoredVersion {
  const found = events.find((one) => one.what === 'upload' && one.media_id === mediaId)
  if (found?.what !== 'upload') throw new Error(`media ${mediaId} was never stored`)
  return found
}

function again(sql: TestSql, mediaId: number, action: string) {
  return sql`
    insert into audit_logs (media_id, action, details)
    select media_id, action, details from audit_logs where media_id = ${mediaId} and action = ${action}`
}

function set(listing: Copy['listing'], key: string, md5: string): void {
  listing[key] = md5
}

function flip(path: string): void {
  const bytes = readFileSync(path)
  bytes[40] = (bytes[40] ?? 0) ^ 1
  writeFileSync(path, bytes)
}

function edit(path: string, from: RegExp, to: string): void {
  const text = readFileSync(path, 'utf8')
  const edited = text.replace(from, to)
  if (edited === text) throw new Error(`${path} does not hold ${from}`)
  writeFileSync(path, edited)
}
