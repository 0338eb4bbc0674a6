import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import type { RowNow } from '../../src/db/shadow.ts'
import { compare, type Meaning } from '../../src/shadow/compare.ts'
import type { Evidence } from '../../src/shadow/evidence.ts'
import type { ShadowRecord } from '../../src/shadow/records.ts'

const SHA256 = 'ab'.repeat(32)
const PATH = '2026/11/7/film.mp4'
const approvedAt = new Date('2026-11-02T10:00:00Z')
const archivedAt = new Date('2026-11-02T11:00:00Z')
const later = new Date('2026-11-02T12:00:00Z')
const before = new Date('2026-11-02T09:00:00Z')

const meaning: Meaning = {
  actions: { archived: 'archived', rejected: 'archive_rejected' },
  kinds: { video: 'movie' },
  keepsArchivedAt: true,
}

const archived: RowNow = {
  media: {
    mediaId: 7,
    userId: 3,
    title: 'A film',
    filename: 'film.mp4',
    contentType: 'video',
    mimeType: 'video/mp4',
    declaredBytes: 1000,
    objectKey: 'uploads/7.mp4',
    approvedAt,
  },
  status: 'archived',
  statusText: 'archived',
  deletedAt: null,
  archivePath: PATH,
  archivedAt,
  checksum: null,
}
const approved: RowNow = {
  ...archived,
  status: 'approved',
  statusText: 'approved',
  archivePath: null,
  archivedAt: null,
}
const record: ShadowRecord = {
  schema_version: 1,
  media_id: 7,
  version: '0'.repeat(16),
  verdict: 'archive',
  reason: null,
  looked_at: before.toISOString(),
  attempts: 1,
  source: { etag: 'e', last_modified: before.toISOString(), bytes: 1000, sha256: SHA256 },
  sidecar: null,
  kept: false,
}
const file = { path: PATH, sizeBytes: 1000, sha256: SHA256, sidecar: null }
/** Archived by both in the same way. */
const alike: Evidence = {
  mediaId: 7,
  record,
  wouldPath: PATH,
  superseded: false,
  row: archived,
  audits: new Map([['archived', 1]]),
  file,
  fileFault: null,
  oldVerdict: null,
  rejectedCopy: null,
  source: null,
  overtakenBy: null,
}
/** Approved still, and nothing of it in the archive. */
const open: Evidence = { ...alike, row: approved, audits: new Map(), file: null }
const there = { etag: 'e', lastModified: before }
const rejected = { ...record, verdict: 'reject' as const, reason: 'no media' }
const held = { ...record, verdict: 'hold' as const, reason: 'newer', source: null }
const late = { ...record, verdict: 'late' as const, source: null }
const unread = { ...late, verdict: 'retry' as const }
const unseen: Evidence = { ...open, record: null, source: there, overtakenBy: 8 }
const valid = { valid: true, reason: null, facts: null, archivePath: PATH }

