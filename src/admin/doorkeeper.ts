import { createHash, timingSafeEqual } from 'node:crypto'
import { AppError } from '../errors.ts'
import { networkOf } from '../ip-address.ts'

/** Lets in whoever knows ADMIN_TOKEN. */
export interface Doorkeeper {
  /**
   * @param client canonical address; all of an IPv6 /64 count as one
   * @throws ADMIN_DENIED for another token, TOO_MANY_LOGINS after ten of them within a minute, whatever comes then
   */
  admit(client: string, given: string): void
}

const MOST_FAILURES = 10
const WINDOW_MS = 60_000
/** A stranger with more networks than this is counted as one with all others. */
const MOST_CLIENTS = 10_000

/** @param options.nowMs a clock that only goes forward */
export function createDoorkeeper({
  token,
  nowMs = () => performance.now(),
}: {
  token: string
  nowMs?: () => number
}): Doorkeeper {
  const right = digestOf(token)
  // In the order in which they end, because all are equally long.
  const windows = new Map<string, { failures: number; endsAt: number }>()

  const forgetEnded = () => {
    for (const [client, { endsAt }] of windows) {
      if (endsAt > nowMs()) return
      windows.delete(client)
    }
  }
  const windowOf = (client: string) => {
    const known = windows.get(client)
    if (known !== undefined) return known
    const opened = { failures: 0, endsAt: nowMs() + WINDOW_MS }
    windows.set(client, opened)
    return opened
  }
  return {
    admit(client, given) {
      forgetEnded()
      const network = networkOf(client)
      const isRoom = windows.has(network) || windows.size < MOST_CLIENTS
      const key = isRoom ? network : ''
      if ((windows.get(key)?.failures ?? 0) >= MOST_FAILURES)
        throw new AppError('TOO_MANY_LOGINS', 'too many wrong tokens came from this address')
      // Digests are of one length, and nothing follows from where they differ.
      if (timingSafeEqual(digestOf(given), right)) return
      windowOf(key).failures += 1
      throw new AppError('ADMIN_DENIED', 'that is not ADMIN_TOKEN')
    },
  }
}

function digestOf(text: string): Buffer {
  return createHash('sha256').update(text).digest()
}
