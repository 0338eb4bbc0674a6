import type { ArchivedFile } from '../db/archived.ts'
import { toAppError } from '../errors.ts'
import type { Log } from '../log.ts'
import { pause } from './transfer.ts'
import { noteOf, type VerifyParts, verify } from './verify.ts'

export interface ScrubParts extends VerifyParts {
  /** Notes that a file was read, and what is wrong with it. */
  note: (file: ArchivedFile, damage: string | null) => Promise<void>
  log: Log
}

const IDLE_MS = 15 * 60_000

/**
 * Reads the archive again and again for as long as the program runs, the files that were read longest ago first, so that
 * what rots is noticed while there is still another copy. It only tells: nothing is changed, moved or fetched.
 */
export async function scrubForever(parts: ScrubParts, signal: AbortSignal): Promise<void> {
  while (!signal.aborted) {
    try {
      await scrub(parts, signal)
    } catch (error) {
      // The volume or the database is away; the sync says so as well, and louder.
      if (!signal.aborted) parts.log.warn({ error: toAppError(error) }, 'the scrub was broken off')
    }
    await pause(IDLE_MS, signal).catch(() => {})
  }
}

/** Reads whatever is due. @returns how many files were read, and how many of them are not what was archived */
export async function scrub(
  parts: ScrubParts,
  signal: AbortSignal,
): Promise<{ read: number; damaged: number }> {
  const found = { read: 0, damaged: 0 }
  for await (const verified of verify(parts, signal)) {
    const { file, verdict } = verified
    // Its worker reads it itself.
    if (verdict === 'busy') continue
    const damage = noteOf(verified)
    await parts.note(file, damage)
    found.read += 1
    if (damage === null) continue
    found.damaged += 1
    const told = { item: file.item, media: file.mediaId, path: file.archivePath, damage }
    parts.log.error(told, 'an archived file is not what was archived; restore it from a backup')
  }
  if (found.read > 0) parts.log.info(found, 'scrubbed')
  return found
}