/** What was seen, and what is to be said of it: kinds of differences, or why it is not compared. */
const cases: [name: string, seen: Partial<Evidence>, said: string][] = [
  ['archived by both', {}, ''],
  ['a row that nobody has any more', { row: null }, 'changed'],
  ['a row that was approved anew since', { record: null, superseded: true }, 'changed'],
  ['deleted after it was archived', { row: { ...archived, deletedAt: later } }, 'changed'],
  ['archived although deleted', { record: null, row: { ...archived, deletedAt: before } }, 'extra'],
  ['archived without approval', { record: null, row: unapproved() }, 'extra'],
  ['cut short', { file: { ...file, sizeBytes: 999, sha256: 'x' } }, 'truncated'],
  ['as long, but other', { file: { ...file, sha256: 'x' } }, 'bytes'],
  ['longer', { file: { ...file, sizeBytes: 1001, sha256: 'x' } }, 'bytes'],
  ['no file', { file: null, fileFault: 'gone' }, 'file-missing'],
  ['elsewhere', { file: { ...file, path: 'x/film.mp4' } }, 'path'],
  ['a wrong checksum in the row', { row: { ...archived, checksum: 'x' } }, 'row-fact'],
  ['its right checksum in the row', { row: { ...archived, checksum: SHA256 } }, ''],
  ['no time of archiving', { row: { ...archived, archivedAt: null } }, 'row-fact'],
  ['no audit row', { audits: new Map([['other', 1]]) }, 'audit-missing'],
  ['two audit rows', { audits: new Map([['archived', 2]]) }, 'audit-doubled'],
  ['its source is there', { source: there }, 'source-kept'],
  ['another object under its key', { source: { etag: 'f', lastModified: later } }, ''],
  ['its own word for the kind', { file: { ...file, sidecar: { content_type: 'movie' } } }, ''],
  ['a sidecar of another medium', { file: { ...file, sidecar: { media_id: 8 } } }, 'sidecar'],
  ['we would reject', { record: rejected, wouldPath: null }, 'verdict'],
  ['we would hold', { record: held, wouldPath: null }, 'verdict'],
  ['replaced after it was archived', { record: newer(), oldVerdict: valid }, ''],
  ['it was faster', { record: late, wouldPath: null, oldVerdict: valid }, ''],
  [
    'it was faster, with what we would reject',
    { record: late, wouldPath: null, oldVerdict: { ...valid, valid: false, reason: 'x' } },
    'verdict',
  ],
  [
    'it was faster, and its file is shorter than the row says',
    {
      record: late,
      wouldPath: null,
      file: { ...file, sizeBytes: 10 },
      oldVerdict: { ...valid, valid: false, reason: 'x' },
    },
    'truncated',
  ],
  ['archived, and we could not read it', { record: unread, oldVerdict: valid }, 'unread'],
  [
    'it was faster, and nobody can judge its file',
    { record: late, wouldPath: null, oldVerdict: { ...valid, valid: null, reason: 'slow' } },
    'unread',
  ],
  ['not come to yet', { ...open, source: there }, 'waiting'],
  ['passed over', { ...open, source: there, overtakenBy: 8 }, 'missed'],
  ['not come to by either', { ...unseen, overtakenBy: null }, 'waiting'],
  ['passed over by both', unseen, 'missed'],
  ['rejected by it before we read it', { ...unseen, rejectedCopy: 'x' }, 'unread'],
  ['an approved row without an object', { ...unseen, source: null }, 'missing'],
  ['in the archive, not in the row', { ...alike, row: approved }, 'status'],
  ['its source gone before its time', open, 'source-early'],
  ['rejected by both', { ...open, record: rejected, source: there, rejectedCopy: 'x' }, ''],
  [
    'rejected by both without a trace',
    { ...open, record: rejected, source: there, overtakenBy: 8 },
    '',
  ],
  ['rejected by it alone', { ...open, source: there, rejectedCopy: 'x' }, 'verdict'],
  [
    'rejected by its audit row',
    { ...open, source: there, audits: new Map([['archive_rejected', 1]]) },
    'verdict',
  ],
  [
    'its own word for rejected',
    { ...open, source: there, row: other(), rejectedCopy: 'x' },
    'verdict',
  ],
  ['un-approved by a person', { ...open, source: there, row: other() }, 'changed'],
  [
    'rejected by both, and its source deleted',
    { ...open, record: rejected, rejectedCopy: 'x' },
    'source-early',
  ],
  ['missing for both', { ...open, record: { ...late, verdict: 'missing' } }, 'missing'],
  ['not read yet', { ...open, record: unread }, 'unread'],
]

function unapproved(): RowNow {
  return { ...archived, media: { ...archived.media, approvedAt: null } }
}

function other(): RowNow {
  return { ...approved, status: 'other', statusText: 'failed' }
}

function newer(): ShadowRecord {
  const source = { etag: 'f', last_modified: later.toISOString(), bytes: 5, sha256: 'x' }
  return { ...record, source }
}

describe('one medium is judged by what was seen of it', () => {
  for (const [name, seen, said] of cases)
    test(`${name}: ${said === '' ? 'no difference' : said}`, () => {
      const { skipped, differences } = compare({ ...alike, ...seen }, meaning)
      assert.equal(skipped ?? differences.map(({ kind }) => kind).join(), said)
    })
})
