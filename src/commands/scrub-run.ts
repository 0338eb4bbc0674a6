import type { JobKind, Runs } from '../jobs/runs.ts'
import { type Scrubbed, type ScrubParts, scrub } from '../sync/scrub.ts'
import { passAsRun } from './pass-as-run.ts'

const kind: JobKind = { job: 'scrub', mode: 'live', alone: false }

/** One pass of the scrub. */
export function scrubAsRun(parts: ScrubParts, runs: Runs, signal: AbortSignal): Promise<Scrubbed> {
  return passAsRun(
    { runs, kind, signal },
    (pass) => {
      const next: ScrubParts['next'] = async () => pass.due(await parts.next())
      const note: ScrubParts['note'] = async (file, damage) => {
        await parts.note(file, damage)
        const { item: itemId, mediaId, archivePath, sizeBytes } = file
        pass.bytes += sizeBytes
        if (damage === null) return
        pass.event({ itemId, mediaId, archivePath, sizeBytes, outcome: 'damaged', reason: damage })
      }
      return scrub({ ...parts, next, note }, signal)
    },
    (done) => ({ status: done.lost > 0 ? 'partial' : 'success', items: { ...done } }),
  )
}
