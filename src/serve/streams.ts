import { AppError } from '../errors.ts'
import type { TokenClaims } from './token.ts'

/** What one user, and one address, may receive at one time; 0 for any number. */
export interface StreamLimits {
  streamsPerUser: number
  streamsPerClient: number
  /** How long who is over them waits for his turn. */
  patienceMs?: number
}

/** Parallel answers to one token that count as one stream: players and download programs split a file into as many. */
const answersPerStream = 16
/** Long enough for pictures of one page to take turns, and shorter than the time to the first byte. */
const waitMs = 4_000

interface Order {
  claims: TokenClaims
  client: string
}

/** Gives the place back; a second call does nothing. */
export type Leave = () => void

export interface Streams {
  /**
   * Counts one answer in, waiting for its turn.
   *
   * @param whenGone asked only where he has to wait, for what aborts when the visitor left
   * @throws TOO_MANY_STREAMS when no place came free in time, or the visitor left
   */
  enter(order: Order, whenGone: () => AbortSignal): Leave | Promise<Leave>
}

/**
 * Makes the count of streams. Tokens are counted, not requests, because what lies between splits one download into many
 * requests; the claims of a token are one object for as long as the token is remembered.
 */
export function createStreams(limits: StreamLimits): Streams {
  const { patienceMs = waitMs } = limits
  const users = createTally<number>(limits.streamsPerUser)
  const clients = createTally<string>(limits.streamsPerClient)
  const waiting = new Set<() => boolean>()

  const fits = ({ claims, client }: Order) =>
    users.fits(claims.userId, claims) && clients.fits(client, claims)

  const take = ({ claims, client }: Order): Leave => {
    users.add(claims.userId, claims, 1)
    clients.add(client, claims, 1)
    let left = false
    return () => {
      if (left) return
      left = true
      users.add(claims.userId, claims, -1)
      clients.add(client, claims, -1)
      for (const tryAgain of waiting) if (tryAgain()) waiting.delete(tryAgain)
    }
  }

  const wait = (order: Order, gone: AbortSignal) =>
    new Promise<Leave>((resolve, reject) => {
      const tryAgain = () => {
        if (!fits(order)) return false
        stop()
        resolve(take(order))
        return true
      }
      const giveUp = () => {
        stop()
        reject(new AppError('TOO_MANY_STREAMS', 'too many streams at one time'))
      }
      const timer = setTimeout(giveUp, patienceMs)
      const stop = () => {
        clearTimeout(timer)
        waiting.delete(tryAgain)
        gone.removeEventListener('abort', giveUp)
      }
      waiting.add(tryAgain)
      gone.addEventListener('abort', giveUp, { once: true })
    })

  return { enter: (order, whenGone) => (fits(order) ? take(order) : wait(order, whenGone())) }
}

/** How many answers each token of each key has under way. */
function createTally<Key>(limit: number) {
  const held = new Map<Key, Map<TokenClaims, number>>()
  return {
    fits(key: Key, claims: TokenClaims): boolean {
      const tokens = held.get(key)
      if (limit === 0 || tokens === undefined) return true
      const answers = tokens.get(claims) ?? 0
      if (answers % answersPerStream !== 0) return true
      const streams = [...tokens.values()].reduce(
        (sum, count) => sum + Math.ceil(count / answersPerStream),
        0,
      )
      return streams < limit
    },
    add(key: Key, claims: TokenClaims, change: 1 | -1): void {
      const tokens = held.get(key) ?? new Map<TokenClaims, number>()
      held.set(key, tokens)
      const answers = (tokens.get(claims) ?? 0) + change
      if (answers > 0) tokens.set(claims, answers)
      else tokens.delete(claims)
      if (tokens.size === 0) held.delete(key)
    },
  }
}
