import type { ArchivedFile } from '../db/archived.ts'
import type { ArchiveRow } from '../db/archives.ts'
import type { AbandonedItem, PathOwner } from '../db/fsck.ts'
import type { CurrentItem } from '../db/items.ts'
import type { Disk } from '../storage/disk.ts'
import type { Volume } from './volume.ts'

/** What `fsck` looks with; nothing of it can write. */
export interface FsckParts {
  disk: Pick<Disk, 'root' | 'list' | 'stat' | 'read'>
  /** Null where there is no ERROR_DIR. */
  errorDisk: Pick<Disk, 'root' | 'list'> | null
  volume: Pick<Volume, 'verify'>
  archive: () => Promise<ArchiveRow | null>
  /** The next files that the archive must hold; none ends it. */
  next: () => Promise<ArchivedFile[]>
  again: (item: number) => Promise<ArchivedFile | null>
  abandoned: (page: { after: number; limit: number }) => Promise<AbandonedItem[]>
  reapproved: () => Promise<{ mediaId: number; archivePath: string }[]>
  owners: (paths: readonly string[]) => Promise<Map<string, PathOwner>>
  current: (ids: readonly number[]) => Promise<Map<number, CurrentItem>>
  now: () => Date
  /** Told of what was looked at, for whoever shows it. */
  looked: (what: 'items' | 'files', count: number) => void
}
