import { AppError } from '../errors.ts'
import type { Database } from './connect.ts'

/** Runs a statement. */
export type Ask = Database['run']

interface Waiting<Question, Answer> {
  question: Question
  told: PromiseWithResolvers<Answer>
}

/** What one statement takes at most; its arrays and locks stay small. */
const MOST = 64

/**
 * Group commit: what several callers ask while an earlier statement is under way goes out as one, which costs little more
 * than one of them alone. Each is told its own answer. Where a statement for several fails, whatever the reason is, each is
 * asked for alone, so that a row that the database refuses, or that another transaction holds, concerns nobody else.
 *
 * @param ask `together` runs a statement for several, `alone` one for a single question
 * @param answer one statement, which may be repeated without harm; its answers in the order of the questions, undefined for
 *   those of several that must be asked for alone
 */
export function createGroup<Question, Answer>(
  ask: { together: Ask; alone: Ask },
  answer: (questions: readonly Question[], ask: Ask) => Promise<readonly (Answer | undefined)[]>,
): (question: Question) => Promise<Answer> {
  let waiting: Waiting<Question, Answer>[] = []
  let isAsking = false

  const tell = async (asked: readonly Waiting<Question, Answer>[]): Promise<void> => {
    const questions = asked.map(({ question }) => question)
    try {
      const answers = await answer(questions, asked.length === 1 ? ask.alone : ask.together)
      for (const [at, one] of asked.entries()) {
        const found = answers[at]
        if (found !== undefined) one.told.resolve(found)
        // Nobody waits for it: it may hold still for long.
        else if (asked.length > 1) void tell([one])
        else one.told.reject(new AppError('INTERNAL', 'a statement for one told nothing of it'))
      }
    } catch (error) {
      if (asked.length === 1) asked[0]?.told.reject(error)
      else for (const one of asked) void tell([one])
    }
  }
  const askAll = async () => {
    isAsking = true
    // Those who are about to ask in this very moment go along.
    await null
    while (waiting.length > 0) {
      const next = waiting.slice(0, MOST)
      waiting = waiting.slice(MOST)
      await tell(next)
    }
    isAsking = false
  }
  return (question) => {
    const told = Promise.withResolvers<Answer>()
    waiting.push({ question, told })
    if (!isAsking) void askAll()
    return told.promise
  }
}
