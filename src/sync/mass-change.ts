import type { Archives } from '../db/archives.ts'
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

/** One file in so many of a pass that is large enough to tell. */
const MASS_SHARE = 0.01
const LARGE_PASS = 500

/**
 * Asked before anything that was found damaged is fetched again or set aside. Much of it at once is rather another disk, a
 * bad cable or an empty mount than rot: then healing stops on all nodes, with one alarm, until a person has looked.
 *
 * @param found what is not what was archived, of `read` files in this pass, and of all in the last 24 hours
 * @returns false when nothing may be healed
 */
export async function mayHeal(
  {
    archives,
    log,
  }: Pick<ReleaseParts, 'log'> & { archives: Pick<Archives, 'find' | 'pauseHealing'> },
  found: { damaged: number; read: number; lately: number },
): Promise<boolean> {
  if ((await archives.find())?.healPaused !== null) return false
  const isMany =
    Math.max(found.damaged, found.lately) > MASS_CHANGE_LIMIT ||
    (found.read >= LARGE_PASS && found.damaged > found.read * MASS_SHARE)
  if (!isMany) return true
  const reason = `${found.damaged} of ${found.read} files are not what was archived, and ${found.lately} in 24 hours`
  if (await archives.pauseHealing(reason)) {
    const error = new AppError('MASS_CHANGE', `nothing is healed: ${reason}`, {
      hint: 'check the archive disk and its mounts; then run "strongroom verify", and what is still wrong is healed by "strongroom verify --repair --confirm"',
    })
    log.error({ error }, 'too many archived files are damaged at once')
  }
  return false
}

export function createBrake(
  parts: Pick<ReleaseParts, 'archives' | 'bucket' | 'items'>,
  signal: AbortSignal,
): Brake {
  const { archives, bucket } = parts
  let changed = 0
  let gone = 0
  let isOurs = false

  let paused: AppError | null = null
  const pause = async (reason: string) => {
    // Those released beside it find the same; what was said first stays.
    if (paused !== null) throw paused
    paused = new AppError('MASS_CHANGE', `releases are paused: ${reason}`)
    await archives.pauseRelease(reason)
    throw paused
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
