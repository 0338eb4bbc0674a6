/** Single media rows and what became of them, for tests that look at one upload closely. */
import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { GetObjectCommand } from '@aws-sdk/client-s3'
import type { MediaKind } from '../../src/media.ts'
import { uniqueMedia, uniqueMediaTypes } from './media-files.ts'
import type { Service } from './service.ts'

export interface Medium {
  mediaId: number
  key: string
  bytes: Buffer
}

interface Approval {
  kind?: MediaKind
  bytes?: Buffer
  key?: string
  filename?: string | null
  /** Default: the true size. */
  fileSize?: number | null
  /** Default: now. */
  approvedAt?: Date
  /** False: the row comes without an object. */
  uploaded?: boolean
}

/** Where {@link approveMedium} works; a {@link Service} is one. */
export type Backend = Pick<Service, 'sql' | 'admin'>

let seeds = 0

/** What a backend does for one upload: the object, then an approved row. */
export async function approveMedium(on: Backend, given: Approval = {}): Promise<Medium> {
  seeds += 1
  const { kind = 'image', uploaded = true, approvedAt = null } = given
  const { extension, mimeType } = uniqueMediaTypes[kind]
  const bytes = given.bytes ?? uniqueMedia(kind, seeds)
  const key = given.key ?? `uploads/${seeds}.${extension}`
  const filename = given.filename === undefined ? `file ${seeds}.${extension}` : given.filename
  const fileSize = given.fileSize === undefined ? bytes.length : given.fileSize
  if (uploaded) await on.admin.put(key, bytes, { ContentType: mimeType })
  const [row] = await on.sql<{ id: number }[]>`
    insert into media
      (user_id, title, filename, content_type, mime_type, file_size, object_key, status, approved_at)
    values (7, 'a title', ${filename}, ${kind}, ${mimeType}, ${fileSize}, ${key}, 'approved',
      coalesce(${approvedAt}::timestamptz, now()))
    returning id`
  return { mediaId: row?.id ?? 0, key, bytes }
}

/** The newest item of a media row. */
export interface ItemSeen {
  state: string
  attempts: number
  lease_owner: string | null
  error_code: string | null
  error_message: string | null
}

export async function itemOf({ sql }: Backend, mediaId: number): Promise<ItemSeen> {
  const [item] = await sql<ItemSeen[]>`
    select state, attempts, lease_owner, error_code, error_message
    from strongroom.items where media_id = ${mediaId} order by generation desc limit 1`
  assert.ok(item, `media ${mediaId} has an item`)
  return item
}

export async function statesOf({ sql }: Backend): Promise<Record<string, number>> {
  const rows = await sql<{ state: string; count: number }[]>`
    select state, count(*) from strongroom.items group by state`
  return Object.fromEntries(rows.map(({ state, count }) => [state, count]))
}

/** Every media row whole, to be compared with itself later. */
export async function mediaRows({ sql }: Backend): Promise<unknown[]> {
  const rows = await sql<{ row: unknown }[]>`select to_jsonb(m) as row from media m order by id`
  return rows.map(({ row }) => row)
}

/** The object's bytes, or null when the bucket has none under this key. */
export async function sourceOf({ admin }: Backend, key: string): Promise<Buffer | null> {
  if (!(await admin.list()).includes(key)) return null
  const { Body } = await admin.client.send(new GetObjectCommand({ Bucket: admin.bucket, Key: key }))
  return Buffer.from((await Body?.transformToByteArray()) ?? [])
}

/**
 * The row says archived and the archive holds these very bytes beside a sidecar of their own.
 *
 * @returns the path inside the archive
 */
export async function assertArchived(
  on: Backend & Pick<Service, 'archiveDir'>,
  { mediaId, bytes, key }: Medium,
): Promise<string> {
  const [row] = await on.sql<{ status: string; archive_path: string; checksum_sha256: string }[]>`
    select status, archive_path, checksum_sha256 from media where id = ${mediaId}`
  assert.equal(row?.status, 'archived', `media ${mediaId}, key ${JSON.stringify(key)}`)
  const path = row.archive_path
  const file = join(on.archiveDir, path)
  assert.ok(file.startsWith(`${on.archiveDir}/`) && !path.startsWith('.'), path)
  assert.deepEqual(await readFile(file), bytes, path)
  assert.equal(row.checksum_sha256, sha256Of(bytes))
  const sidecar = JSON.parse(await readFile(`${file}.json`, 'utf8')) as Record<string, unknown>
  assert.equal(sidecar.media_id, mediaId)
  assert.equal(sidecar.sha256, sha256Of(bytes))
  return path
}

/** Nothing was done about it: the row is still approved and the source has its bytes. */
export async function assertKept(on: Backend, { mediaId, key, bytes }: Medium): Promise<void> {
  const [row] = await on.sql<{ status: string; archive_path: string | null }[]>`
    select status, archive_path from media where id = ${mediaId}`
  assert.deepEqual(row, { status: 'approved', archive_path: null })
  assert.deepEqual(await sourceOf(on, key), bytes, `the source of ${key}`)
}

export function sha256Of(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex')
}
