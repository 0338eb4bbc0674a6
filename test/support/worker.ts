/** The syncer's parts in this process, on a real database, a real disk and a bucket whose faults a test chooses. */
import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { archivedFile, damagedLately, noteVerified, takeForScrub } from '../../src/db/archived.ts'
import { type Archives, openArchives } from '../../src/db/archives.ts'
import { openBackend } from '../../src/db/backend.ts'
import { type Database, openDatabase } from '../../src/db/connect.ts'
import { openItems } from '../../src/db/items.ts'
import { migrate } from '../../src/db/migrate.ts'
import type { Fault, SeenRequest } from '../../src/demo/bucket.ts'
import { createLog, type Log } from '../../src/log.ts'
import type { Bucket } from '../../src/storage/bucket.ts'
import { type Disk, openDisk } from '../../src/storage/disk.ts'
import { createDurableFolders } from '../../src/storage/folders.ts'
import { guardSyncs } from '../../src/sync/guard.ts'
import { createLeases } from '../../src/sync/leases.ts'
import type { Parts, Policy, Reached } from '../../src/sync/parts.ts'
import { createReadBacks } from '../../src/sync/read-back.ts'
import { type Reconciled, reconcile } from '../../src/sync/reconcile.ts'
import { releaseDue } from '../../src/sync/release.ts'
import type { ItemReport, ReleaseOutcome } from '../../src/sync/report.ts'
import { type Scrubbed, type ScrubParts, scrub } from '../../src/sync/scrub.ts'
import { createSpace, type Space } from '../../src/sync/space.ts'
import { runSync, type SyncRun } from '../../src/sync/sync.ts'
import { validate } from '../../src/sync/validate.ts'
import { openVolume } from '../../src/sync/volume.ts'
import { unwatched } from '../../src/sync/watch.ts'
import { createProbe } from '../../src/tools/ffprobe.ts'
import { parse } from './config.ts'
import { type DemoBucket, openedS3, withDemoBucket } from './demo-bucket.ts'
import { createBackendTables, type TestSql, withDatabase } from './postgres.ts'
import { type Scope, withFolder } from './scopes.ts'

export const LEASE_MS = 90_000

/** What workers share: the backend's tables, the bucket, the archive's folder. */
export interface Site {
  sql: TestSql
  admin: DemoBucket['admin']
  demo: DemoBucket
  database: Database
  archives: Archives
  archiveDir: string
  errorDir: string
  /** Meets every request that it wants; none at first. */
  fault: (request: SeenRequest) => Fault | undefined
}

export interface WorkerOptions {
  policy?: Partial<Policy>
  releaseGraceMs?: number
  /** As where that is 0. */
  readsBack?: boolean
  /** Puts something between the worker and its archive. */
  disk?: (disk: Disk) => Disk
  bucket?: (bucket: Bucket) => Bucket
  space?: (disk: Disk) => Space
  reached?: Reached
  validate?: Parts['validate']
  now?: () => number
}

export interface LogLine {
  level: string
  message: string
  [field: string]: unknown
}

export interface Worker {
  parts: Parts & { space: Space; errorSpace: Space; now: () => number }
  lines: LogLine[]
  reports: ItemReport[]
  sync(signals?: { drain?: AbortSignal; abort?: AbortSignal }): Promise<SyncRun>
  release(signal?: AbortSignal): Promise<Record<ReleaseOutcome, number>>
  reconcile(signal?: AbortSignal): Promise<Reconciled>
  /** Reads every archived file that was not read within an hour, and heals what it finds. */
  scrub(more?: Partial<ScrubParts>): Promise<Scrubbed>
}

export const never: AbortSignal = new AbortController().signal

/** An empty installation; all of it is gone after the test. */
export async function withSite(t: Scope): Promise<Site> {
  const { config, sql } = await withDatabase(t)
  const database = openDatabase(config)
  t.after(() => database.close())
  await createBackendTables(sql)
  await migrate(database)
  const folder = await withFolder(t)
  const archiveDir = join(folder, 'archive')
  const errorDir = join(folder, 'errors')
  await Promise.all([mkdir(archiveDir), mkdir(errorDir)])
  const demo = await withDemoBucket(t, { onRequest: (request) => site.fault(request) })
  const site: Site = {
    sql,
    admin: demo.admin,
    demo,
    database,
    archives: openArchives(database),
    archiveDir,
    errorDir,
    fault: () => undefined,
  }
  return site
}

