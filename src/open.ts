import { mkdir } from 'node:fs/promises'
import { availableParallelism, hostname } from 'node:os'
import type { BucketConfig, Config, DatabaseConfig } from './config.ts'
import {
  archivedFile,
  archivedTotal,
  damagedLately,
  isReadingWanted,
  noteVerified,
  takeForScrub,
} from './db/archived.ts'
import { type Archives, openArchives } from './db/archives.ts'
import { type Backend, openBackend } from './db/backend.ts'
import { describeIncomplete } from './db/checks.ts'
import { type Database, openDatabase } from './db/connect.ts'
import { openItems } from './db/items.ts'
import { assertMigrated, migrate } from './db/migrate.ts'
import { AppError, type ErrorCode, isAppError, toAppError } from './errors.ts'
import type { StopStack } from './lifecycle.ts'
import type { Log } from './log.ts'
import type { LogTail } from './log-tail.ts'
import { openSpaces } from './open-space.ts'
import type { Bucket } from './storage/bucket.ts'
import { type Disk, fileSystemKind, openDisk } from './storage/disk.ts'
import { isOnRoot, whyNotWritable } from './storage/folder-check.ts'
import { createDurableFolders } from './storage/folders.ts'
import { openS3 } from './storage/s3.ts'
import type { AdoptParts } from './sync/adopt-sidecar.ts'
import { guardSyncs } from './sync/guard.ts'
import type { HealFoundParts } from './sync/heal-found.ts'
import { createLeases } from './sync/leases.ts'
import type { Parts, Policy, Reached } from './sync/parts.ts'
import type { LastingScrubParts } from './sync/scrub.ts'
import { planScrub, slowScrubText } from './sync/scrub-plan.ts'
import type { Space } from './sync/space.ts'
import { validate } from './sync/validate.ts'
import { createPace } from './sync/verify.ts'
import { openVolume, openVolumeAlone, type VolumeParts } from './sync/volume.ts'
import { createProbe, type Probe } from './tools/ffprobe.ts'
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
  /** Removes what may go where there is too little room; never throws. */
  makeRoom?: () => Promise<void>
}

export const LEASE_MS = 90_000
const BEAT_MS = 20_000
const SCRUB_BATCH = 20

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

export function openDatabaseOnly(config: Config, { stops, failed }: LinkUser): Database {
  const onError = (code: ErrorCode) => failed?.('database', code)
  const database = openDatabase(required<DatabaseConfig>(config.database), { onError })
  stops.push('database', () => database.close(), 5_000)
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
  await prepareSchema(config, database, log)
  const backend = await openBackend(database, config.backend)
  await warnOfIncomplete(database, backend, log)
  const volumeParts = await openArchiveFolder(config, openArchives(database))
  const volume = await openVolume(volumeParts)
  const errorDisk = await openErrorFolder(config.archive)
  const worker = openLeased(config, program, { database, backend, archiveId: volume.id, bucket })
  const probe = openProbe(config, program)
  await probe.version()
  return {
    ...volumeParts,
    database,
    backend,
    volume,
    errorDisk,
    bucket,
    ...worker,
    validate: (file) => validate({ ...file, probe }),
    policy: policyOf(config, version),
    ...(await openSpaces(config, { disk: volumeParts.disk, errorDisk })),
    reached,
    log,
  }
}

