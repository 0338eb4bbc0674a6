import { availableParallelism, hostname } from 'node:os'
import type { BucketConfig, Config, DatabaseConfig } from './config.ts'
import { openArchives } from './db/archives.ts'
import { type Backend, openBackend } from './db/backend.ts'
import { describeIncomplete } from './db/checks.ts'
import { type Database, openDatabase } from './db/connect.ts'
import { openItems } from './db/items.ts'
import { assertMigrated, migrate } from './db/migrate.ts'
import { AppError, type ErrorCode, isAppError } from './errors.ts'
import type { StopStack } from './lifecycle.ts'
import type { Log } from './log.ts'
import type { LogTail } from './log-tail.ts'
import { openArchiveFolder, openErrorFolder, openFolderAlone } from './open/folders.ts'
import { openSpaces } from './open/space.ts'
import type { Bucket, UploadBucket } from './storage/bucket.ts'
import { openS3 } from './storage/s3.ts'
import { openS3ForUploads } from './storage/s3-upload.ts'
import type { AdoptParts } from './sync/adopt-sidecar.ts'
import { createLeases } from './sync/leases.ts'
import type { Parts, Policy, Reached } from './sync/parts.ts'
import { createReadBacks } from './sync/read-back.ts'
import type { MakeRoom } from './sync/room.ts'
import type { Space } from './sync/space.ts'
import { validate } from './sync/validate.ts'
import { openVolume, openVolumeAlone } from './sync/volume.ts'
import { createProbe, DEFAULT_SEARCH_PATH, type Probe } from './tools/ffprobe.ts'
import { createSpawner } from './tools/spawner.ts'
import { createTieredProbe } from './tools/tiered-probe.ts'

/** What every command gets from main. */
export interface Program {
  version: string
  /** PATH: where FFPROBE_PATH is looked up when it is a bare name. */
  searchPath: string | undefined
  /** HOME, for the hooks. */
  home?: string | undefined
  log: Log
  /** What it said lately. */
  logTail: LogTail
  stops: StopStack
  reached: Reached
  /** Told of each request to database or bucket that failed; only what counts them answers with anything but nothing. */
  failed?: (dependency: 'database' | 'bucket', code: ErrorCode) => void
}

/** Everything that the steps of a live sync are made of, opened and checked. */
export type SyncService = Parts & {
  database: Database
  backend: Backend
  space: Space
  errorSpace: Space
  /** Null where none is configured. */
  secondBucket: UploadBucket | null
  makeRoom?: MakeRoom
}

export const LEASE_MS = 90_000
const BEAT_MS = 20_000

/** Database and bucket; opening them sends nothing yet. */
export interface Links {
  database: Database
  bucket: Bucket
}

type LinkUser = Pick<Program, 'stops' | 'failed'>

export function openLinks(config: Config, program: Program): Links {
  return { database: openDatabaseOnly(config, program), bucket: openBucketOnly(config, program) }
}

export function openBucketOnly(config: Config, { stops, failed }: LinkUser): Bucket {
  const onError = (code: ErrorCode) => failed?.('bucket', code)
  const bucket = openS3(required<BucketConfig>(config.bucket), { onError })
  stops.push('bucket', async () => bucket.close(), 1_000)
  return bucket
}

/** @returns null where none is configured */
export function openSecondBucket(
  { second }: Config,
  { stops, failed }: LinkUser,
): UploadBucket | null {
  if (second === null) return null
  const onError = (code: ErrorCode) => failed?.('bucket', code)
  const bucket = openS3ForUploads(second, { settings: 'SECOND', onError })
  stops.push('second bucket', async () => bucket.close(), 1_000)
  return bucket
}

export function openDatabaseOnly(config: Config, { stops, failed }: LinkUser): Database {
  const onError = (code: ErrorCode) => failed?.('database', code)
  const database = openDatabase(required<DatabaseConfig>(config.database), { onError })
  stops.push('database', () => database.close(), 5_000)
  return database
}

/** The same for what works on our schema and does not change it. @throws DB_SCHEMA when it is not exactly this version's */
export async function openMigrated(config: Config, user: LinkUser): Promise<Database> {
  const database = openDatabaseOnly(config, user)
  await assertMigrated(database)
  return database
}

/**
 * Opens schema, archive volume and probe for a live sync.
 *
 * @throws the AppError of whatever is not as it must be, before anything is claimed
 */
