/**
 * Judges whether the promises of docs/safety.md hold, from what can be seen from outside: the bucket's listing, the
 * files on disk, the rows and the audit rows. It shares no code with the product, so that no mistake is made twice.
 */
import { createHash } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { readdir, readFile, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { ListObjectsV2Command, type S3Client } from '@aws-sdk/client-s3'
import type { TestSql } from './postgres.ts'

/** One object version that the test uploaded. */
export interface Upload {
  mediaId: number
  key: string
  kind: string
  mimeType: string
  sizeBytes: number
  sha256: string
  /** The ETag of an object that was uploaded in one piece. */
  md5: string
  /** What must become of it once all is done: `kept` things are not archived and their source stays. */
  fate: 'archived' | 'kept'
  uploaded: boolean
}

export interface Scene {
  sql: TestSql
  bucket: { client: S3Client; name: string }
  archiveDir: string
  errorDir: string
  uploads: Upload[]
}

interface MediaRow {
  id: number
  status: string
  archive_path: string | null
  checksum_sha256: string | null
  archived_at: Date | null
}

interface ItemRow {
  id: number
  media_id: number
  state: string
  archive_path: string | null
  lease_until: Date | null
  release_is_due: boolean | null
}

interface AuditRow {
  id: number
  media_id: number
  action: string
  details: { item?: number; etag?: string } | null
}

interface FileSeen {
  sha256: string
  sizeBytes: number
}

interface Seen {
  uploads: Upload[]
  media: Map<number, MediaRow>
  items: Map<number, ItemRow[]>
  audit: Map<number, AuditRow[]>
  /** Final names only: nothing below `.strongroom`. */
  files: Map<string, FileSeen>
  sidecars: Map<string, Record<string, unknown> | null>
  temporaries: string[]
  /** ETag by key. */
  objects: Map<string, string>
}

const PROMISED = ['archived', 'releasing', 'released']
const AT_REST = new Set([
  'archived',
  'released',
  'rejected',
  'held',
  'withdrawn',
  'source_differs',
  'lost',
  'kept',
  'missing',
])

/**
 * @param options.converged true when faults have stopped and a run has ended since: then all work must be done, too
 * @returns one sentence for each broken promise
 */
export async function violations(scene: Scene, options: { converged: boolean }): Promise<string[]> {
  const seen = await look(scene)
  const found = seen.uploads.flatMap((upload) => [
    ...noCopy(seen, upload),
    ...falseArchived(seen, upload),
    ...falseRelease(seen, upload),
    ...wrongAudit(seen, upload),
  ])
  found.push(...foreignFiles(seen))
  if (options.converged) {
    for (const upload of seen.uploads) found.push(...unfinished(seen, upload))
    found.push(...seen.temporaries.map((name) => `I9: temporary ${name} is left`))
  }
  return found
}

async function look({ sql, bucket, archiveDir, uploads }: Scene): Promise<Seen> {
  const media = await sql<MediaRow[]>`
    select id, status, archive_path, checksum_sha256, archived_at from media`
  const [ours] = await sql<{ there: boolean }[]>`
    select to_regclass('strongroom.items') is not null as there`
  const items = ours?.there
    ? await sql<ItemRow[]>`
        select id, media_id, state, archive_path, lease_until, release_due <= clock_timestamp() as release_is_due
        from strongroom.items order by id`
    : []
  const audit = await sql<AuditRow[]>`
    select id, media_id, action, details from audit_logs order by id`
  const names = (await readdir(archiveDir, { recursive: true })).sort()
  const finals = names.filter((name) => !name.startsWith('.strongroom'))
  const files = new Map<string, FileSeen>()
  const sidecars = new Map<string, Record<string, unknown> | null>()
  for (const name of finals) {
    const path = join(archiveDir, name)
    if (!(await stat(path)).isFile()) continue
    if (name.endsWith('.json')) sidecars.set(name, readSidecar(await readFile(path, 'utf8')))
    else files.set(name, await hashOf(path))
  }
  return {
    uploads,
    media: new Map(media.map((row) => [row.id, row])),
    items: Map.groupBy(items, (row) => row.media_id),
    audit: Map.groupBy(audit, (row) => row.media_id),
    files,
    sidecars,
    temporaries: names.filter((name) => name.startsWith('.strongroom/tmp/')),
    objects: await listObjects(bucket),
  }
}

/** I1: the source or an archived file with the same bytes, always. */
function noCopy({ objects, files, items }: Seen, upload: Upload): string[] {
  if (!upload.uploaded || objects.get(upload.key) === upload.md5) return []
  const paths = (items.get(upload.mediaId) ?? []).map((item) => item.archive_path ?? '')
  if (paths.some((path) => files.get(path)?.sha256 === upload.sha256)) return []
  return [`I1: no whole copy of media ${upload.mediaId} is left`]
}

/** I2: what the database calls archived lies there whole, described by its sidecar. */
function falseArchived(seen: Seen, upload: Upload): string[] {
  const row = seen.media.get(upload.mediaId)
  const promised = (seen.items.get(upload.mediaId) ?? []).filter((item) =>
    PROMISED.includes(item.state),
  )
  const found: string[] = []
  const who = `media ${upload.mediaId}`
  if (row?.status === 'archived' && promised.length === 0)
    found.push(`I2: ${who} is archived without an archived item`)
  for (const item of promised) {
    const path = item.archive_path ?? ''
    if (row?.archive_path !== path) found.push(`I2: ${who} names another path than its item`)
    if (row?.status !== 'archived' || row.archived_at === null)
      found.push(`I2: ${who} has an archived item but is ${row?.status}`)
    if (row?.checksum_sha256 !== upload.sha256) found.push(`I2: ${who} has a wrong checksum`)
    const file = seen.files.get(path)
    if (file === undefined) found.push(`I2: ${who} is archived, but ${path} is missing`)
    else if (file.sha256 !== upload.sha256) found.push(`I2: ${path} has other bytes than uploaded`)
    found.push(...falseSidecar(seen, upload, path))
  }
  return found
}

function falseSidecar({ sidecars }: Seen, upload: Upload, path: string): string[] {
  const sidecar = sidecars.get(`${path}.json`)
  if (sidecar === undefined) return [`I2: ${path} has no sidecar`]
  if (sidecar === null) return [`I2: the sidecar of ${path} is torn`]
  const source = sidecar.source as { etag?: unknown; key?: unknown } | undefined
  const facts: [string, unknown, unknown][] = [
    ['media id', sidecar.media_id, upload.mediaId],
    ['path', sidecar.archive_path, path],
    ['size', sidecar.bytes, upload.sizeBytes],
    ['hash', sidecar.sha256, upload.sha256],
    ['ETag', source?.etag, upload.md5],
    ['key', source?.key, upload.key],
  ]
  return facts
    .filter(([, said, truth]) => said !== truth)
    .map(([what]) => `I2: the sidecar of ${path} names another ${what}`)
}

/** I3: no source is gone unless its archiving was recorded before, for these very bytes. */
function falseRelease({ objects, items, audit }: Seen, upload: Upload): string[] {
  const who = `media ${upload.mediaId}`
  const rows = audit.get(upload.mediaId) ?? []
  const deleted = rows.find((row) => row.action === 'source_deleted')
  const found: string[] = []
  if (deleted !== undefined && objects.get(upload.key) === upload.md5)
    found.push(`I3: the source of ${who} is said to be deleted but is there`)
  if (!upload.uploaded || objects.has(upload.key)) return found
  const archived = rows.find((row) => row.action === 'archived')
  if (archived === undefined)
    return [...found, `I3: the source of ${who} went before it was archived`]
  if (archived.details?.etag !== upload.md5)
    found.push(`I3: the source of ${who} went, but another version was archived`)
  if (deleted !== undefined && deleted.id < archived.id)
    found.push(`I3: ${who} was released before it was archived`)
  const states = (items.get(upload.mediaId) ?? []).map((item) => item.state)
  if (!states.includes('releasing') && !states.includes('released'))
    found.push(`I3: the source of ${who} went while its item was ${states.join()}`)
  return found
}

/** I5: one archived row per archived item, at most one source_deleted row, none for others. */
function wrongAudit({ items, audit }: Seen, upload: Upload): string[] {
  const found: string[] = []
  const known = items.get(upload.mediaId) ?? []
  for (const item of known) {
    const count = (action: string) =>
      (audit.get(upload.mediaId) ?? []).filter(
        (row) => row.action === action && row.details?.item === item.id,
      ).length
    const who = `item ${item.id} of media ${upload.mediaId}, ${item.state},`
    const archived = PROMISED.includes(item.state) || item.state === 'source_differs' ? 1 : 0
    if (item.state !== 'lost' && count('archived') !== archived)
      found.push(`I5: ${who} has ${count('archived')} archived audit rows`)
    const deleted = item.state === 'released' ? 1 : 0
    if (item.state !== 'lost' && count('source_deleted') !== deleted)
      found.push(`I5: ${who} has ${count('source_deleted')} source_deleted audit rows`)
  }
  const ids = new Set(known.map((item) => item.id))
  for (const row of audit.get(upload.mediaId) ?? [])
    if (!ids.has(row.details?.item ?? 0)) found.push(`I5: audit row ${row.id} belongs to no item`)
  return found
}

/** I4: a final name shows whole bytes or nothing. */
function foreignFiles({ uploads, files }: Seen): string[] {
  const whole = new Set(uploads.map((upload) => upload.sha256))
  return [...files]
    .filter(([, file]) => !whole.has(file.sha256))
    .map(([path]) => `I4: ${path} holds bytes that nobody uploaded`)
}

/** I9: nothing is left to do, and nothing lies about that nobody answers for. */
function unfinished(seen: Seen, upload: Upload): string[] {
  const who = `media ${upload.mediaId}`
  const items = seen.items.get(upload.mediaId) ?? []
  const found: string[] = []
  for (const item of items) {
    if (!AT_REST.has(item.state)) found.push(`I9: ${who} is still ${item.state}`)
    if (item.state === 'archived' && item.release_is_due === true)
      found.push(`I9: ${who} is due for release and still archived`)
    if (item.lease_until !== null) found.push(`I9: ${who} is ${item.state} and still leased`)
  }
  const archived = items.filter((item) => PROMISED.includes(item.state)).length
  if (upload.fate === 'archived' && archived !== 1)
    found.push(`I9: ${who} is archived ${archived} times`)
  if (upload.fate === 'kept' && archived > 0) found.push(`I7: ${who} must not be archived`)
  if (upload.fate === 'kept' && upload.uploaded && seen.objects.get(upload.key) !== upload.md5)
    found.push(`I7: the source of ${who} must be kept`)
  const paths = new Set(items.map((item) => item.archive_path))
  for (const [path, file] of seen.files)
    if (file.sha256 === upload.sha256 && !paths.has(path))
      found.push(`I9: ${path} is a copy of ${who} that no item knows`)
  for (const [path, sidecar] of seen.sidecars)
    if (sidecar?.media_id === upload.mediaId && !seen.files.has(path.slice(0, -'.json'.length)))
      found.push(`I9: ${path} describes a file that is not there`)
  return found
}

async function hashOf(path: string): Promise<FileSeen> {
  const hash = createHash('sha256')
  let sizeBytes = 0
  for await (const chunk of createReadStream(path) as AsyncIterable<Buffer>) {
    hash.update(chunk)
    sizeBytes += chunk.length
  }
  return { sha256: hash.digest('hex'), sizeBytes }
}

/** @returns null when its own hash does not fit: SHA-256 over the sorted, compact JSON without `self_sha256` */
function readSidecar(text: string): Record<string, unknown> | null {
  try {
    const { self_sha256: claimed, ...rest } = JSON.parse(text) as Record<string, unknown>
    const own = createHash('sha256')
      .update(JSON.stringify(sorted(rest)))
      .digest('hex')
    return own === claimed ? rest : null
  } catch {
    return null // not JSON: torn
  }
}

function sorted(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(sorted)
  if (typeof value !== 'object' || value === null) return value
  const entries = Object.entries(value).map(([key, inner]): [string, unknown] => [
    key,
    sorted(inner),
  ])
  return Object.fromEntries(entries.sort(([a], [b]) => (a < b ? -1 : 1)))
}

/** Every object of the bucket with its ETag. */
export async function listObjects(bucket: Scene['bucket']): Promise<Map<string, string>> {
  const found = new Map<string, string>()
  for (let token: string | undefined; ; ) {
    const page = await bucket.client.send(
      new ListObjectsV2Command({ Bucket: bucket.name, ContinuationToken: token }),
    )
    for (const { Key, ETag } of page.Contents ?? [])
      found.set(Key ?? '', (ETag ?? '').replaceAll('"', ''))
    if (!page.IsTruncated) return found
    token = page.NextContinuationToken
  }
}

/** Everything that could change, in comparable form: for "changes nothing". */
export async function photograph(scene: Scene): Promise<Record<string, unknown>> {
  const { sql, archiveDir, errorDir, bucket } = scene
  const [ours] = await sql<{ there: boolean }[]>`
    select to_regclass('strongroom.items') is not null as there`
  return {
    media: [...(await sql`select * from media order by id`)],
    audit: [...(await sql`select * from audit_logs order by id`)],
    items: ours?.there ? [...(await sql`select * from strongroom.items order by id`)] : null,
    archives: ours?.there ? [...(await sql`select * from strongroom.archives`)] : null,
    objects: Object.fromEntries(await listObjects(bucket)),
    archive: await tree(archiveDir),
    errors: await tree(errorDir),
  }
}

/** Every name below `folder` with inode, size, modification time and hash. */
export async function tree(folder: string): Promise<Record<string, string>> {
  const names = await readdir(folder, { recursive: true }).catch(() => [])
  const lines = await Promise.all(
    names.sort().map(async (name): Promise<[string, string]> => {
      const path = join(folder, name)
      const facts = await stat(path)
      if (!facts.isFile()) return [name, 'folder']
      return [name, `${facts.ino} ${facts.mtimeMs} ${(await hashOf(path)).sha256}`]
    }),
  )
  return Object.fromEntries(lines)
}
