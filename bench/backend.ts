import assert from 'node:assert/strict'
import type { MediaKind } from '../src/media.ts'
import { createBackendTables, type TestSql } from '../test/support/postgres.ts'

/** One approved medium. */
export interface NewMedium {
  key: string
  type: MediaKind
  mimeType: string
  sizeBytes: number
}

const PAGE = 1000

/** The backend's tables, with these media approved this moment. */
export async function fillBackend(sql: TestSql, media: readonly NewMedium[]): Promise<void> {
  await createBackendTables(sql)
  await addMedia(sql, media)
}

/** More media, approved this moment. */
export async function addMedia(sql: TestSql, media: readonly NewMedium[]): Promise<void> {
  const approvedAt = new Date()
  for (let from = 0; from < media.length; from += PAGE) {
    const page = media.slice(from, from + PAGE).map(({ key, type, mimeType, sizeBytes }) => ({
      user_id: 1,
      title: `title of ${key}`,
      filename: key.slice(key.lastIndexOf('/') + 1),
      content_type: type,
      mime_type: mimeType,
      file_size: sizeBytes,
      object_key: key,
      status: 'approved',
      approved_at: approvedAt,
    }))
    await sql`insert into media ${sql(page)}`
  }
}

/** A run that left work undone measures nothing. */
export async function assertArchived(
  sql: TestSql,
  objects: readonly { key: string; sha256: string }[],
): Promise<void> {
  const rows = await sql<{ object_key: string; status: string; checksum_sha256: string }[]>`
    select object_key, status, checksum_sha256 from media`
  const found = new Map(rows.map((row) => [row.object_key, row]))
  for (const { key, sha256 } of objects) {
    const row = found.get(key)
    assert.deepEqual([row?.status, row?.checksum_sha256], ['archived', sha256], key)
  }
}
