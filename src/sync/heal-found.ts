import type { ArchivedFile } from '../db/archived.ts'
import type { Archives } from '../db/archives.ts'
import { toAppError } from '../errors.ts'
import type { FiledOutcome } from './filed-lease.ts'
import { type HealArchivedParts, healArchived } from './heal-archived.ts'
import { mayHeal } from './mass-change.ts'

export type HealFoundParts = HealArchivedParts & {
  archives: Pick<Archives, 'find' | 'pauseHealing'>
  /** How many files were found damaged in the last 24 hours. */
  damagedLately: () => Promise<number>
}

/** How many of them are whole again, or lost; the others stay as they are, and stay noted. */
export interface HealedFound {
  healed: number
  lost: number
}

/**
 * Heals what a pass has found damaged, unless it is too much.
 *
 * @param pass.read how many files it read
 * @param pass.confirmed a person has looked, and said that all of it is to be healed
 */
export async function healFound(
  parts: HealFoundParts,
  pass: { bad: readonly ArchivedFile[]; read: number; confirmed?: boolean },
  signal: AbortSignal,
): Promise<HealedFound> {
  const done: HealedFound = { healed: 0, lost: 0 }
  const { bad, read, confirmed = false } = pass
  // What is known for long is no news.
  const damaged = bad.filter((file) => !file.damaged).length
  const lately = await parts.damagedLately()
  if (!confirmed && !(await mayHeal(parts, { damaged, read, lately }))) return done
  for (const file of bad) {
    const outcome = await healOne(parts, file, signal)
    if (outcome === 'whole') done.healed += 1
    if (outcome === 'lost') done.lost += 1
  }
  return done
}

/** A bucket that is away must not end the reading: the file is looked at again in an hour. */
async function healOne(
  parts: HealArchivedParts,
  file: ArchivedFile,
  signal: AbortSignal,
): Promise<FiledOutcome> {
  try {
    return await healArchived(parts, file, signal)
  } catch (error) {
    const reason = toAppError(error)
    if (!reason.code.startsWith('BUCKET_')) throw error
    parts.log.warn({ item: file.item, error: reason }, 'an archived file could not be healed yet')
    return 'damaged'
  }
}
