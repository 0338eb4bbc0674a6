import type { Config } from '../config.ts'
import { toAppError } from '../errors.ts'
import type { Program } from '../open.ts'

/** What the checks of a doctor get. */
export interface Examined {
  config: Config
  program: Program
  report: Report
}

/** Collects findings as lines, the first failure's exit code, and what to do next. */
export interface Report {
  ok(what: string): void
  /** Works as it is, but could be better. */
  advise(what: string, remedy: readonly string[]): void
  fail(what: string, failure: { remedy: readonly string[]; exit: number; next?: string }): void
  /** Runs one group of checks; what it throws is its failure. @returns false when anything in it failed */
  section(name: string, check: () => Promise<void>): Promise<boolean>
  exit(): number
  /** The first thing to do for each failure, in the order in which they were found. */
  nextSteps(): string[]
}

/** @param out takes whole lines */
export function createReport(out: (text: string) => void): Report {
  const failures: { next: string; exit: number }[] = []
  const line = (mark: string, what: string, remedy: readonly string[]) =>
    out([`${mark} ${what}`, ...remedy.map((text) => `    ${text}`), ''].join('\n'))
  const fail: Report['fail'] = (what, { remedy, exit, next = remedy[0] ?? what }) => {
    line('FAIL', what, remedy)
    failures.push({ next, exit })
  }
  return {
    ok: (what) => line('ok  ', what, []),
    advise: (what, remedy) => line('note', what, remedy),
    fail,
    async section(name, check) {
      const before = failures.length
      try {
        await check()
      } catch (error) {
        const { message, hint, exit } = toAppError(error)
        fail(`${name}: ${message}`, { remedy: [hint], exit })
      }
      return failures.length === before
    },
    exit: () => failures[0]?.exit ?? 0,
    nextSteps: () => [...new Set(failures.map(({ next }) => next))],
  }
}
