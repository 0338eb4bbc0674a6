import { toAppError } from '../errors.ts'
import { type JobKind, type OpenRun, plain, type Runs } from '../jobs/runs.ts'
import type { RunEnd } from '../runs.ts'

/** A pass that is under way. */
export interface Pass {
  /** Told what is to be done next, and returns it; with the first of it this becomes a run in the history. */
  due<Files extends readonly unknown[]>(files: Files): Promise<Files>
  event: OpenRun['event']
  /** Of what was read so far. */
  bytes: number
}

/**
 * Does what is due, again and again with nothing to do in between; it is a run only when there was something.
 *
 * @param endOf what the run's end tells of what was done
 */
export async function passAsRun<Done>(
  { runs, kind, signal }: { runs: Runs; kind: JobKind; signal: AbortSignal },
  work: (pass: Pass) => Promise<Done>,
  endOf: (done: Done) => Pick<RunEnd, 'status' | 'items'>,
): Promise<Done> {
  const begun: { open: OpenRun | null } = { open: null }
  const pass: Pass = {
    bytes: 0,
    async due(files) {
      if (files.length > 0) begun.open ??= await runs.begin(kind, 'schedule')
      return files
    },
    event: (event) => begun.open?.event(event),
  }
  const end = (how: Pick<RunEnd, 'status' | 'items' | 'error'>) =>
    begun.open?.end({ ...how, bytes: pass.bytes })
  try {
    const done = await work(pass)
    const { status, items } = endOf(done)
    await end({ status: signal.aborted ? 'cancelled' : status, items, error: null })
    return done
  } catch (thrown) {
    if (signal.aborted) await end({ status: 'cancelled', items: {}, error: null })
    else await end({ status: 'failed', items: {}, error: plain(toAppError(thrown)) })
    throw thrown
  }
}
