import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import type { RowNow } from '../../src/db/shadow.ts'
import { AppError } from '../../src/errors.ts'
import type { ShadowRecord } from '../../src/shadow/records.ts'
import { type ReportParts, report } from '../../src/shadow/report.ts'
import { sha256 } from '../support/adoption.ts'

const bytes = Buffer.from('a film')
const approvedAt = new Date('2026-11-02T10:00:00Z')
const archivedAt = new Date('2026-11-02T11:00:00Z')

const archived: Omit<RowNow, 'media'> = {
  status: 'archived',
  statusText: 'archived',
  deletedAt: null,
  archivePath: 'film.mp4',
  archivedAt,
  checksum: null,
}

/** What the table has of a medium, and what Strongroom remembers of it. */
interface Known {
  row?: Partial<RowNow>
  record?: Partial<ShadowRecord> | null
}

function rowOf(mediaId: number, { row = {} }: Known): RowNow {
  const media: RowNow['media'] = {
    mediaId,
    userId: 3,
    title: null,
    filename: 'film.mp4',
    contentType: 'video',
    mimeType: 'video/mp4',
    declaredBytes: bytes.length,
    objectKey: `uploads/${mediaId}.mp4`,
    approvedAt,
  }
  return { media, ...archived, ...row }
}

function recordOf(mediaId: number, { record = {} }: Known): ShadowRecord | null {
  if (record === null) return null
  const last_modified = approvedAt.toISOString()
  return {
    schema_version: 1,
    media_id: mediaId,
    version: '0'.repeat(16),
    verdict: 'archive',
    reason: null,
    looked_at: last_modified,
    attempts: 1,
    source: { etag: 'e', last_modified, bytes: bytes.length, sha256: sha256(bytes) },
    sidecar: null,
    kept: false,
    ...record,
  }
}

const archive: ReportParts['archive'] = {
  fresh: new Map(),
  withFile: (path, work) =>
    work({
      realPath: path,
      neutralPath: path,
      sizeBytes: bytes.length,
      modifiedAt: archivedAt,
      async *chunks() {
        yield bytes
      },
      isUnchanged: async () => true,
      close: async () => {},
    }),
  sha256: async () => sha256(bytes),
  sidecarOf: async () => null,
  isThere: async () => true,
}

/** Media 1 was archived by both alike; the others follow. */
function partsOf(...others: Known[]): ReportParts {
  const known = new Map([{}, ...others].map((one, index) => [index + 1, one]))
  const rows = new Map([...known].map(([id, one]) => [id, rowOf(id, one)]))
  const records = new Map([...known].map(([id, one]) => [id, recordOf(id, one)]))
  const pick = <T>(all: ReadonlyMap<number, T>, ids: readonly number[]) =>
    new Map([...all].filter(([id]) => ids.includes(id)))
  const audits = new Map([...rows.keys()].map((id) => [id, new Map([['archived', 1]])]))
  return {
    since: approvedAt,
    at: archivedAt,
    meaning: {
      actions: { archived: 'archived', rejected: 'rejected' },
      kinds: {},
      keepsArchivedAt: true,
    },
    lastRun: { endedAt: new Date(), stoppedBy: null },
    approved: async () => [],
    archived: async () => [...rows.values()].filter(({ status }) => status === 'archived'),
    rows: async (ids) => pick(rows, ids),
    audits: async (ids) => pick(audits, ids),
    record: async ({ media_id: id }) => records.get(id) ?? null,
    recorded: new Set([...records].flatMap(([id, record]) => (record === null ? [] : [id]))),
    bucket: { head: async () => null },
    archive,
    owners: new Map(),
    errors: null,
    named: null,
    accepted: [],
    validate: async () => {
      throw new AppError('PROBE_FAILED', 'ffprobe took too long')
    },
    layout: '{filename}',
    relative: (path) => path,
    concurrency: 2,
    signal: new AbortController().signal,
  }
}

const unread = { verdict: 'retry', attempts: 8, reason: 'it is cut short', source: null } as const
const approved = { ...archived, status: 'approved', archivedAt: null, archivePath: null } as const

describe('it is safe to cut over', () => {
  test('where both do the same', async () => {
    assert.equal((await report(partsOf())).safe, true)
  })

  for (const [name, row] of [
    ['archived by the other service', {}],
    ['not come to yet by the other service', approved],
  ] as const)
    test(`not while Strongroom could not read a source, ${name}, unless that is accepted`, async () => {
      const parts = partsOf({ row, record: unread })
      assert.equal((await report(parts)).safe, false)
      assert.equal((await report({ ...parts, accepted: ['unread'] })).safe, true)
    })

  const yesterday = new Date(Date.now() - 25 * 3_600_000)
  for (const [name, lastRun, said] of [
    ['no run has ended', null, /^no run of Strongroom has come to its end yet$/],
    [
      'runs stop early',
      { endedAt: new Date(), stoppedBy: 'no room' },
      /stopped early at .* \(no room\)$/,
    ],
    [
      'no run has ended for a day',
      { endedAt: yesterday, stoppedBy: null },
      /^Strongroom has not looked since/,
    ],
  ] as const)
    test(`not while ${name}`, async () => {
      const { safe, notes } = await report({ ...partsOf(), lastRun })
      assert.equal(safe, false)
      assert.match(notes[0] ?? '', said)
    })

  test('not while ffprobe has no verdict of a file that tells in the place of its source', async () => {
    const { comparisons, safe } = await report(
      partsOf({ record: { verdict: 'late', source: null } }),
    )
    assert.equal(safe, false)
    assert.match(comparisons[1]?.differences[0]?.text ?? '', /ffprobe took too long$/)
  })
})
