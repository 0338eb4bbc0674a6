import { toAppError } from '../errors.ts'
import type { Log } from '../log.ts'
import type { Condition, Trouble } from './standing.ts'

/** Looks at a part of the service. `unsure` changes nothing; so does whatever it throws. */
export type Look = (signal: AbortSignal) => Promise<Trouble | null | 'unsure'>

export interface Watched {
  subject: string
  /** What is told when it is well again. */
  recovered: string
  everyMs: number
  look: Look
}

/** Looks again and again until `signal` aborts. */
export async function watchParts(
  parts: readonly Watched[],
  on: {
    tell: (condition: Condition) => void
    wait: (ms: number, signal: AbortSignal) => Promise<void>
    signal: AbortSignal
    log: Log
  },
): Promise<void> {
  const watchOne = async ({ subject, recovered, everyMs, look }: Watched) => {
    while (!on.signal.aborted) {
      try {
        const trouble = await look(on.signal)
        if (trouble !== 'unsure' && !on.signal.aborted) on.tell({ subject, trouble, recovered })
      } catch (error) {
        on.log.debug({ subject, error: toAppError(error) }, 'could not be looked at')
      }
      await on.wait(everyMs, on.signal)
    }
  }
  await Promise.all(parts.map(watchOne))
}
