import type { Config } from '../config.ts'
import { type AppError, toAppError } from '../errors.ts'
import type { Host, Session } from '../host.ts'
import { openShadowRun } from '../open/shadow.ts'
import { type Links, openLinks } from '../open.ts'
import { runShadow, type ShadowRun } from '../shadow/run.ts'
import { bytesText } from '../units.ts'
import { EXIT_UNFINISHED } from './sync.ts'

type Run = Pick<Session, 'program' | 'drain' | 'abort'>

/** `strongroom sync --once` in shadow mode. @returns the exit code */
export async function shadowOnce(
  host: Host,
  config: Config,
  run: Run & { json: boolean },
): Promise<number> {
  const parts = await openShadowRun(config, run.program, openLinks(config, run.program))
  const ended = await runShadow(parts, run)
  host.out(run.json ? `${JSON.stringify(recordOf(ended))}\n` : `${textOf(ended)}\n`)
  if (ended.stoppedBy !== null) throw ended.stoppedBy
  if (run.drain.aborted) return 1
  const { missing, retry } = ended.items
  return missing + retry > 0 ? EXIT_UNFINISHED : 0
}

/**
 * What `start` repeats in shadow mode; opened at the first run that finds everything there.
 *
 * @returns one run, which answers with what stopped it
 */
export function createShadow(
  config: Config,
  run: Run & { links: Links },
): () => Promise<AppError | null> {
  let opened: Awaited<ReturnType<typeof openShadowRun>> | null = null
  const { log } = run.program
  return async () => {
    try {
      opened ??= await openShadowRun(config, run.program, run.links)
      const ended = await runShadow(opened, run)
      log.info({ summary: recordOf(ended) }, 'shadow run finished')
      if (ended.stoppedBy !== null) throw ended.stoppedBy
      return null
    } catch (thrown) {
      const error = toAppError(thrown)
      log.error({ error }, 'the shadow run stopped early')
      return error
    }
  }
}

function recordOf({ items, bytes, stoppedBy }: ShadowRun) {
  return { shadow: true, ...items, bytes, stopped_by: stoppedBy?.code ?? null }
}

const words: readonly [keyof ShadowRun['items'], string][] = [
  ['archive', 'would be archived'],
  ['reject', 'rejected'],
  ['hold', 'held'],
  ['late', 'gone before they could be read: the other service was faster'],
  ['missing', 'missing in the bucket'],
  ['retry', 'to be tried again'],
]

function textOf({ items, bytes }: ShadowRun): string {
  const counts = words.filter(([verdict]) => items[verdict] > 0)
  const told = counts.map(([verdict, word]) => `${items[verdict]} ${word}`)
  const what = told.length === 0 ? 'nothing new to look at' : told.join(', ')
  return `shadow: ${what} (${bytesText(bytes)} read); nothing was written but in SHADOW_DIR`
}
