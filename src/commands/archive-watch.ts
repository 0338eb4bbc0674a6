import { toAppError } from '../errors.ts'
import type { Program } from '../open.ts'
import { lookAgain } from '../waiting.ts'

/** How soon the log says that the archive went away or came back. */
const lookMs = 2_000
/** A disk that hangs must not keep a server from starting. */
const firstLookMs = 3_000

/**
 * Says in the log whether the archive of a server that only reads it is there: at the start, and again when that changes.
 * Nothing else depends on it, because every request looks for itself.
 *
 * @param require throws what is wrong with the archive now
 * @param options.everyMs time between two looks; a look that hangs is waited for
 */
export async function watchArchive(
  require: () => Promise<void>,
  { program, everyMs = lookMs }: { program: Pick<Program, 'log' | 'stops'>; everyMs?: number },
): Promise<void> {
  const { log, stops } = program
  const stop = new AbortController()
  stops.push('archive watch', async () => stop.abort(), 1_000)
  let isThere = true
  const look = async () => {
    const error = await require().then(
      () => null,
      (thrown: unknown) => toAppError(thrown),
    )
    if (stop.signal.aborted || (error === null) === isThere) return
    isThere = error === null
    if (error === null) log.info({}, 'ARCHIVE_DIR holds the archive again')
    else log.error({ error }, 'ARCHIVE_DIR holds no archive; it is waited for')
  }
  await lookAgain(look, { everyMs, firstMs: firstLookMs }, stop.signal)
}
