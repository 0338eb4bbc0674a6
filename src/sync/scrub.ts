import type { ArchivedFile } from '../db/archived.ts'
import { toAppError } from '../errors.ts'
import { pauseUnlessStopped } from '../waiting.ts'
import { type HealedFound, type HealFoundParts, healFound } from './heal-found.ts'
import { noteOf, type VerifyParts, verify } from './verify.ts'

export type ScrubParts = VerifyParts &
  HealFoundParts & {
    /** Notes that a file was read, and what is wrong with it. */
    note: (file: ArchivedFile, damage: string | null) => Promise<void>
    /** Monotonic milliseconds. */
    now: () => number
  }

/** What goes on and on also hears of persons. */
export interface Lasting extends Pick<ScrubParts, 'now' | 'log'> {
  /** Whether a person wants a file read now. */
  wanted: () => Promise<boolean>
}

export type LastingScrubParts = ScrubParts & Lasting

/** What a pass found and did. */
export type Scrubbed = { read: number; damaged: number } & HealedFound

const IDLE_MS = 15 * 60_000
/** A person who asked for a reading does not wait for as long. */
const WANTED_MS = 5_000
/** How long more is looked for after the first damage, for it to be seen whether there is too much of it to be healed. */
const HEAL_AFTER_MS = 60_000

/**
 * Scrubs again and again for as long as the program runs, so that what rots is noticed, and healed, while there is still
 * another copy.
 */
export async function scrubForever<Parts extends Lasting>(
  parts: Parts,
  signal: AbortSignal,
  once: (parts: Parts, signal: AbortSignal) => Promise<unknown>,
): Promise<void> {
  while (!signal.aborted) {
    try {
      await once(parts, signal)
    } catch (error) {
      // What is read, or the database, is away; the sync says so as well, and louder.
      if (!signal.aborted) parts.log.warn({ error: toAppError(error) }, 'the scrub was broken off')
    }
    await idle(parts, signal)
  }
}

async function idle({ wanted, now }: Lasting, signal: AbortSignal): Promise<void> {
  const until = now() + IDLE_MS
  while (!signal.aborted && now() < until) {
    await pauseUnlessStopped(WANTED_MS, signal)
    // A database that is away is told of by others.
    if (!signal.aborted && (await wanted().catch(() => false))) return
  }
}

/** Reads whatever is due, the files that were read longest ago first, and heals what is damaged unless it is too much. */
export async function scrub(parts: ScrubParts, signal: AbortSignal): Promise<Scrubbed> {
  const done: Scrubbed = { read: 0, damaged: 0, healed: 0, lost: 0 }
  let bad: ArchivedFile[] = []
  let firstAt = 0
  const healThem = async () => {
    const { healed, lost } = await healFound(parts, { bad, read: done.read }, signal)
    done.healed += healed
    done.lost += lost
    bad = []
  }
  for await (const verified of verify(parts, signal)) {
    const { file, verdict } = verified
    // Its worker reads it itself.
    if (verdict === 'busy') continue
    const damage = noteOf(verified)
    await parts.note(file, damage)
    done.read += 1
    if (damage !== null) {
      tell(parts, file, damage)
      done.damaged += 1
      if (bad.length === 0) firstAt = parts.now()
      bad.push(file)
    }
    if (bad.length === 0 || parts.now() - firstAt < HEAL_AFTER_MS) continue
    await healThem()
  }
  if (bad.length > 0) await healThem()
  if (done.read > 0) parts.log.info({ ...done }, 'scrubbed')
  return done
}

function tell({ log }: ScrubParts, file: ArchivedFile, damage: string): void {
  const told = { item: file.item, media: file.mediaId, path: file.archivePath, damage }
  log.error(told, 'an archived file is not what was archived')
}
