import type { FileFacts } from '../storage/file-io.ts'

/**
 * The files whose bytes this process has compared with what the disk gives back, while it wrote them (NewFile.readBack). To read
 * one again a moment later tells nothing new; only a later look proves that the disk keeps it.
 */
export interface ReadBacks {
  /** Once it is sealed. @param sha256 hex */
  note(file: FileFacts, sha256: string): void
  /** True for a file that was noted with this hash lately, and was not written to since. */
  covers(file: FileFacts, sha256: string): boolean
}

/** A large file is not read in less. */
const LATELY_MS = 10 * 60_000

interface Noted {
  file: FileFacts
  sha256: string
  atMs: number
}

/** @param now monotonic milliseconds */
export function createReadBacks(now: () => number): ReadBacks {
  const noted = new Map<number, Noted>()
  const isLate = ({ atMs }: Noted) => now() - atMs > LATELY_MS
  return {
    note(file, sha256) {
      for (const [inode, one] of noted) if (isLate(one)) noted.delete(inode)
      noted.set(file.inode, { file, sha256, atMs: now() })
    },
    covers(file, sha256) {
      const known = noted.get(file.inode)
      if (known === undefined || isLate(known) || known.sha256 !== sha256) return false
      const { device, sizeBytes, modifiedMs } = known.file
      return (
        file.device === device && file.sizeBytes === sizeBytes && file.modifiedMs === modifiedMs
      )
    },
  }
}
