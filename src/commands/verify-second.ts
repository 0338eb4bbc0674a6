import type { Config } from '../config.ts'
import { movedAfter } from '../db/second-files.ts'
import type { Host, Session } from '../host.ts'
import type { JobKind } from '../jobs/runs.ts'
import { requireSecond, secondLooks } from '../open/second.ts'
import { openMigrated, openSecondBucket } from '../open.ts'
import {
  type SecondTrouble,
  type SecondVerified,
  type VerifySecondParts,
  verifySecond,
} from '../sync/verify-second.ts'
import { bytesText, things } from '../units.ts'
import { asRun } from './as-run.ts'
import { notMoved } from './recall.ts'
import { EXIT_DAMAGED, EXIT_STOPPED } from './verify.ts'

const kind: JobKind = { job: 'verify', mode: 'live', alone: false }
const PAGE = 100

const words: Record<SecondTrouble, string> = {
  missing: 'missing',
  differs: 'not what was archived',
  sidecar: 'without a good sidecar',
  elsewhere: 'in another bucket',
  unreadable: 'unreadable',
}

interface Done {
  tally: Record<SecondVerified['verdict'], number>
  bytes: number
  stopped: boolean
}

/**
 * `strongroom verify --second`: reads what was moved to the second bucket again, and names each that is not there as it was
 * archived.
 *
 * @returns the exit code
 */
export async function verifySecondCommand(
  host: Host,
  config: Config,
  run: Pick<Session, 'program' | 'drain'> & { mediaId: number | null; json: boolean },
): Promise<number> {
  const { program, json, drain, mediaId } = run
  const bucket = requireSecond(openSecondBucket(config, program))
  const database = await openMigrated(config, program)
  const parts: VerifySecondParts = {
    ...secondLooks(bucket, { database, log: program.log }),
    async next(after) {
      const files = await movedAfter(database, { after, limit: PAGE, mediaId })
      return files.map((file) => ({ ...file, read: true }))
    },
    pace: async () => {},
  }
  if (
    mediaId !== null &&
    (await movedAfter(database, { after: 0, limit: 1, mediaId })).length === 0
  )
    throw notMoved(`media ${mediaId} has`)
  const work = async (): Promise<Done> => {
    const tally = { whole: 0, missing: 0, differs: 0, sidecar: 0, elsewhere: 0, unreadable: 0 }
    let bytes = 0
    try {
      for await (const verified of verifySecond(parts, drain)) {
        tally[verified.verdict] += 1
        bytes += verified.file.copy.sizeBytes
        if (verified.verdict === 'whole') continue
        host.out(`${json ? record(verified) : line(verified)}\n`)
      }
    } catch (error) {
      if (!drain.aborted) throw error
    }
    return { tally, bytes, stopped: drain.aborted }
  }
  const done = await asRun(config, { program, drain, database, kind }, work, (told) => ({
    items: told.tally,
    bytes: told.bytes,
    status: badOf(told) === 0 ? 'success' : 'partial',
  }))
  const { tally, ...rest } = done
  host.out(`${json ? JSON.stringify({ ...tally, ...rest }) : summary(done)}\n`)
  if (badOf(done) > 0) return EXIT_DAMAGED
  return done.stopped ? EXIT_STOPPED : 0
}

function badOf({ tally: { whole: _, ...troubles } }: Done): number {
  return Object.values(troubles).reduce((sum, count) => sum + count, 0)
}

function record({ file, verdict, reason }: SecondVerified): string {
  const { mediaId, item, copy } = file
  return JSON.stringify({ verdict, media_id: mediaId, item, key: copy.key, reason })
}

function line({ file, verdict, reason }: SecondVerified): string {
  return `${verdict}: media ${file.mediaId}, ${file.copy.bucketId}/${file.copy.key}: ${reason}`
}

function summary(done: Done): string {
  const { tally, bytes, stopped } = done
  const bad = Object.entries(words).filter(([trouble]) => tally[trouble as SecondTrouble] > 0)
  const sum = tally.whole + badOf(done)
  return [
    `${things(sum, 'moved file')} checked (${bytesText(bytes)})`,
    ...bad.map(([trouble, says]) => `${tally[trouble as SecondTrouble]} ${says}`),
    ...(sum > 0 && sum === tally.whole ? ['all as they were archived'] : []),
    ...(stopped ? ['stopped before the end'] : []),
  ].join(', ')
}
