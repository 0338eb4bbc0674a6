import { AppError } from '../errors.ts'
import type { Disk } from '../storage/disk.ts'

/** Free space of the archive, with what downloads under way are still going to write taken off. */
export interface Space {
  /** @throws DISK_FULL before a single byte is fetched */
  reserve(sizeBytes: number): Promise<Reservation>
}

export interface Reservation {
  /** These bytes are on the disk now and no longer only promised. */
  wrote(sizeBytes: number): void
  /** These bytes were taken off the disk again, to be written anew. */
  discarded(sizeBytes: number): void
  end(): void
}

/** Left for sidecars, folders and whoever else writes here. */
const MARGIN_BYTES = 1024 * 1024

export function createSpace(disk: Disk): Space {
  let reserved = 0
  return {
    async reserve(sizeBytes) {
      let promised = sizeBytes
      reserved += promised
      const wrote = (bytes: number) => {
        const less = Math.min(bytes, promised)
        promised -= less
        reserved -= less
      }
      const discarded = (bytes: number) => {
        promised += bytes
        reserved += bytes
      }
      const end = () => wrote(promised)
      try {
        const free = await disk.freeBytes()
        if (free < reserved + MARGIN_BYTES)
          throw new AppError(
            'DISK_FULL',
            `${disk.root} has ${free} bytes free, ${reserved + MARGIN_BYTES} are needed`,
            { hint: 'make room on the archive disk; the sync goes on by itself afterwards' },
          )
      } catch (error) {
        end()
        throw error
      }
      return { wrote, discarded, end }
    },
  }
}
