import { toAppError } from '../errors.ts'
import type { Log } from '../log.ts'
import type { Condition, Trouble } from './standing.ts'

/** Looks at a part of the service. `unsure` changes nothing; so does whatever it throws. */
export type Look = (signal: AbortSignal) => Promise<Trouble | null | 'unsure'>

export interface Watched extends Omit<Condition, 'trouble'> {
  everyMs: number
  look: Look
}

interface Told {
  tell: (condition: Condition) => void
  signal: AbortSignal
  log: Log
}

/** Looks again and again until `signal` aborts. */
export async function watchParts(
  parts: readonly Watched[],
  on: Told & { wait: (ms: number, signal: AbortSignal) => Promise<void> },
): Promise<void> {
  const watchOne = async (part: Watched) => {
    while (!on.signal.aborted) {
      await lookAt(part, on)
      await on.wait(part.everyMs, on.signal)
    }
  }
  await Promise.all(parts.map(watchOne))
}

/** Looks once, and tells what it finds. Never throws. */
export async function lookAt(
  { everyMs: _, look, ...part }: Watched,
  { tell, signal, log }: Told,
): Promise<void> {
  try {
    const trouble = await look(signal)
    if (trouble !== 'unsure' && !signal.aborted) tell({ ...part, trouble })
  } catch (error) {
    log.debug({ subject: part.subject, error: toAppError(error) }, 'could not be looked at')
  }
}