export async function openSync(
  config: Config,
  program: Program,
  { database, bucket }: Links,
): Promise<SyncService> {
  const { log, reached, version } = program
  const probe = openProbe(config, program)
  // Beside what the database is asked, which is slower; whatever is wrong with the rest is told first.
  const probeIsReady = probe.ready()
  const folder = openArchiveFolder(config, openArchives(database))
  for (const ahead of [probeIsReady, folder]) ahead.catch(() => {})
  await prepareSchema(config, database, log)
  const backend = await openBackend(database, config.backend)
  await warnOfIncomplete(database, backend, log)
  const volumeParts = await folder
  const volume = await openVolume(volumeParts)
  const errorDisk = await openErrorFolder(config.archive)
  const worker = openLeased(config, program, { database, backend, archiveId: volume.id, bucket })
  await probeIsReady
  return {
    ...volumeParts,
    database,
    backend,
    volume,
    errorDisk,
    bucket,
    ...worker,
    readBacks: config.releaseGraceMs === 0 ? createReadBacks(() => performance.now()) : null,
    validate: (file) => validate({ ...file, probe }),
    policy: policyOf(config, version),
    ...(await openSpaces(config, { disk: volumeParts.disk, errorDisk })),
    secondBucket: openSecondBucket(config, program),
    reached,
    log,
  }
}

/** A worker of its own name, and its leases; no other worker of this process takes what it holds for its own. */
export function openLeased(
  config: Config,
  { log, stops }: Pick<Program, 'log' | 'stops'>,
  on: Links & { backend: Backend; archiveId: string },
): Pick<Parts, 'items' | 'leases'> {
  const items = openItems({
    ...on,
    bucket: on.bucket.name,
    owner: `${hostname()}/${crypto.randomUUID()}`,
    leaseMs: LEASE_MS,
    releaseGraceMs: config.releaseGraceMs,
    releaseDailyMax: config.releaseDailyMax,
  })
  const leases = createLeases({ items, log, leaseMs: LEASE_MS, beatMs: BEAT_MS })
  stops.push('leases', async () => leases.stop(), 1_000)
  return { items, leases }
}

/**
 * Opens what adopting a file needs: the archive as its marker tells it, and the probe. No database is asked.
 *
 * @throws VOLUME_MISSING, VOLUME_FOREIGN, DISK_DENIED
 */
export async function openAdoption(config: Config, program: Program): Promise<AdoptParts> {
  const parts = await openFolderAlone(config)
  return openAdoptionOn(config, program, { ...parts, volume: await openVolumeAlone(parts) })
}

/** The same in an archive that is open already. */
export function openAdoptionOn(
  config: Config,
  program: Program,
  place: Pick<AdoptParts, 'disk' | 'folders' | 'volume'>,
): AdoptParts {
  const probe = openProbe(config, program)
  return {
    ...place,
    validate: (file) => validate({ ...file, probe }),
    policy: policyOf(config, program.version),
  }
}

/** Rows that nobody would miss otherwise: no item is ever made of them. */
async function warnOfIncomplete(database: Database, backend: Backend, log: Log): Promise<void> {
  const incomplete = await describeIncomplete(database, backend).catch((error: unknown) => {
    // It is a courtesy, which a table that is slow to read must not stop.
    if (!isAppError(error)) throw error
    log.debug({ error }, 'approved rows that are skipped could not be counted')
    return null
  })
  if (incomplete !== null) log.warn({}, incomplete)
}

export function openProbe(
  config: Config,
  { searchPath = DEFAULT_SEARCH_PATH, stops }: Pick<Program, 'searchPath' | 'stops'>,
): Probe {
  const spawner = createSpawner({ searchPath })
  stops.push('probes', () => spawner.close(), 2_000)
  const common = { concurrency: availableParallelism(), searchPath, run: spawner.run }
  const full = createProbe({ ...common, path: config.ffprobePath })
  const path = config.ffprobeSmallPath
  if (path === null) return full
  const small = (decodesNothing: boolean) =>
    createProbe({ ...common, path, setting: 'FFPROBE_SMALL_PATH', decodesNothing })
  return createTieredProbe({ quick: small(true), small: small(false), full })
}

export function policyOf(config: Config, version: string): Policy {
  const { sync, archive } = config
  return {
    concurrency: sync.concurrency,
    releasesAtOnce: sync.concurrency,
    batchSize: sync.batchSize,
    changedAfterApproval: sync.changedAfterApproval,
    sizeMismatch: sync.sizeMismatch,
    layout: archive.layout,
    fileMode: 0o666 & ~archive.umask,
    version,
  }
}

/** @throws DB_SCHEMA when it is not this version's and may not be made so by itself */
export async function prepareSchema(
  { migrateOnStart }: Config,
  database: Database,
  log: Log,
): Promise<void> {
  if (migrateOnStart) await migrateWithLog(database, log)
  else await assertMigrated(database)
}

export async function migrateWithLog(database: Database, log: Log): Promise<string[]> {
  const applied = await migrate(database)
  for (const name of applied) log.info({ migration: name }, 'migrated')
  return applied
}

function required<T extends BucketConfig | DatabaseConfig>(part: T | null): T {
  if (part === null) throw new AppError('INTERNAL', 'this command was not given what it needs')
  return part
}
