import { createHash, randomBytes, timingSafeEqual } from 'node:crypto'

/** One browser that is let in. */
export interface Session {
  /** Comes back with every form; a page of a stranger cannot know it. */
  csrf: string
  /** What the next page says first, once. */
  notice: Notice | null
  /** For what was begun in it and goes on. To ask is no use of it. */
  isOver(): boolean
}

export interface Notice {
  tone: 'good' | 'bad'
  text: string
  /** More to it: what to do, or a link to copy. */
  more: string | null
}

export interface Sessions {
  /** @returns what the cookie holds; it is kept here as a digest alone */
  open(): string
  /** @returns null for one that is unknown, or was not used for too long */
  find(cookie: string): Session | null
  close(cookie: string): void
}

const IDLE_MS = 12 * 3_600_000
/** The one that was not used for longest makes room. */
const MOST = 100

/** Sessions live in the memory of this process: a restart ends them all. @param nowMs a clock that only goes forward */
export function createSessions(nowMs = () => performance.now()): Sessions {
  // In the order of their last use.
  const sessions = new Map<string, { session: Session; usedAt: number }>()
  const forgetIdle = () => {
    for (const [key, { usedAt }] of sessions) {
      if (nowMs() - usedAt < IDLE_MS && sessions.size <= MOST) return
      sessions.delete(key)
    }
  }
  return {
    open() {
      const cookie = randomBytes(32).toString('base64url')
      const key = keyOf(cookie)
      const csrf = randomBytes(32).toString('base64url')
      const isOver = () => {
        forgetIdle()
        return !sessions.has(key)
      }
      sessions.set(key, { session: { csrf, notice: null, isOver }, usedAt: nowMs() })
      forgetIdle()
      return cookie
    },
    find(cookie) {
      forgetIdle()
      const key = keyOf(cookie)
      const known = sessions.get(key)
      if (known === undefined) return null
      sessions.delete(key)
      sessions.set(key, { ...known, usedAt: nowMs() })
      return known.session
    },
    close(cookie) {
      sessions.delete(keyOf(cookie))
    },
  }
}

/** Whether a form was made for this session. */
export function isOwnForm({ csrf }: Session, given: unknown): boolean {
  if (typeof given !== 'string') return false
  const [right, other] = [Buffer.from(csrf), Buffer.from(given)]
  return right.length === other.length && timingSafeEqual(right, other)
}

function keyOf(cookie: string): string {
  return createHash('sha256').update(cookie).digest('base64url')
}
