import { realpath } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import { overlap, type ShadowConfig } from '../config/shadow.ts'
import { bytesOf } from '../config/sizes.ts'
import type { Config } from '../config.ts'
import { openBackend } from '../db/backend.ts'
import type { CurrentItem } from '../db/items.ts'
import { planApproved } from '../db/plan.ts'
import { archivedSince, databaseTime, rowsNow } from '../db/shadow.ts'
import { AppError } from '../errors.ts'
import { type Links, openProbe, type Program, policyOf } from '../open.ts'
import { type Beside, openShadow, type Shadow } from '../shadow/folder.ts'
import { saveLastRun } from '../shadow/last-run.ts'
import { openRecords, type Records } from '../shadow/records.ts'
import type { ShadowParts, ShadowSteps } from '../shadow/run.ts'
import type { Bucket } from '../storage/bucket.ts'
import { type Disk, openDisk } from '../storage/disk.ts'
import { isOnRoot, whyNotWritable } from '../storage/folder-check.ts'
import { createDurableFolders, type DurableFolders } from '../storage/folders.ts'
import { download } from '../sync/download.ts'
import { assertUsable } from '../sync/media-row.ts'
import { type PublishParts, publish } from '../sync/publish.ts'
import { createSpace } from '../sync/space.ts'
import { discardPart, sweepTemporaries } from '../sync/temporaries.ts'
import { validate } from '../sync/validate.ts'
import { probeLinks } from '../sync/volume.ts'
import { makeFolder } from './folders.ts'

/**
 * Opens what a run in shadow mode is made of: the steps of a live sync on SHADOW_DIR, with nothing of ours in the database
 * and a bucket that can only be read.
 *
 * @throws VOLUME_FOREIGN, VOLUME_MISSING, DISK_DENIED, DB_*, PROBE_MISSING
 */
export async function openShadowRun(
  config: Config,
  program: Program,
  { database, bucket: writable }: Links,
): Promise<ShadowParts & { shadow: Shadow }> {
  const { log, version } = program
  const { dir, keepBytes } = shadowOf(config)
  const bucket = readOnly(writable)
  const backend = await openBackend(database, config.backend)
  const disk = await openShadowFolder(config, dir)
  const folders = createDurableFolders(disk)
  const begin = { databaseTime: () => databaseTime(database) }
  const shadow = await openShadow({ disk, folders }, besideOf(config, bucket), begin)
  const records = await openRecords(disk)
  const steps = await openSteps(config, program, { disk, folders, bucket, records })
  return {
    shadow,
    steps,
    records,
    disk,
    approved: (page) => planApproved(database, backend, { ...page, ours: false }),
    archived: (page) => archivedSince(database, backend, { ...page, since: shadow.startedAt }),
    rowNow: async (id) => (await rowsNow(database, backend, [id])).get(id) ?? null,
    bucket,
    saveLastRun: (run) => saveLastRun(disk, run),
    keepBytes,
    concurrency: config.sync.concurrency,
    version,
    log,
  }
}

/** @throws CONFIG_INVALID where no SHADOW_DIR is set */
export function shadowOf({ shadow }: Config): ShadowConfig {
  if (shadow !== null) return shadow
  throw new AppError('CONFIG_INVALID', 'SHADOW_DIR is required but not set', {
    hint: 'set SHADOW_DIR to the folder that MODE=shadow has filled',
  })
}

export function besideOf({ database }: Config, bucket: Pick<Bucket, 'id'>): Beside {
  const { host, port, database: name } = database ?? { host: '', port: 0, database: '' }
  return { database: `${host}:${port}/${name}`, bucket: bucket.id }
}

/** Whatever a step may come to do, nothing is written to the bucket. */
function readOnly(bucket: Bucket): Bucket {
  const refuse = async () => {
    throw new AppError('INTERNAL', 'shadow mode writes nothing to the bucket')
  }
  return { ...bucket, delete: refuse, put: refuse }
}

async function openShadowFolder({ archive }: Config, dir: string): Promise<Disk> {
  if (archive.requireMount && (await isOnRoot(dir)))
    throw new AppError('VOLUME_MISSING', `SHADOW_DIR ${dir} is on no mounted volume`, {
      hint: 'mount one, or choose a folder on a mounted one',
    })
  await refuseOverlap(archive, dir)
  await makeFolder('SHADOW_DIR', dir)
  const denied = await whyNotWritable(dir)
  if (denied !== null)
    throw new AppError('DISK_DENIED', `SHADOW_DIR ${dir} ${denied.wrong}`, { hint: denied.remedy })
  return openDisk(dir, archive)
}

/** The settings were compared as texts; links lead elsewhere. */
async function refuseOverlap(archive: Config['archive'], dir: string): Promise<void> {
  const real = await leadsTo(dir)
  for (const [name, other] of [
    ['ARCHIVE_DIR', archive.dir],
    ['ERROR_DIR', archive.errorDir],
  ] as const) {
    // One that is not there overlaps with nothing.
    const target = await realpath(other).catch(() => null)
    if (target !== null && overlap(real, target))
      throw new AppError('CONFIG_INVALID', `SHADOW_DIR ${dir} is ${name} ${other}, or lies in it`, {
        hint: 'give shadow mode an empty folder of its own',
      })
  }
}

/** Where a path leads of which not all may be there yet. */
function leadsTo(path: string): Promise<string> {
  return realpath(path).catch(async () => join(await leadsTo(dirname(path)), basename(path)))
}

async function openSteps(
  config: Config,
  program: Program,
  place: { disk: Disk; folders: DurableFolders; bucket: Bucket; records: Records },
): Promise<ShadowSteps> {
  const { disk, records } = place
  const { log, version } = program
  const probe = openProbe(config, program)
  await probe.ready()
  /** Which attempt on which medium is under way; there are no leases. */
  const inHand = new Map<number, number>()
  const items = { current: async (ids: readonly number[]) => currentOf(ids, inHand) }
  const policy = policyOf(config, version)
  const parts = { ...place, log, policy, items, readBacks: null }
  // SHADOW_DIR may lie on the archive's own disk, which the other service needs.
  const { minimum, checkEveryBytes } = config.space
  const minBytesOf = (totalBytes: number) => bytesOf(minimum, totalBytes)
  const space = createSpace(disk, { minBytesOf, checkEveryBytes })
  const publishing: PublishParts = {
    ...parts,
    items: {
      commitIntent: async ({ id }, { archivePath }) =>
        records.reserve(archivePath, id) ? 'committed' : 'taken',
    },
    volume: { canLink: await probeLinks(disk), verify: async () => ({ device: 0 }) },
    leases: { assertAlive() {} },
    reached() {},
  }
  await sweepTemporaries(parts)
  return {
    assertUsable,
    async download(item, signal) {
      inHand.set(item.id, item.epoch)
      return download({ ...parts, space }, item, signal)
    },
    validate: (item, { part, source }, signal) =>
      validate({
        probe,
        absolutePath: `${disk.root}/${part.path}`,
        kind: item.media.contentType,
        sizeBytes: source.sizeBytes,
        signal,
      }),
    publish: (item, found) => publish(publishing, item, found),
    discard: ({ part }) => discardPart(parts, part),
    settled: (item) => void inHand.delete(item.id),
  }
}

function currentOf(
  ids: readonly number[],
  inHand: ReadonlyMap<number, number>,
): Map<number, CurrentItem> {
  return new Map(
    ids.map((id) => {
      const epoch = inHand.get(id)
      return [id, { state: 'claimed', epoch: epoch ?? 0, leased: epoch !== undefined }]
    }),
  )
}
