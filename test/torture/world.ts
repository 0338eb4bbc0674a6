/** One installation under torture: its backend, its bucket behind a faulty line, its archive, and the evidence of it all. */
import { open, stat } from 'node:fs/promises'
import { join } from 'node:path'
import postgres from 'postgres'
import type { MediaKind } from '../../src/media.ts'
import { listObjects, type Upload } from '../support/checker.ts'
import { uniqueMedia } from '../support/media-files.ts'
import { sha256Of } from '../support/media-rows.ts'
import { type PostgresProxy, withPostgresProxy } from '../support/postgres-proxy.ts'
import type { Scope } from '../support/scopes.ts'
import { type Env, type Service, type Spoilt, withService } from '../support/service.ts'
import { type Evidence, openEvidence } from './evidence.ts'
import { type FaultyStore, withFaultyStore } from './faulty-store.ts'
import type { Random } from './random.ts'

export interface World extends Pick<Service, 'sql' | 'archiveDir' | 'errorDir' | 'admin'> {
  /** Below it lies all that the program writes. */
  root: string
  env: Env
  evidence: Evidence
  store: FaultyStore
  /** Another way to the database, which can be cut. */
  line: PostgresProxy
  /** With a grace that is never over by itself. */
  hasGrace: boolean
  /** A bucket like R2, of which nobody knows a conditional DELETE: then the backend uses no key twice. */
  isUnconditional: boolean
  random: Random
  /** Keys of files that were damaged: their objects are the only whole copies, and are not replaced. */
  spared: Set<string>
  /** The backend approves new media, some of which are none. */
  approve(count: number): Promise<void>
  /** An hour passes, for leases, waiting times and graces. */
  passTime(): Promise<void>
  /** As if a person had looked into each failure. */
  forgetAttempts(): Promise<void>
}

const PROBE = join(import.meta.dirname, 'probe.sh')

/** @param folder where the evidence stays when something is found */
export async function withWorld(t: Scope, random: Random, folder: string): Promise<World> {
  const service = await withService(t)
  const { archiveDir, errorDir, sql, admin } = service
  const store = await withFaultyStore(t, service.env.R2_ENDPOINT ?? '')
  const evidence = await openEvidence(folder, service)
  store.note = evidence.note
  const hasGrace = random.chance(0.3)
  const isUnconditional = random.chance(0.3)
  if (isUnconditional) await forgetConditions(service)
  const env: Env = {
    ...service.env,
    R2_ENDPOINT: store.endpoint,
    RELEASE_GRACE: hasGrace ? '1h' : '0',
    SYNC_CONCURRENCY: String(1 + random.below(3)),
    BATCH_SIZE: String(1 + random.below(5)),
    LOG_LEVEL: 'info',
    FFPROBE_PATH: PROBE,
  }
  return {
    sql,
    archiveDir,
    errorDir,
    admin,
    root: join(archiveDir, '..'),
    env,
    evidence,
    store,
    line: await withPostgresProxy(t, service.database),
    hasGrace,
    isUnconditional,
    random,
    spared: new Set(),
    async approve(count) {
      const fresh = await service.approve(count, () => spoilt(random))
      for (const upload of fresh) evidence.note(storedVersion(upload))
    },
    async forgetAttempts() {
      await untilFree(() => sql`update strongroom.items set attempts = 0`)
    },
    async passTime() {
      const [ours] = await sql<{ there: boolean }[]>`
        select to_regclass('strongroom.items') is not null as there`
      if (!ours?.there) return
      await untilFree(
        () => sql`
          update strongroom.items set lease_until = lease_until - interval '1 hour',
            next_attempt_at = next_attempt_at - interval '7 hours',
            release_due = release_due - interval '2 hours'`,
      )
    },
  }
}

/** Whatever the bucket answers when it is asked, the program remembers that it honours none. */
async function forgetConditions({ migrate, sql }: Service): Promise<void> {
  await migrate()
  await sql.unsafe(`
    create function forget() returns trigger language plpgsql as $$ begin
      new.conditional_delete := false;
      return new;
    end $$;
    create trigger forget before insert or update on strongroom.buckets for each row execute function forget()`)
}

