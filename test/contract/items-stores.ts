import { randomUUID } from 'node:crypto'
import { type Archives, openArchives } from '../../src/db/archives.ts'
import { openBackend } from '../../src/db/backend.ts'
import { type Database, openDatabase } from '../../src/db/connect.ts'
import { type Items, openItems } from '../../src/db/items.ts'
import { migrate } from '../../src/db/migrate.ts'
import type { Intent, Item } from '../../src/media.ts'
import { createSimArchives, createSimItems } from '../model/sim-items.ts'
import { emptyTables, gatedStatements, type MediaRecord } from '../model/sim-tables.ts'
import { parse } from '../support/config.ts'
import { createBackendTables, type TestSql, withDatabase } from '../support/postgres.ts'
import type { Scope } from '../support/scopes.ts'

export const LEASE_MS = 60_000
export const GRACE_MS = 600_000
export const DAY_MS = 86_400_000
export const EPOCH_MS = Date.UTC(2026, 0, 15)

/** What a suite sees of the tables; times only as what they mean now. */
export interface Seen {
  items: {
    id: number
    mediaId: number
    generation: number
    epoch: number
    state: string
    owner: string | null
    leased: boolean
    attempts: number
    due: boolean
    archivePath: string | null
    error: string | null
    archived: boolean
    releaseDue: boolean
    released: boolean
    damage: string | null
  }[]
  media: { id: number; status: string; archivePath: string | null; checksum: string | null }[]
  audit: { mediaId: number; action: string; details: Record<string, unknown> }[]
}

export type MediaChange = Partial<
  Pick<MediaRecord, 'status' | 'objectKey' | 'approvedAt' | 'fileSize' | 'deleted' | 'filename'>
>

/** One implementation of the protocol's writes, with the backend's hands beside it. */
export interface Store {
  archives: Archives
  archiveId: string
  worker(owner: string, releaseDailyMax?: number | null, bucket?: string): Items
  /** @param id from 1 up, in order */
  addMedia(id: number, media?: MediaChange): Promise<void>
  changeMedia(id: number, change: MediaChange): Promise<void>
  /** Lets time pass for the database. */
  elapse(ms: number): Promise<void>
  seen(): Promise<Seen>
  /** Empties every table but the archive's row. */
  clear(): Promise<void>
}

const newMedia: Required<MediaChange> = {
  status: 'approved',
  objectKey: 'uploads/clip.mp4',
  approvedAt: EPOCH_MS,
  fileSize: 5,
  deleted: false,
  filename: 'clip.mp4',
}

/** Any intent will do: the database does not judge it. */
export function intentFor(item: Item, archivePath: string): Intent {
  return {
    archivePath,
    sha256: 'ab'.repeat(32),
    source: {
      bucket: 'uploads',
      key: item.media.objectKey,
      etag: 'cd'.repeat(16),
      versionId: null,
      lastModified: new Date(EPOCH_MS),
      sizeBytes: 5,
    },
    probe: {
      container: 'mp4',
      mimeType: 'video/mp4',
      kind: 'video',
      durationSeconds: 1,
      streams: [],
    },
    proof: { kind: 'md5', value: 'cd'.repeat(16) },
    filedAt: new Date(EPOCH_MS),
  }
}

export async function simulatedStore(): Promise<Store> {
  const tables = emptyTables()
  const archiveId = randomUUID()
  let nowMs = EPOCH_MS
  const now = () => nowMs
  const run = gatedStatements(() => undefined)
  const archives = createSimArchives({ tables, now }, run)
  await archives.insert(archiveId)
  const binding = { tables, now, archiveId, leaseMs: LEASE_MS, releaseGraceMs: GRACE_MS }
  return {
    archives,
    archiveId,
    worker: (owner, releaseDailyMax = null, bucket = 'uploads') =>
      createSimItems({ ...binding, owner, releaseDailyMax, bucket }, run),
    async addMedia(id, media) {
      const rest = {
        userId: 7,
        title: 'Title',
        contentType: 'video',
        mimeType: 'video/mp4',
      } as const
      const unset = { archivePath: null, archivedAt: null, checksum: null }
      tables.media.push({ id, ...rest, ...unset, ...newMedia, ...media })
    },
    async changeMedia(id, change) {
      Object.assign(tables.media.find((row) => row.id === id) ?? {}, change)
    },
    async elapse(ms) {
      nowMs += ms
    },
    async seen() {
      return {
        items: tables.items.map((row) => ({
          id: row.id,
          mediaId: row.mediaId,
          generation: row.generation,
          epoch: row.epoch,
          state: row.state,
          owner: row.leaseOwner,
          leased: row.leaseUntil !== null && row.leaseUntil >= nowMs,
          attempts: row.attempts,
          due: row.nextAttemptAt <= nowMs,
          archivePath: row.archivePath,
          error: row.errorCode,
          archived: row.archivedAt !== null,
          releaseDue: row.releaseDue !== null && row.releaseDue <= nowMs,
          released: row.releasedAt !== null,
          damage: row.damage,
        })),
        media: tables.media.map(({ id, status, archivePath, checksum }) => {
          return { id, status, archivePath, checksum }
        }),
        audit: structuredClone(tables.audit),
      }
    },
    async clear() {
      const { archive } = tables
      Object.assign(tables, emptyTables(), { archive })
      await archives.clearSick()
      await archives.resumeRelease()
      await archives.resumeHealing()
    },
  }
}

