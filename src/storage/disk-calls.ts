import { diskError } from './disk-errors.ts'
import type { DiskCalls, Order } from './disk-thread.js'
import type { DiskFailure } from './system-calls.js'
import { openThread } from './thread.ts'

/**
 * One for all disks. Node's own calls each wake one of its threads and this one afterwards, which costs more than what the
 * system does, and a step here takes several of them: the folders on the way, the file, its facts, its bytes.
 */
const thread = openThread<Order>(new URL('./disk-thread.js', import.meta.url))

/** Before anything is asked of it: it takes 50 ms to come up, beside whatever else a command begins with. */
export function startDiskThread(): void {
  thread.start()
}

/** Has the thread do it. @throws AppErrors as {@link diskError} makes them */
export async function call<Name extends keyof DiskCalls>(
  name: Name,
  asked: Parameters<DiskCalls[Name]>[0],
): Promise<Awaited<ReturnType<DiskCalls[Name]>>> {
  try {
    const done = await thread.ask({ ...asked, do: name } as Order)
    return done as Awaited<ReturnType<DiskCalls[Name]>>
  } catch (error) {
    const { step, path } = error as DiskFailure
    throw diskError(error, step, path)
  }
}
