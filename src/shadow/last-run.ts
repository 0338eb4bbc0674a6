import { z } from 'zod'
import { PRIVATE_FOLDER } from '../archive-path.ts'
import { AppError } from '../errors.ts'
import type { Disk } from '../storage/disk.ts'
import { replaceJson } from './json-file.ts'

/** Inside SHADOW_DIR. */
const PATH = `${PRIVATE_FOLDER}/last-run.json`
const MAX_BYTES = 64 * 1024
/** A run may fetch for hours. */
const MOST_HOURS = 24

const lastRunSchema = z.object({
  schema_version: z.literal(1),
  ended_at: z.iso.datetime(),
  stopped_by: z.string().nullable(),
})

/** How the last run ended that nobody stopped. */
export interface LastRun {
  /** By this machine's clock. */
  endedAt: Date
  /** What kept it from looking at everything; null when nothing did. */
  stoppedBy: string | null
}

export function saveLastRun(disk: Disk, { endedAt, stoppedBy }: LastRun): Promise<void> {
  const run: z.infer<typeof lastRunSchema> = {
    schema_version: 1,
    ended_at: endedAt.toISOString(),
    stopped_by: stoppedBy,
  }
  return replaceJson(disk, PATH, run)
}

/** @returns null when none has ended yet; @throws SIDECAR_INVALID */
export async function readLastRun(disk: Pick<Disk, 'root' | 'read'>): Promise<LastRun | null> {
  const text = await disk.read(PATH, MAX_BYTES)
  if (text === null) return null
  try {
    const run = lastRunSchema.parse(JSON.parse(text.toString('utf8')))
    return { endedAt: new Date(run.ended_at), stoppedBy: run.stopped_by }
  } catch (cause) {
    throw new AppError('SIDECAR_INVALID', `${disk.root}/${PATH} does not say how a run ended`, {
      cause,
      hint: 'remove it: the next run writes it anew',
    })
  }
}

/** @returns why nobody can tell what Strongroom would do now; null while it looks at everything */
export function whyBlind(last: LastRun | null, now: Date): string | null {
  if (last === null) return 'no run of Strongroom has come to its end yet'
  const ended = last.endedAt.toISOString()
  if (last.stoppedBy !== null)
    return `Strongroom does not look at everything: its last run stopped early at ${ended} (${last.stoppedBy})`
  const hours = (now.getTime() - last.endedAt.getTime()) / 3_600_000
  return hours > MOST_HOURS ? `Strongroom has not looked since ${ended}` : null
}
