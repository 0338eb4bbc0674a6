import type { JobKind, Runs } from '../jobs/runs.ts'
import { type VerifySecondParts, verifySecond } from '../sync/verify-second.ts'
import { passAsRun } from './pass-as-run.ts'

const kind: JobKind = { job: 'verify', mode: 'live', alone: false }

interface Seen {
  seen: number
  /** Of them those whose bytes were read, too. */
  read: number
  damaged: number
}

/** One look at what is due in the second bucket. */
export function scrubSecondAsRun(
  parts: VerifySecondParts,
  runs: Runs,
  signal: AbortSignal,
): Promise<Seen> {
  return passAsRun(
    { runs, kind, signal },
    async (pass) => {
      const done: Seen = { seen: 0, read: 0, damaged: 0 }
      const next: VerifySecondParts['next'] = async (after) => pass.due(await parts.next(after))
      const all = verifySecond({ ...parts, next }, signal)
      for await (const { file, verdict, reason, read } of all) {
        const { item: itemId, mediaId, archivePath, copy } = file
        const { key, sizeBytes } = copy
        done.seen += 1
        if (read) {
          done.read += 1
          pass.bytes += sizeBytes
        }
        if (verdict === 'whole') continue
        done.damaged += 1
        const damage = `${verdict}: ${reason}`
        const told = { item: itemId, media: mediaId, key, damage }
        parts.log.error(told, 'a moved file is not what was archived')
        pass.event({ itemId, mediaId, archivePath, sizeBytes, outcome: 'damaged', reason: damage })
      }
      if (done.seen > 0) parts.log.info({ ...done }, 'looked into the second bucket')
      return done
    },
    (done) => ({ status: done.damaged > 0 ? 'partial' : 'success', items: { ...done } }),
  )
}
