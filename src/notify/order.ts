import { toAppError } from '../errors.ts'
import type { Log } from '../log.ts'

/** What happens one after the other, however long each takes; `text` is logged of what fails. */
export function createOrder(log: Log, text: string): (work: () => Promise<void>) => Promise<void> {
  let last: Promise<void> = Promise.resolve()
  return (work) => {
    last = last.then(work).catch((thrown: unknown) => {
      log.warn({ error: toAppError(thrown) }, text)
    })
    return last
  }
}
