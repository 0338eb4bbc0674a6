import type { FileFacts } from '../storage/file-io.ts'

/**
 * The files whose bytes this process has compared with what the disk gives back, while they came (NewFile.readBack). To read one
 * again a moment later tells nothing new; only a later look proves that the disk keeps it.
 */
export interface ReadBacks {
  /** Monotonic milliseconds. */
  now(): number
  /** Once it lies under its final name. @param since when its first byte had not come yet; @param sha256 hex */
  note(file: FileFacts, sha256: string, since: number): void
  /** True for a file of this hash that was noted, begun no more than ten minutes ago, and is as it was then. */
  covers(file: FileFacts, sha256: string): boolean
}

/** What took longer to come is worth another reading. */
const LATELY_MS = 10 * 60_000

export function createReadBacks(now: () => number): ReadBacks {
  const sinceOf = new Map<string, number>()
  const isOld = (since: number) => now() - since > LATELY_MS
  return {
    now,
    note(file, sha256, since) {
      for (const [key, earlier] of sinceOf) if (isOld(earlier)) sinceOf.delete(key)
      sinceOf.set(keyOf(file, sha256), since)
    },
    covers(file, sha256) {
      const since = sinceOf.get(keyOf(file, sha256))
      return since !== undefined && !isOld(since)
    },
  }
}

/** Writing, another mode and another name change the time; nobody can set it back. */
function keyOf({ device, inode, sizeBytes, changedMs }: FileFacts, sha256: string): string {
  return [device, inode, sizeBytes, changedMs, sha256].join(' ')
}
