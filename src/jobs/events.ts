import { toAppError } from '../errors.ts'
import type { Log } from '../log.ts'
import type { RunEvent } from '../runs.ts'

/** Writes events in batches; the work that they tell of never waits for it. */
export interface EventWriter {
  add(event: RunEvent): void
  flush(): void
  /** Writes what is left; never throws. */
  close(): Promise<void>
}

const BATCH = 500
/** More than this waits only while the database is away; then the oldest go, because their items tell the same. */
const MOST_WAITING = 10_000

export function createEventWriter({
  write,
  log,
}: {
  write: (events: readonly RunEvent[]) => Promise<void>
  log: Log
}): EventWriter {
  let waiting: RunEvent[] = []
  let writing: Promise<void> | null = null
  const drain = async () => {
    while (waiting.length > 0) {
      const batch = waiting.slice(0, BATCH)
      try {
        await write(batch)
      } catch (error) {
        log.debug({ error: toAppError(error) }, 'events of the run could not be written')
        return
      }
      waiting = waiting.slice(batch.length)
    }
  }
  const flush = () => {
    writing ??= drain().finally(() => {
      writing = null
    })
    return writing
  }
  return {
    add(event) {
      waiting.push(event)
      // While a batch is being written the front must stay as it is.
      if (waiting.length > MOST_WAITING && writing === null) waiting = waiting.slice(-MOST_WAITING)
      if (waiting.length >= BATCH) void flush()
    },
    flush: () => void flush(),
    async close() {
      await flush()
      if (waiting.length > 0) await flush()
    },
  }
}