/** A worker of its own name, and its leases; no other worker of this process takes what it holds for its own. */
function openLeased(
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

/** What puts right damaged files of the archive; `fsck` and `verify` and the scrub do so in the same way. */
export function openHealing(
  service: SyncService,
  config: Config,
  program: Program,
): HealFoundParts {
  const on = { ...service, archiveId: service.volume.id }
  return {
    ...service,
    ...openLeased(config, program, on),
    damagedLately: () => damagedLately(service.database),
  }
}

/** What reads the archive of a live sync again in the background, and heals it. */
export function openScrub(
  service: SyncService,
  config: Config,
  run: { program: Program; signal: AbortSignal; isBusy: () => boolean },
): LastingScrubParts {
  const { database, disk, volume } = service
  const { program, signal, isBusy } = run
  const dueAfterMs = createDueTime(service, config)
  return {
    ...openHealing(service, config, program),
    disk,
    volume,
    next: async () => takeForScrub(database, { limit: SCRUB_BATCH, periodMs: await dueAfterMs() }),
    again: (item) => archivedFile(database, item),
    note: (file, damage) => noteVerified(database, file, damage),
    wanted: () => isReadingWanted(database),
    now: () => performance.now(),
    pace: createPace(config.scrub.bytesPerSecond, signal, isBusy),
  }
}

const DAY_MS = 24 * 3_600_000

/** When files are due to be read again; looked at anew each day, because the archive grows. */
function createDueTime(
  { database, log }: Pick<SyncService, 'database' | 'log'>,
  { scrub }: Config,
): () => Promise<number> {
  let plannedAt = Number.NEGATIVE_INFINITY
  let dueAfterMs = scrub.periodMs
  return async () => {
    if (performance.now() - plannedAt < DAY_MS) return dueAfterMs
    plannedAt = performance.now()
    const total = await archivedTotal(database, null).catch((error: unknown) => {
      // A table that takes too long to count is scrubbed all the same, if perhaps late.
      log.debug({ error: toAppError(error) }, 'the archive could not be summed up')
      return null
    })
    if (total === null) return dueAfterMs
    const plan = planScrub({ ...scrub, bytes: total.bytes })
    if (!plan.keepsPeriod) log.warn({}, slowScrubText(plan, scrub.periodMs))
    dueAfterMs = plan.dueAfterMs
    return dueAfterMs
  }
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

/** The archive's folder for what no database is asked for. */
export async function openFolderAlone({
  archive,
}: Config): Promise<Pick<VolumeParts, 'disk' | 'folders'>> {
  const disk = await openFolder('ARCHIVE_DIR', archive)
  return { disk, folders: createDurableFolders(disk) }
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

/** JPEG XL: only Debian's is built with the decoder that measures it and misses its end. */
const FULL_FOR = new Set(['jpegxl_pipe'])

export function openProbe(config: Config, { searchPath }: Pick<Program, 'searchPath'>): Probe {
  const common = {
    concurrency: availableParallelism(),
    ...(searchPath === undefined ? {} : { searchPath }),
  }
  const full = createProbe({ ...common, path: config.ffprobePath })
  const path = config.ffprobeSmallPath
  if (path === null) return full
  const small = createProbe({ ...common, path, setting: 'FFPROBE_SMALL_PATH' })
  return createTieredProbe({ small, full, fullFor: FULL_FOR })
}

export function policyOf(config: Config, version: string): Policy {
  const { sync, archive } = config
  return {
    concurrency: sync.concurrency,
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

/**
 * Says what is wrong with the folders before anything else is opened or waited for.
 *
 * @param use `writing` as a live sync does; `reading` as the file server does, for which the archive may come later
 */
export async function checkFolders({ archive }: Config, use: 'reading' | 'writing'): Promise<void> {
  if (use === 'reading') return refuseUnmounted('ARCHIVE_DIR', archive)
  await openFolder('ARCHIVE_DIR', archive)
  await openErrorFolder(archive)
}

/** The archive's folder as it is; it must exist, because a folder made here would hide a missing mount. */
export async function openArchiveFolder(config: Config, archives: Archives): Promise<VolumeParts> {
  const { dir } = config.archive
  const disk = guardSyncs(await openFolder('ARCHIVE_DIR', config.archive), archives)
  return {
    disk,
    folders: createDurableFolders(disk),
    archives,
    fileSystem: await fileSystemKind(dir),
  }
}

/** Both folders for a command that only reads them, and may have no right to more; ERROR_DIR need not be there. */
export async function openFoldersToRead({
  archive,
}: Config): Promise<{ disk: Disk; errorDisk: Disk | null }> {
  await refuseUnmounted('ARCHIVE_DIR', archive)
  return {
    disk: await openFolderAsIs('ARCHIVE_DIR', archive.dir),
    errorDisk: await openDisk(archive.errorDir).catch((error: unknown) => {
      if (isAppError(error, 'FILE_MISSING')) return null
      throw error
    }),
  }
}

async function openErrorFolder(archive: Config['archive']): Promise<Disk> {
  const { errorDir: dir } = archive
  await refuseUnmounted('ERROR_DIR', archive)
  try {
    await mkdir(dir, { recursive: true })
  } catch (cause) {
    throw new AppError('DISK_DENIED', `ERROR_DIR ${dir} cannot be made`, {
      cause,
      hint: 'create it and give it to the user that Strongroom runs as',
    })
  }
  return openFolder('ERROR_DIR', archive)
}

type FolderSetting = 'ARCHIVE_DIR' | 'ERROR_DIR'

async function openFolder(setting: FolderSetting, archive: Config['archive']): Promise<Disk> {
  await refuseUnmounted(setting, archive)
  const dir = folderOf(setting, archive)
  const disk = await openFolderAsIs(setting, dir)
  const denied = await whyNotWritable(dir)
  if (denied !== null)
    throw new AppError('DISK_DENIED', `${setting} ${dir} ${denied.wrong}`, {
      hint: denied.remedy,
    })
  return disk
}

async function refuseUnmounted(setting: FolderSetting, archive: Config['archive']): Promise<void> {
  const dir = folderOf(setting, archive)
  if (!archive.requireMount || !(await isOnRoot(dir))) return
  throw new AppError('VOLUME_MISSING', `${setting} ${dir} is on no mounted volume`, {
    hint: 'mount one; for a container for example with -v /mnt/user/media/videos:/media',
  })
}

function folderOf(setting: FolderSetting, archive: Config['archive']): string {
  return setting === 'ARCHIVE_DIR' ? archive.dir : archive.errorDir
}

async function openFolderAsIs(setting: FolderSetting, dir: string): Promise<Disk> {
  try {
    return await openDisk(dir)
  } catch (error) {
    if (!isAppError(error, 'FILE_MISSING', 'PATH_UNSAFE')) throw error
    const absent = error.code === 'FILE_MISSING'
    throw new AppError(
      'VOLUME_MISSING',
      `${setting} ${dir} ${absent ? 'does not exist' : 'is not a folder'}`,
      {
        cause: error,
        hint: absent
          ? `mount the archive there, or create the folder for a new one (mkdir -p ${dir})`
          : `set ${setting} to a folder`,
      },
    )
  }
}

function required<T extends BucketConfig | DatabaseConfig>(part: T | null): T {
  if (part === null) throw new AppError('INTERNAL', 'this command was not given what it needs')
  return part
}