/** A worker of its own name on `site`; its leases are kept alive by nobody but the test. */
export async function openWorker(
  t: Scope,
  site: Site,
  options: WorkerOptions = {},
): Promise<Worker> {
  const { log, lines } = listeningLog()
  const { database, archives } = site
  const disk = guardSyncs((options.disk ?? same)(await openDisk(site.archiveDir)), archives)
  const folders = createDurableFolders(disk)
  const volume = await openVolume({ disk, folders, archives, fileSystem: 'disk' })
  const bucket = (options.bucket ?? same)(openedS3(t, site.demo.config))
  const backend = await openBackend(database, parse().backend)
  const openLeased = () => {
    const items = openItems({
      database,
      backend,
      archiveId: volume.id,
      owner: crypto.randomUUID(),
      leaseMs: LEASE_MS,
      releaseGraceMs: options.releaseGraceMs ?? 0,
      releaseDailyMax: null,
      bucket: bucket.name,
    })
    return { items, leases: createLeases({ items, log, leaseMs: LEASE_MS, beatMs: 0 }) }
  }
  const probe = createProbe({ path: 'ffprobe' })
  const reports: ItemReport[] = []
  const space = options.space?.(disk) ?? createSpace(disk)
  const now = options.now ?? (() => performance.now())
  const parts = {
    disk,
    folders,
    errorDisk: await openDisk(site.errorDir),
    bucket,
    ...openLeased(),
    archives,
    volume,
    readBacks: options.readsBack ? createReadBacks(now) : null,
    validate: options.validate ?? ((file) => validate({ ...file, probe })),
    policy: { ...policy, ...options.policy },
    reached: options.reached ?? (() => {}),
    log,
    space,
    errorSpace: space,
    now,
  } satisfies Worker['parts']
  return {
    parts,
    lines,
    reports,
    sync: ({ drain = never, abort = never } = {}) =>
      runSync(
        { ...parts, watch: { ...unwatched, settled: (report) => reports.push(report) } },
        { drain, abort },
      ),
    release: (signal = never) => releaseDue(parts, signal),
    reconcile: (signal = never) => reconcile(parts, signal),
    scrub: (more = {}) =>
      scrub({ ...parts, ...openLeased(), ...readings(database), ...more }, never),
  }
}

function readings(
  database: Database,
): Pick<ScrubParts, 'next' | 'again' | 'note' | 'damagedLately' | 'pace' | 'second'> {
  return {
    second: null,
    next: () => takeForScrub(database, { limit: 5, periodMs: 3_600_000 }),
    again: (item) => archivedFile(database, item),
    note: (file, damage) => noteVerified(database, file, damage),
    damagedLately: () => damagedLately(database),
    pace: async () => {},
  }
}

/** Both at once, for tests with one worker. */
export async function withWorker(t: Scope, options: WorkerOptions = {}): Promise<Site & Worker> {
  const site = await withSite(t)
  return Object.assign(site, await openWorker(t, site, options))
}

export const policy: Policy = {
  concurrency: 2,
  // In order, so that a test knows what comes after what.
  releasesAtOnce: 1,
  batchSize: 10,
  changedAfterApproval: 'hold',
  sizeMismatch: 'warn',
  layout: '{media_id}/{filename}',
  fileMode: 0o640,
  version: '0.0.0-test',
}

/** A log whose lines a test can look at. */
export function listeningLog(): { log: Log; lines: LogLine[] } {
  const lines: LogLine[] = []
  const destination = { write: (line: string) => void lines.push(JSON.parse(line) as LogLine) }
  return { log: createLog({ level: 'debug', format: 'json', destination, secrets: [] }), lines }
}

/** An hour passes for all leases and waiting times. */
export async function expireLeases({ sql }: Pick<Site, 'sql'>): Promise<void> {
  await sql`
    update strongroom.items
    set lease_until = lease_until - interval '1 hour', next_attempt_at = next_attempt_at - interval '1 hour',
      release_due = release_due - interval '2 hours'`
}

/** A day and an hour pass since all that was archived, read or found damaged. */
export async function letReadingsAge({ sql }: Pick<Site, 'sql'>): Promise<void> {
  await sql`
    update strongroom.items
    set archived_at = archived_at - interval '25 hours', verified_at = verified_at - interval '25 hours',
      damaged_at = damaged_at - interval '25 hours', scrub_until = scrub_until - interval '25 hours'`
}

function same<T>(value: T): T {
  return value
}
