import { toAppError } from '../errors.ts'
import { type OpenRun, plain, type Runs } from '../jobs/runs.ts'
import type { RunEnd } from '../runs.ts'
import { type Scrubbed, type ScrubParts, scrub } from '../sync/scrub.ts'

/** One pass of the scrub; it is a run in the history as soon as there is a file to read. */
export async function scrubAsRun(
  parts: ScrubParts,
  runs: Runs,
  signal: AbortSignal,
): Promise<Scrubbed> {
  let open: OpenRun | null = null
  let bytes = 0
  const next: ScrubParts['next'] = async () => {
    const files = await parts.next()
    if (files.length > 0) open ??= await runs.begin(kind, 'schedule')
    return files
  }
  const note: ScrubParts['note'] = async (file, damage) => {
    await parts.note(file, damage)
    bytes += file.sizeBytes
    const { mediaId, archivePath, sizeBytes } = file
    if (damage === null) return
    const about = { itemId: file.item, mediaId, archivePath, sizeBytes }
    open?.event({ ...about, outcome: 'damaged', reason: damage })
  }
  const end = (how: Pick<RunEnd, 'status' | 'items' | 'error'>) => open?.end({ ...how, bytes })
  try {
    const done = await scrub({ ...parts, next, note }, signal)
    const { read, ...found } = done
    const status = signal.aborted ? 'cancelled' : done.lost > 0 ? 'partial' : 'success'
    await end({ status, items: { read, ...found }, error: null })
    return done
  } catch (thrown) {
    const error = toAppError(thrown)
    const status = signal.aborted ? 'cancelled' : 'failed'
    await end({ status, items: {}, error: signal.aborted ? null : plain(error) })
    throw thrown
  }
}

const kind = { job: 'scrub', mode: 'live', alone: false } as const
