import { hostname } from 'node:os'
import type { Config } from '../config.ts'
import type { Database } from '../db/connect.ts'
import { beginRemoval, endRemoval } from '../db/removals.ts'
import { openSecondItems } from '../db/second.ts'
import {
  filesInBoth,
  movableFiles,
  movedItems,
  noteSecondLook,
  secondCopyOf,
  takeSecondDue,
} from '../db/second-files.ts'
import { AppError } from '../errors.ts'
import { LEASE_MS, openLeased, type Program, type SyncService } from '../open.ts'
import type { MovingParts, MovingPlanParts } from '../space/moving.ts'
import type { UploadBucket } from '../storage/bucket.ts'
import { seeFile } from '../storage/removal.ts'
import { idOf } from '../storage/s3.ts'
import type { SecondSource } from '../sync/heal.ts'
import { finishMove, moveFile } from '../sync/move.ts'
import type { Lasting } from '../sync/scrub.ts'
import { type SecondParts, secondKeyOf } from '../sync/second-copy.ts'
import { createPace } from '../sync/verify.ts'
import type { VerifySecondParts } from '../sync/verify-second.ts'

const PAGE = 100
/** A file that is being read keeps the others of its batch from other nodes. */
const SCRUB_BATCH = 20
/** How often it is asked whether a moved file is still there. It costs two requests, and no traffic to speak of. */
const LOOK_MS = 7 * 24 * 3_600_000

/** @throws CONFIG_INVALID where none is configured */
export function requireSecond(bucket: UploadBucket | null): UploadBucket {
  if (bucket !== null) return bucket
  throw new AppError('CONFIG_INVALID', 'no second bucket is configured', {
    hint: 'set SECOND_ENDPOINT, SECOND_BUCKET, SECOND_ACCESS_KEY and SECOND_SECRET_KEY',
  })
}

/** What moves archived files to the second bucket, and brings them back, in a live service. */
export function openSecond(config: Config, program: Program, service: SyncService): SecondParts {
  const { database, volume, secondBucket } = service
  const bucket = requireSecond(secondBucket)
  const { leases } = openLeased(config, program, { ...service, archiveId: volume.id })
  const owner = `${hostname()}/${crypto.randomUUID()}`
  return {
    ...service,
    leases,
    second: openSecondItems({ database, owner, leaseMs: LEASE_MS, archiveId: volume.id }),
    bucket,
    prefix: config.second?.prefix ?? '',
    node: hostname(),
    begin: (removal) => beginRemoval(database, removal),
    end: (id, outcome) => endRemoval(database, id, outcome),
  }
}

/** Where files may be fetched from that were moved once; null without a second bucket. */
export function secondSourceOf({
  database,
  secondBucket: bucket,
}: Pick<SyncService, 'database' | 'secondBucket'>): SecondSource | null {
  if (bucket === null) return null
  return { bucket, copyOf: (item) => secondCopyOf(database, item, bucket.id) }
}

/** What looks at moved files in the second bucket again; which, and how fast, is the caller's to say. */
export function secondLooks(
  bucket: UploadBucket | null,
  { database, log }: Pick<SyncService, 'database' | 'log'>,
): Omit<VerifySecondParts, 'next' | 'pace'> {
  return {
    bucket,
    log,
    again: async (item) => (await movedItems(database, [item]))[0] ?? null,
    note: (item, look) => noteSecondLook(database, item, look),
  }
}

/** What looks at them in the background of a live sync, and tells of those in a bucket that is not configured (any more). */
export function openSecondScrub(
  { second, scrub }: Config,
  service: Pick<SyncService, 'database' | 'secondBucket' | 'log'>,
  { signal, isBusy }: { signal: AbortSignal; isBusy: () => boolean },
): VerifySecondParts & Lasting {
  const { database, secondBucket: bucket } = service
  const due = { limit: SCRUB_BATCH, lookMs: LOOK_MS, readMs: second?.scrubPeriodMs ?? 0 }
  return {
    ...secondLooks(bucket, service),
    next: () => takeSecondDue(database, due),
    pace: createPace(scrub.bytesPerSecond, signal, isBusy),
    now: () => performance.now(),
    // A person asks with "strongroom verify --second".
    wanted: async () => false,
  }
}

/** What may be moved; null where FREE_SPACE_CLEAN does not name it. */
export function movingPlanParts(
  config: Config,
  { database, root }: { database: Database; root: string },
): MovingPlanParts | null {
  const { second } = config
  const { areas, archivedAgeMs: ageMs } = config.space.clean
  if (second === null || !areas.includes('archived')) return null
  const id = idOf(second)
  return {
    movable: (after) => movableFiles(database, { after, limit: PAGE, ageMs }),
    inBoth: (after) => filesInBoth(database, { after, limit: PAGE }),
    see: (path) => seeFile(root, path),
    placeOf: (path) => `${id}/${secondKeyOf(second.prefix, path)}`,
  }
}

/** The same for those who move it. */
export function openMoving(
  config: Config,
  program: Program,
  service: SyncService,
): MovingParts | null {
  const { database, disk } = service
  const plan = movingPlanParts(config, { database, root: disk.root })
  if (plan === null) return null
  const parts = openSecond(config, program, service)
  return {
    ...plan,
    move: (file, signal) => moveFile(parts, file, signal),
    finish: (file, signal) => finishMove(parts, file, signal),
  }
}
