import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { RowNow } from '../../src/db/shadow.ts'
import { AppError } from '../../src/errors.ts'
import type { ShadowRecord } from '../../src/shadow/records.ts'
import { runShadow, type ShadowParts } from '../../src/shadow/run.ts'
import type { ObjectFacts } from '../../src/storage/bucket.ts'
import { listeningLog } from '../support/worker.ts'

const approvedAt = new Date('2026-11-02T10:00:00Z')
const uploadedAt = new Date('2026-11-02T11:00:00Z')
const never = async () => assert.fail('not to be called')

/** Looks at one medium whose object came after its approval. */
async function verdictOf(now: Partial<RowNow>, object: ObjectFacts | null): Promise<string[]> {
  const media = { mediaId: 7, objectKey: 'uploads/7.mp4', approvedAt } as RowNow['media']
  const row = { media, deletedAt: null, status: 'archived', ...now } as RowNow
  const saved: ShadowRecord[] = []
  const parts: ShadowParts = {
    steps: {
      assertUsable() {},
      async download() {
        throw new AppError('CHANGED_AFTER_APPROVAL', 'written after its approval')
      },
      validate: never,
      publish: never,
      discard: never,
      settled() {},
    },
    records: {
      known: () => null,
      keptBytes: () => 0,
      reserve: () => true,
      save: async (record) => void saved.push(record),
    },
    disk: { unlink: never },
    approved: async () => [],
    archived: async () => [row],
    rowNow: async () => row,
    bucket: { check: never, head: async () => object },
    saveLastRun: async () => {},
    keepBytes: 0,
    concurrency: 1,
    version: '1',
    log: listeningLog().log,
  }
  const { signal } = new AbortController()
  await runShadow(parts, { drain: signal, abort: signal })
  return saved.map(({ verdict }) => verdict)
}

for (const [name, now, object, said] of [
  ['archived after it came', { archivedAt: new Date('2026-11-02T12:00:00Z') }, true, 'hold'],
  ['archived at an unknown time', { archivedAt: null }, true, 'hold'],
  ['archived before it came', { archivedAt: new Date('2026-11-02T10:30:00Z') }, true, 'late'],
  ['archived, and gone since', { archivedAt: new Date('2026-11-02T10:30:00Z') }, false, 'hold'],
  ['approved still', { status: 'approved', archivedAt: null }, true, 'hold'],
] as const)
  test(`an object that came after its approval, ${name}: ${said}`, async () => {
    const facts = { etag: 'e', sizeBytes: 1, versionId: null, crc64nvme: null }
    const found = object ? { ...facts, lastModified: uploadedAt } : null
    assert.deepEqual(await verdictOf(now, found), [said])
  })