function spoilt(random: Random): Spoilt | undefined {
  return random.chance(0.05)
    ? { bytes: Buffer.from(`no media ${random.below(1 << 30)}`) }
    : undefined
}

function storedVersion({ key, mediaId, md5, sha256, sizeBytes, fate }: Upload) {
  const good = fate === 'archived'
  return { what: 'upload', key, media_id: mediaId, md5, sha256, bytes: sizeBytes, good } as const
}

/** The backend stores another version under a key, and has it approved anew. @returns false when there is nothing to replace */
export async function replaceObject(world: World): Promise<boolean> {
  const { sql, random, admin, evidence } = world
  if (world.isUnconditional) return false
  const [row] = await sql<{ id: number; object_key: string; content_type: MediaKind }[]>`
    select id, object_key, content_type from media
    where content_type <> 'video' order by random() limit 1`
  if (row === undefined || world.spared.has(row.object_key)) return false
  const bytes = uniqueMedia(row.content_type, 1_000_000 + random.below(1 << 30))
  const { etag } = await admin.put(row.object_key, bytes)
  const event = { what: 'upload', key: row.object_key, media_id: row.id, md5: etag } as const
  evidence.note({ ...event, sha256: sha256Of(bytes), bytes: bytes.length, good: true })
  await sql`
    update media set status = 'approved', deleted_at = null, approved_at = clock_timestamp(), file_size = ${bytes.length}
    where id = ${row.id}`
  return true
}

/**
 * What a killed process had sent goes on in the database, and may hold the same rows in another order: whoever is chosen to end
 * the deadlock tries again.
 */
async function untilFree(statement: () => Promise<unknown>): Promise<void> {
  for (;;) {
    try {
      await statement()
      return
    } catch (error) {
      if (!(error instanceof postgres.PostgresError && error.code === '40P01')) throw error
    }
  }
}

/** The backend takes an approval back, or deletes a row that is waiting. */
export async function withdrawApproval({ sql, random }: World): Promise<void> {
  const change = random.chance(0.7) ? sql`status = 'pending'` : sql`deleted_at = now()`
  await sql`
    update media set ${change} where status = 'approved' and id = (
      select id from media where status = 'approved' and deleted_at is null order by random() limit 1)`
}

/** What was taken back is approved again. */
export async function approveAgain({ sql }: World): Promise<void> {
  await untilFree(
    () => sql`
      update media set status = 'approved', deleted_at = null, approved_at = clock_timestamp()
      where status = 'pending' or (deleted_at is not null and status = 'approved')`,
  )
}

/** A byte of an archived file, whose source is still there, changes on the disk. @returns false when there is none */
export async function flipByte(world: World): Promise<boolean> {
  const { sql, random, archiveDir, evidence, admin, spared } = world
  const [item] = await sql<{ archive_path: string; object_key: string; etag: string }[]>`
    select archive_path, object_key, etag from strongroom.items
    where state = 'archived' order by random() limit 1`.catch(() => []) // no schema yet
  if (item === undefined) return false
  const objects = await listObjects({ client: admin.client, name: admin.bucket })
  if (objects.get(item.object_key) !== item.etag) return false
  const path = join(archiveDir, item.archive_path)
  const sizeBytes = await stat(path).then(
    (facts) => facts.size,
    () => 0,
  )
  if (sizeBytes === 0) return false // damaged before, and in quarantine
  spared.add(item.object_key)
  const file = await open(path, 'r+')
  const at = random.below(sizeBytes)
  const { buffer } = await file.read(Buffer.alloc(1), 0, 1, at)
  buffer[0] = (buffer[0] ?? 0) ^ (1 << random.below(8))
  await file.write(buffer, 0, 1, at)
  await file.close()
  evidence.note({ what: 'damaged', path: item.archive_path })
  return true
}
