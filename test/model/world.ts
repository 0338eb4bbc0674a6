import { createHash } from 'node:crypto'
import { isAppError } from '../../src/errors.ts'
import type { Log } from '../../src/log.ts'
import type { ProbeFacts } from '../../src/media.ts'
import type { Disk } from '../../src/storage/disk.ts'
import { createDurableFolders } from '../../src/storage/folders.ts'
import { guardSyncs } from '../../src/sync/guard.ts'
import { createLeases } from '../../src/sync/leases.ts'
import type { Policy } from '../../src/sync/parts.ts'
import { createReadBacks } from '../../src/sync/read-back.ts'
import { reconcile } from '../../src/sync/reconcile.ts'
import { releaseDue } from '../../src/sync/release.ts'
import { relocate } from '../../src/sync/relocate.ts'
import { type ScrubParts, scrub } from '../../src/sync/scrub.ts'
import { createSpace } from '../../src/sync/space.ts'
import { runSync } from '../../src/sync/sync.ts'
import { openVolume } from '../../src/sync/volume.ts'
import { unwatched } from '../../src/sync/watch.ts'
import { createSimDisk, type SimDisk } from '../support/sim-disk.ts'
import { type Gate, gatedDisk, open, pointOf } from './gate.ts'
import { type BucketState, copyBucket, createSimBucket, emptyBucket, upload } from './sim-bucket.ts'
import { archivedFile, noteReading, takeForScrub } from './sim-heals.ts'
import { createSimArchives, createSimItems } from './sim-items.ts'
import { emptyTables, gatedStatements, type MediaRecord, type SimTables } from './sim-tables.ts'

export const LEASE_MS = 90_000
export const GRACE_MS = 24 * 3_600_000
const START_MS = Date.UTC(2026, 0, 15)

/** All that outlives a process: the disks, the database, the bucket, and the time. */
export interface World {
  clock: { ms: number }
  /** How long all machines were paused, which their own clocks do not count. */
  pausedMs: number
  disk: SimDisk
  errorDisk: SimDisk
  linksRefused: boolean
  tables: SimTables
  bucket: BucketState
  layout: string
  /** What others put into the archive; it must stay as it is. */
  foreign: Map<string, Buffer>
  /** Archived paths whose bytes the disk itself has spoiled, and their inodes then. */
  damaged: Map<string, number>
  /** Final names lie on another file system than the marker. */
  onAnotherDevice: boolean
  /** Sources go as soon as they are archived, and what comes is read back for that. */
  atOnce: boolean
  /** What the disk has written otherwise than it was told to, once. */
  miswritten: string | null
  /** Every cycle reads the archive again, and heals it. */
  scrubs: boolean
  /** Where a person has put an archived file; every cycle looks there for it. Null for nowhere. */
  movedTo: string | null
  /** A worker went on after its lease was over. */
  late: boolean
  /** Errors that no one foresaw: each is a bug. */
  bugs: string[]
}

export function newWorld(
  options: {
    honoursIfMatch?: boolean
    opaqueEtags?: boolean
    linksRefused?: boolean
    atOnce?: boolean
    scrubs?: boolean
  } = {},
): World {
  const disk = createSimDisk()
  const linksRefused = options.linksRefused ?? false
  disk.linksRefused = linksRefused
  return {
    clock: { ms: START_MS },
    pausedMs: 0,
    disk,
    errorDisk: createSimDisk(),
    linksRefused,
    tables: emptyTables(),
    bucket: emptyBucket({
      honoursIfMatch: options.honoursIfMatch ?? true,
      opaqueEtags: options.opaqueEtags ?? false,
    }),
    layout: '{year}/{month}/{filename}',
    foreign: new Map(),
    damaged: new Map(),
    onAnotherDevice: false,
    atOnce: options.atOnce ?? false,
    miswritten: null,
    scrubs: options.scrubs ?? false,
    movedTo: null,
    late: false,
    bugs: [],
  }
}

/** The same world on what a crash left of its disks. */
export function crashedWorld(world: World, left: { disk: SimDisk; errorDisk: SimDisk }): World {
  const { disk } = left
  disk.linksRefused = world.linksRefused
  return {
    ...world,
    disk,
    errorDisk: copyOf(left.errorDisk),
    clock: { ...world.clock },
    tables: structuredClone(world.tables),
    bucket: copyBucket(world.bucket),
    foreign: new Map(world.foreign),
    damaged: new Map(world.damaged),
  }
}

/** What is durable, and nothing else, on a disk of its own. */
function copyOf(disk: SimDisk): SimDisk {
  for (const copy of disk.crashStates(1)) return copy
  return createSimDisk()
}

/** A user uploads a file, and the backend approves it. */
export function addMedia(world: World, id: number, change: Partial<MediaRecord> = {}): MediaRecord {
  const row: MediaRecord = {
    id,
    userId: 7,
    title: `Clip ${id}`,
    filename: `clip-${id}.mp4`,
    contentType: 'video',
    mimeType: 'video/mp4',
    fileSize: null,
    objectKey: `uploads/${id}.mp4`,
    status: 'approved',
    approvedAt: world.clock.ms + id,
    deleted: false,
    archivePath: null,
    archivedAt: null,
    checksum: null,
    ...change,
  }
  world.tables.media.push(row)
  if (!world.bucket.live.has(row.objectKey))
    upload(world.bucket, row.objectKey, `bytes of clip ${id}`, world.clock.ms)
  return row
}

export function sha256(bytes: Buffer): string {
  return createHash('sha256').update(bytes).digest('hex')
}

export interface Worker {
  /** Recovery, then everything that can be archived, then what is due: one whole run. */
  cycle(): Promise<void>
}

