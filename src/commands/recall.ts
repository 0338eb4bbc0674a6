import type { Config } from '../config.ts'
import { type MovedFile, movedAfter, movedItems } from '../db/second-files.ts'
import { AppError } from '../errors.ts'
import type { Host, Session } from '../host.ts'
import type { JobKind } from '../jobs/runs.ts'
import { openSecond } from '../open/second.ts'
import { openLinks, openSync } from '../open.ts'
import { recallFile } from '../sync/recall.ts'
import { bytesText, things } from '../units.ts'
import { asRun } from './as-run.ts'
import { requireLive } from './require-live.ts'
import { EXIT_UNFINISHED } from './sync.ts'

const kind: JobKind = { job: 'recall', mode: 'live', alone: false }
const MOST_VERSIONS = 1_000

/** What is to be brought back. */
export interface Wanted {
  items: readonly number[]
  mediaId: number | null
}

/**
 * `strongroom recall`: brings moved files back from the second bucket.
 *
 * @returns the exit code: 75 where one of them stays there
 * @throws NOT_FOUND when one that was named is not moved
 */
export async function recallCommand(
  host: Host,
  config: Config,
  run: Pick<Session, 'program' | 'drain'> & { wanted: Wanted; json: boolean },
): Promise<number> {
  requireLive(config, 'recalling writes files')
  const { program, wanted, json, drain } = run
  const service = await openSync(config, program, openLinks(config, program))
  const { database, space } = service
  const parts = { ...openSecond(config, program, service), space }
  const files = await findMoved(service, wanted)
  const work = async () => {
    const done = { recalled: 0, refused: 0, bytes: 0 }
    for (const file of files) {
      drain.throwIfAborted()
      const outcome = await recallFile(parts, file, drain)
      host.out(json ? `${JSON.stringify(record(file, outcome))}\n` : text(file, outcome))
      if ('refused' in outcome) done.refused += 1
      else {
        done.recalled += 1
        done.bytes += outcome.bytes
      }
    }
    return done
  }
  const asked = { program, drain, database, kind }
  const { recalled, refused, bytes } = await asRun(config, asked, work, (done) => ({
    items: { recalled: done.recalled, refused: done.refused },
    bytes: done.bytes,
    status: done.refused === 0 ? 'success' : 'partial',
  }))
  if (!json) host.out(`${things(recalled, 'file')} brought back, ${bytesText(bytes)}\n`)
  return refused === 0 ? 0 : EXIT_UNFINISHED
}

type Outcome = Awaited<ReturnType<typeof recallFile>>

async function findMoved(
  { database }: Pick<Awaited<ReturnType<typeof openSync>>, 'database'>,
  { items, mediaId }: Wanted,
): Promise<MovedFile[]> {
  if (mediaId !== null) {
    const found = await movedAfter(database, { after: 0, limit: MOST_VERSIONS, mediaId })
    if (found.length === 0) throw notMoved(`media ${mediaId} has`)
    return found
  }
  const found = await movedItems(database, items)
  const missing = items.find((item) => !found.some((file) => file.item === item))
  if (missing !== undefined) throw notMoved(`item ${missing} has`)
  return found
}

export function notMoved(who: string): AppError {
  return new AppError('NOT_FOUND', `${who} no file in the second bucket that is not here, too`, {
    hint: '"strongroom why ID" says where a medium is',
  })
}

function record({ item, mediaId, archivePath: path }: MovedFile, outcome: Outcome) {
  const refused = 'refused' in outcome ? outcome.refused : null
  return { item, media_id: mediaId, path, recalled: refused === null, reason: refused }
}

function text({ mediaId, archivePath }: MovedFile, outcome: Outcome): string {
  const said = 'refused' in outcome ? outcome.refused : `back, ${bytesText(outcome.bytes)}`
  return `media ${mediaId}, ${archivePath}: ${said}\n`
}
