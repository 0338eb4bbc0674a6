/** Asks checker.py, which runs beside the test and shares no code with anything here. */
import { spawn } from 'node:child_process'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import type { Scope } from '../support/scopes.ts'

/** What is wrong: its name, as docs/safety.md lists them, and a sentence. */
export type Violation = [name: string, sentence: string]

export interface Checker {
  /** @param moment `settled` once faults are over and the program says that it is done */
  judge(moment: 'instant' | 'settled', folder: string): Promise<Violation[]>
}

const PYTHON = '/usr/bin/python3'
const PROGRAM = join(import.meta.dirname, 'checker.py')

/** Starts a checker that ends with the test. */
export function openChecker(t: Scope): Checker {
  if (!existsSync(PYTHON)) throw new Error(`${PYTHON} is missing: run scripts/setup`)
  const child = spawn(PYTHON, [PROGRAM], { stdio: ['pipe', 'pipe', 'inherit'] })
  const waiting: { answer: (line: string) => void; fail: (error: Error) => void }[] = []
  createInterface({ input: child.stdout }).on('line', (line) => waiting.shift()?.answer(line))
  child.once('exit', () => {
    for (const { fail } of waiting.splice(0)) fail(new Error('the checker ended'))
  })
  t.after(() => {
    child.stdin.end()
  })
  return {
    async judge(moment, folder) {
      const line = await new Promise<string>((answer, fail) => {
        waiting.push({ answer, fail })
        child.stdin.write(`${moment} ${folder}\n`)
      })
      return JSON.parse(line) as Violation[]
    },
  }
}