/** The store on PostgreSQL, with its own ways in. */
export type PostgresStore = Omit<Store, 'worker'> & {
  sql: TestSql
  database: Database
  /** @param clock monotonic milliseconds */
  worker(
    owner: string,
    releaseDailyMax?: number | null,
    bucket?: string,
    clock?: () => number,
  ): Items
}

export async function postgresStore(t: Scope): Promise<PostgresStore> {
  const { config, sql } = await withDatabase(t)
  await createBackendTables(sql)
  const database = openDatabase(config)
  t.after(() => database.close())
  await migrate(database)
  const { backend: names } = parse()
  const action = { archived: 'archived', sourceDeleted: 'source_deleted', rejected: 'rejected' }
  const backend = await openBackend(database, { ...names, action })
  const archives = openArchives(database)
  const archiveId = randomUUID()
  await archives.insert(archiveId)
  const binding = { database, backend, archiveId, leaseMs: LEASE_MS, releaseGraceMs: GRACE_MS }
  return {
    sql,
    database,
    archives,
    archiveId,
    worker: (owner, releaseDailyMax = null, bucket = 'uploads', clock) =>
      openItems({ ...binding, owner, releaseDailyMax, bucket }, clock),
    async addMedia(id, media) {
      await sql`insert into media (id, user_id, title, content_type, mime_type, object_key)
        values (${id}, 7, 'Title', 'video', 'video/mp4', '')`
      await changeRow(sql, id, { ...newMedia, ...media })
    },
    changeMedia: (id, change) => changeRow(sql, id, change),
    async elapse(ms) {
      const back = sql`${ms} * interval '1 ms'`
      await sql`update strongroom.items set lease_until = lease_until - ${back},
        next_attempt_at = next_attempt_at - ${back}, release_due = release_due - ${back},
        released_at = released_at - ${back}`
    },
    seen: () => seenIn(sql),
    async clear() {
      await sql`truncate strongroom.items, media, audit_logs restart identity`
      await archives.clearSick()
      await archives.resumeRelease()
      await archives.resumeHealing()
    },
  }
}

async function changeRow(sql: TestSql, id: number, change: MediaChange): Promise<void> {
  const columns = {
    status: change.status,
    object_key: change.objectKey,
    filename: change.filename,
    file_size: change.fileSize,
    approved_at: change.approvedAt === undefined ? undefined : instant(change.approvedAt),
    deleted_at:
      change.deleted === undefined ? undefined : instant(change.deleted ? EPOCH_MS : null),
  }
  for (const [column, value] of Object.entries(columns)) {
    if (value !== undefined) await sql`update media set ${sql(column)} = ${value} where id = ${id}`
  }
}

function instant(ms: number | null): Date | null {
  return ms === null ? null : new Date(ms)
}

async function seenIn(sql: TestSql): Promise<Seen> {
  const items = sql<Seen['items']>`
    select id, media_id as "mediaId", generation, epoch, state, lease_owner as owner, attempts,
      coalesce(lease_until >= clock_timestamp(), false) as leased,
      next_attempt_at <= clock_timestamp() as due, archive_path as "archivePath", error_code as error,
      archived_at is not null as archived, coalesce(release_due <= clock_timestamp(), false) as "releaseDue",
      released_at is not null as released, damage
    from strongroom.items order by id`
  const media = sql<Seen['media']>`
    select id, status, archive_path as "archivePath", checksum_sha256 as checksum from media order by id`
  const audit = sql<Seen['audit']>`
    select media_id as "mediaId", action, details from audit_logs order by id`
  return { items: [...(await items)], media: [...(await media)], audit: [...(await audit)] }
}

/** Whoever judges one of them judges both: what the model proves of the one holds for the other. */
export const implementations = [
  { name: 'the SQL on PostgreSQL', open: postgresStore },
  { name: 'the simulated database', open: simulatedStore },
] as const
