import { createHash, timingSafeEqual } from 'node:crypto'
import { AppError } from '../errors.ts'
import { createFailedTokens } from '../failed-tokens.ts'
import { networkOf } from '../ip-address.ts'

/** Lets in whoever knows ADMIN_TOKEN, however many behind the same address, or anywhere, do not. */
export interface Doorkeeper {
  /**
   * @param client canonical address; all of an IPv6 /64 count as one
   * @throws ADMIN_DENIED for another token, TOO_MANY_LOGINS instead after ten of them within a minute
   */
  admit(client: string, given: string): void
}

/** @param options.nowMs a clock that only goes forward */
export function createDoorkeeper({
  token,
  nowMs = () => performance.now(),
}: {
  token: string
  nowMs?: () => number
}): Doorkeeper {
  const right = digestOf(token)
  const failed = createFailedTokens({ perMinute: 10, nowMs })
  return {
    admit(client, given) {
      // Digests are of one length, and nothing follows from where they differ.
      if (timingSafeEqual(digestOf(given), right)) return
      if (failed.fail(networkOf(client)) === null)
        throw new AppError('ADMIN_DENIED', 'that is not ADMIN_TOKEN')
      throw new AppError('TOO_MANY_LOGINS', 'too many wrong tokens came from this address')
    },
  }
}

function digestOf(text: string): Buffer {
  return createHash('sha256').update(text).digest()
}
