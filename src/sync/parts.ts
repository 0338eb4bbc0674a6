import type { Archives } from '../db/archives.ts'
import type { Held, Items } from '../db/items.ts'
import type { Log } from '../log.ts'
import type { Bucket } from '../storage/bucket.ts'
import type { Disk } from '../storage/disk.ts'
import type { DurableFolders } from '../storage/folders.ts'
import type { Leases } from './leases.ts'
import type { ReadBacks } from './read-back.ts'
import type { Validate } from './validate.ts'
import type { Volume } from './volume.ts'

/** What the steps are made of; each step names those it needs. */
export interface Parts {
  disk: Disk
  folders: DurableFolders
  errorDisk: Disk
  bucket: Bucket
  items: Items
  archives: Archives
  volume: Volume
  leases: Leases
  /** Null where sources stay for a while: their files are read again before they go. */
  readBacks: ReadBacks | null
  validate: Validate
  policy: Policy
  reached: Reached
  log: Log
}

export type ReleaseParts = Pick<
  Parts,
  | 'disk'
  | 'folders'
  | 'bucket'
  | 'items'
  | 'archives'
  | 'volume'
  | 'leases'
  | 'readBacks'
  | 'policy'
  | 'reached'
  | 'log'
> & {
  /** Monotonic milliseconds. */
  now: () => number
}

export interface Policy {
  concurrency: number
  /** How many sources are looked at and deleted at a time. */
  releasesAtOnce: number
  batchSize: number
  changedAfterApproval: 'hold' | 'accept'
  sizeMismatch: 'warn' | 'reject'
  layout: string
  /** Mode of archived files and sidecars. */
  fileMode: number
  /** Written into sidecars. */
  version: string
}

/** The moments between two steps, in order; tests stop a worker at each of them. */
export const points = [
  'claimed',
  'downloaded',
  'validated',
  'set-aside',
  'sealed',
  'intent-committed',
  'sidecar-written',
  'sidecar-linked',
  'file-linked',
  'folder-synced',
  'published',
  'recorded',
  'withdrawing',
  'moved-aside',
  'release-claimed',
  'rehashed',
  'source-seen',
  'source-deleted',
  'released',
] as const
/** The same on the way to the second bucket and back. */
export const secondPoints = [
  'copy-uploaded',
  'copy-proven',
  'moved',
  'removal-begun',
  'local-removed',
  'removal-synced',
  'recall-taken',
  'recall-fetched',
  'recall-placed',
] as const
export type SyncPoint = (typeof points)[number]
export type Point = SyncPoint | (typeof secondPoints)[number]

/** Called at each point; only tests answer with anything but nothing. */
export type Reached = (point: Point, item: Held) => void | Promise<void>
