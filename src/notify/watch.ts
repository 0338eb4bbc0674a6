import { toAppError } from '../errors.ts'
import type { Log } from '../log.ts'
import type { Condition, Trouble } from './standing.ts'

/** Looks at a part of the service. `unsure` changes nothing; so does whatever it throws. */
export type Look = (signal: AbortSignal) => Promise<Trouble | null | 'unsure'>

export interface Watched extends Omit<Condition, 'trouble'> {
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
  const watchOne = async ({ everyMs, look, ...part }: Watched) => {
    while (!on.signal.aborted) {
      try {
        const trouble = await look(on.signal)
        if (trouble !== 'unsure' && !on.signal.aborted) on.tell({ ...part, trouble })
      } catch (error) {
        on.log.debug({ subject: part.subject, error: toAppError(error) }, 'could not be looked at')
      }
      await on.wait(everyMs, on.signal)
    }
  }
  await Promise.all(parts.map(watchOne))
}
