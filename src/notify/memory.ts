import { toAppError } from '../errors.ts'
import type { Log } from '../log.ts'
import { createOrder } from './order.ts'
import { type Change, createStandings, type Failing, type Standings } from './standing.ts'

/** What people know to fail, beyond the end of a process. */
export interface ToldStore {
  /** By subject. */
  told(): Promise<ReadonlyMap<string, Failing>>
  /** Null once they know that it works again. */
  enterTold(subject: string, failing: Failing | null): Promise<void>
}

export interface Memory {
  /** What fails now; at first what earlier processes have told. */
  standings(): Promise<Standings>
  /**
   * @returns what is called as soon as people know of the change, so that no later process tells it again; it may be called
   *   by each channel, and after that of a later change
   */
  learning(subject: string, change: Change): () => void
  /** Waits until all that was learnt is entered. */
  close(): Promise<void>
}

/**
 * What was told is asked for before anything of this process can be, and once more when there is something to tell; without
 * an answer nothing is known, and in doubt a thing is told twice.
 */
export function createMemory(store: ToldStore | null, log: Log): Memory {
  const standings = createStandings()
  const ask = async (level: 'debug' | 'warn'): Promise<boolean> => {
    try {
      for (const [subject, failing] of (await store?.told()) ?? [])
        standings.recall(subject, failing)
      return true
    } catch (thrown) {
      log[level]({ error: toAppError(thrown) }, 'what was told before could not be read')
      return false
    }
  }
  // Before the first start there is no table for it.
  const first = ask('debug')
  let again: Promise<boolean> | null = null
  const inOrder = createOrder(log, 'what was told could not be entered; it may be told again')
  let changes = 0
  /** The newest change that people know of, by subject: an older one may be delivered after it. */
  const known = new Map<string, number>()
  return {
    async standings() {
      if (await first) return standings
      again ??= ask('warn')
      await again
      return standings
    },
    learning(subject, change) {
      changes += 1
      const turn = changes
      return () => {
        if (store === null || change.kind === 'same' || turn <= (known.get(subject) ?? 0)) return
        known.set(subject, turn)
        const failing = change.kind === 'began' ? change.failing : null
        void inOrder(() => store.enterTold(subject, failing))
      }
    },
    close: () => inOrder(async () => {}),
  }
}
