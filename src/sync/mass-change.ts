import { AppError } from '../errors.ts'
import type { ReleaseParts } from './parts.ts'

/** More than this many damaged or changed items in one pass mean that something else is wrong. */
const LIMIT = 20

/** Counts what one pass finds; too much of it pauses releases on all nodes, because every pass would begin to count anew. */
export interface Brake {
  /** @throws MASS_CHANGE once releases are paused */
  foundChanged(): Promise<void>
}

export function createBrake({
  archives,
  bucket,
}: Pick<ReleaseParts, 'archives' | 'bucket'>): Brake {
  let changed = 0

  const pause = async (reason: string) => {
    await archives.pauseRelease(reason)
    throw new AppError('MASS_CHANGE', `releases are paused: ${reason}`)
  }

  return {
    async foundChanged() {
      changed += 1
      if (changed > LIMIT)
        await pause(
          `${changed} archived items are damaged on disk or changed in bucket "${bucket.name}"`,
        )
    },
  }
}
