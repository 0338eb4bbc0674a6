import { hostname } from 'node:os'
import type { Config } from './config.ts'
import type { Database } from './db/connect.ts'
import { beginRemoval, endRemoval } from './db/removals.ts'
import { openSecondItems } from './db/second.ts'
import {
  filesInBoth,
  movableFiles,
  movedItems,
  noteSecondLook,
  secondCopyOf,
  takeSecondDue,
} from './db/second-files.ts'
import { AppError, type ErrorCode } from './errors.ts'
import { LEASE_MS, openLeased, type Program, type SyncService } from './open.ts'
import type { MovingParts, MovingPlanParts } from './space/moving.ts'
import type { UploadBucket } from './storage/bucket.ts'
import { seeFile } from './storage/removal.ts'
import { idOf } from './storage/s3.ts'
import { openS3ForUploads } from './storage/s3-upload.ts'
import type { SecondSource } from './sync/heal.ts'
import { finishMove, moveFile } from './sync/move.ts'
import type { Lasting } from './sync/scrub.ts'
import { type SecondParts, secondKeyOf } from './sync/second-copy.ts'
import { createPace } from './sync/verify.ts'
import type { VerifySecondParts } from './sync/verify-second.ts'

const PAGE = 100
/** A file that is being read keeps the others of its batch from other nodes. */
const SCRUB_BATCH = 20
/** How often it is asked whether a moved file is still there. It costs two requests, and no traffic to speak of. */
const LOOK_MS = 7 * 24 * 3_600_000

/** Opening it sends nothing yet. @throws CONFIG_INVALID */
export function openSecondBucket(
  config: Config,
  { stops, failed }: Pick<Program, 'stops' | 'failed'>,
): UploadBucket {
  const { second } = config
  if (second === null)
    throw new AppError('CONFIG_INVALID', 'no second bucket is configured', {
      hint: 'set SECOND_ENDPOINT, SECOND_BUCKET, SECOND_ACCESS_KEY and SECOND_SECRET_KEY',
    })
  const onError = (code: ErrorCode) => failed?.('bucket', code)
  const bucket = openS3ForUploads(second, { settings: 'SECOND', onError })
  stops.push('second bucket', async () => bucket.close(), 1_000)
  return bucket
}

/** What moves archived files to the second bucket, and brings them back, in a live service. */
export function openSecond(config: Config, program: Program, service: SyncService): SecondParts {
  const { database, volume } = service
  const bucket = openSecondBucket(config, program)
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
export function openSecondSource(
  config: Config,
  { program, database }: { program: Program; database: Database },
): SecondSource | null {
  if (config.second === null) return null
  const bucket = openSecondBucket(config, program)
  return { bucket, copyOf: (item) => secondCopyOf(database, item, bucket.id) }
}

/** What looks at moved files in the second bucket again; which, and how fast, is the caller's to say. */
export function openSecondLooks(
  config: Config,
  { program, database }: { program: Program; database: Database },
): Omit<VerifySecondParts, 'next' | 'pace'> {
  return {
    bucket: openSecondBucket(config, program),
    log: program.log,
    again: async (item) => (await movedItems(database, [item]))[0] ?? null,
    note: (item, look) => noteSecondLook(database, item, look),
  }
}

/** What looks at them in the background of a live sync; null without a second bucket. */
export function openSecondScrub(
  config: Config,
  { database }: Pick<SyncService, 'database'>,
  run: { program: Program; signal: AbortSignal; isBusy: () => boolean },
): (VerifySecondParts & Lasting) | null {
  const { second, scrub } = config
  if (second === null) return null
  const { program, signal, isBusy } = run
  const looks = openSecondLooks(config, { program, database })
  const due = { limit: SCRUB_BATCH, lookMs: LOOK_MS, readMs: second.scrubPeriodMs }
  return {
    ...looks,
    next: () => takeSecondDue(database, { ...due, bucketId: looks.bucket.id }),
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