const facts: ProbeFacts = {
  container: 'mp4',
  mimeType: 'video/mp4',
  kind: 'video',
  durationSeconds: 1,
  streams: [],
}
export const NOT_MEDIA = 'not media'

/**
 * Starts a process of the product in this world; the steps are the real ones.
 *
 * @param options `paused`: for how long its machine was, which its own clocks do not count
 */
export async function startWorker(
  world: World,
  {
    owner,
    gate = open,
    concurrency = 1,
    paused = { ms: 0 },
  }: { owner: string; gate?: Gate; concurrency?: number; paused?: { ms: number } },
): Promise<Worker> {
  const { clock, tables } = world
  const now = () => clock.ms
  const monotonic = () => clock.ms - world.pausedMs - paused.ms
  const log = bugLog(world)
  const run = gatedStatements((name, moment) => gate({ of: 'database', name, path: '' }, moment))
  const archives = createSimArchives({ tables, now }, run)
  const disk = guardSyncs(withDevices(world, gatedDisk(world.disk, gate)), archives)
  const folders = createDurableFolders(disk)
  const volume = await openVolume({ disk, folders, archives, fileSystem: 'disk' })
  const releaseGraceMs = world.atOnce ? 0 : GRACE_MS
  const limits = { leaseMs: LEASE_MS, releaseGraceMs, releaseDailyMax: null }
  const binding = { archiveId: volume.id, owner, bucket: 'uploads', ...limits }
  const items = createSimItems({ tables, now, ...binding }, run)
  const space = createSpace(disk)
  const parts = {
    disk,
    folders,
    archives,
    volume,
    items,
    log,
    errorDisk: gatedDisk(world.errorDisk, gate, 'errors'),
    bucket: createSimBucket(world.bucket, gate, {
      by: owner,
      nowMs: now,
      itemsWith: (key) => tables.items.filter(({ objectKey }) => objectKey === key),
    }),
    leases: createLeases({ items, log, leaseMs: LEASE_MS, beatMs: 0, now: monotonic }),
    readBacks: world.atOnce ? createReadBacks(monotonic) : null,
    validate: async ({ absolutePath }: { absolutePath: string }) => {
      const part = world.disk.tree().get(absolutePath.slice(disk.root.length + 1))
      return part?.content.toString() === NOT_MEDIA
        ? ({ valid: false, reason: 'no stream' } as const)
        : ({ valid: true, facts } as const)
    },
    policy: policyOf(world, concurrency),
    space,
    errorSpace: space,
    reached: async (point: Parameters<typeof pointOf>[0]) => {
      await gate(pointOf(point), 'before')
    },
    watch: unwatched,
    now: monotonic,
  }
  const never = new AbortController().signal
  const scrubParts = (): ScrubParts => {
    const database = { tables, now }
    const own = createSimItems({ ...database, ...binding, owner: `${owner}/scrub` }, run)
    const seen = new Set<number>()
    return {
      ...parts,
      items: own,
      leases: createLeases({ items: own, log, leaseMs: LEASE_MS, beatMs: 0, now: monotonic }),
      next: () =>
        run('takeForScrub', () => {
          const fresh = takeForScrub(database).filter(({ item }) => !seen.has(item))
          for (const { item } of fresh) seen.add(item)
          return fresh
        }),
      again: (item) => run('archivedFile', () => archivedFile(database, item)),
      note: ({ item, epoch }, damage) =>
        run('noteVerified', () => {
          const row = tables.items.find(({ id }) => id === item)
          if (row?.epoch === epoch) noteReading(row, damage, now())
        }),
      pace: async () => {},
      second: null,
      damagedLately: () =>
        run('damagedLately', () => tables.items.filter((row) => row.damagedAt !== null).length),
    }
  }
  const bringBack = async (place: string) => {
    const own = scrubParts()
    for (const { id } of tables.items) {
      const file = await own.again(id)
      if (file !== null) await relocate(own, { file, places: [place] }, never)
    }
  }
  return {
    async cycle() {
      try {
        await reconcile(parts, never)
        const { stoppedBy } = await runSync(parts, { drain: never, abort: never })
        if (stoppedBy !== null) throw stoppedBy
        if (world.movedTo !== null) await bringBack(world.movedTo)
        if (world.scrubs) await scrub(scrubParts(), never)
        await releaseDue(parts, never)
      } catch (error) {
        noteBug(world, error)
      }
    },
  }
}

function withDevices(world: World, disk: Disk): Disk {
  return {
    ...disk,
    async stat(path) {
      const found = await disk.stat(path)
      const elsewhere = world.onAnotherDevice && !path.startsWith('.strongroom')
      return found !== null && elsewhere ? { ...found, device: found.device + 1 } : found
    },
  }
}

function policyOf({ layout }: World, concurrency: number): Policy {
  return {
    concurrency,
    // With two, a stop of one could meet the other just before its DELETE: the documented window, which no check closes.
    releasesAtOnce: 1,
    batchSize: 10,
    changedAfterApproval: 'hold',
    sizeMismatch: 'warn',
    layout,
    fileMode: 0o644,
    version: '0.0.0-model',
  }
}

/** An outage ends a cycle and is nothing special; what no adapter foresaw is a bug. */
function noteBug(world: World, error: unknown): void {
  if (isAppError(error) && error.code !== 'INTERNAL') return
  world.bugs.push(error instanceof Error ? String(error.stack) : String(error))
}

function bugLog(world: World): Log {
  const look = (fields: object) => {
    if ('error' in fields) noteBug(world, fields.error)
  }
  return { debug: look, info: look, warn: look, error: look }
}
