import { AppError } from '../errors.ts'
import type { ReleaseParts } from './parts.ts'

/** More than this many damaged, changed or vanished items in one pass mean that something else is wrong. */
export const MASS_CHANGE_LIMIT = 20

/** Counts what one pass finds; too much of it pauses releases on all nodes, because every pass would begin to count anew. */
export interface Brake {
  /** @throws MASS_CHANGE once releases are paused */
  foundChanged(): Promise<void>
  /** A lifecycle rule may have expired any number of sources; that none at all is there means another bucket. */
  foundGone(): Promise<void>
  foundThere(): void
}

export function createBrake(
  parts: Pick<ReleaseParts, 'archives' | 'bucket' | 'items'>,
  signal: AbortSignal,
): Brake {
  const { archives, bucket } = parts
  let changed = 0
  let gone = 0
  let isOurs = false

  const pause = async (reason: string) => {
    await archives.pauseRelease(reason)
    throw new AppError('MASS_CHANGE', `releases are paused: ${reason}`)
  }

  return {
    async foundChanged() {
      changed += 1
      if (changed > MASS_CHANGE_LIMIT)
        await pause(
          `${changed} archived items are damaged on disk or changed in bucket "${bucket.name}"`,
        )
    },
    async foundGone() {
      gone += 1
      if (isOurs || gone <= MASS_CHANGE_LIMIT) return
      isOurs = await holdsNewest(parts, signal)
      if (!isOurs)
        await pause(
          `${gone} sources were looked for and none is in bucket "${bucket.name}" at this R2_ENDPOINT`,
        )
    },
    foundThere() {
      isOurs = true
    },
  }
}

/** What was archived last is the last to be expired. */
async function holdsNewest(
  { items, bucket }: Pick<ReleaseParts, 'bucket' | 'items'>,
  signal: AbortSignal,
): Promise<boolean> {
  const key = await items.newestSource()
  return key !== null && (await bucket.head(key, signal)) !== null
}
