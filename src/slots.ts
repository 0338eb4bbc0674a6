import { AppError } from './errors.ts'

/** Places for so many at once; the others wait in order. */
export interface Slots {
  /** @returns gives the place back, to be called once; @throws CANCELLED while waiting */
  take(signal?: AbortSignal): Promise<() => void>
  /** The same where a promise would cost as much as the work: calls `begin` once there is a place, which may be at once. */
  wait(begin: () => void): void
  /** Gives back the place of one who waited, to be called once. */
  done(): void
}

export function createSlots(count: number): Slots {
  let free = count
  const waiting: (() => void)[] = []
  const giveBack = (): void => {
    const next = waiting.shift()
    if (next) next()
    else free += 1
  }
  async function take(signal?: AbortSignal): Promise<() => void> {
    if (signal?.aborted) throw new AppError('CANCELLED', 'stopped before it began')
    if (free > 0) {
      free -= 1
      return giveBack
    }
    return await new Promise((resolve, reject) => {
      const admit = (): void => {
        signal?.removeEventListener('abort', leave)
        resolve(giveBack)
      }
      const leave = (): void => {
        waiting.splice(waiting.indexOf(admit), 1)
        reject(new AppError('CANCELLED', 'stopped before it began'))
      }
      signal?.addEventListener('abort', leave, { once: true })
      waiting.push(admit)
    })
  }
  function wait(begin: () => void): void {
    if (free > 0) {
      free -= 1
      begin()
    } else waiting.push(begin)
  }
  return { take, wait, done: giveBack }
}
