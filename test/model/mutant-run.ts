/**
 * Runs explorations on the source with one mutant in it, or on the source as it is, and prints what was found as JSON. A
 * process of its own, because a module is loaded only once: `node test/model/mutant-run.ts <JSON of a MutantRun>`.
 */
import { readFileSync } from 'node:fs'
import { registerHooks } from 'node:module'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import type { Exploration } from './explorations.ts'
import { mutants, mutate } from './mutants.ts'

export interface MutantRun {
  /** Its name; null for none. */
  mutant: string | null
  exploration: Exploration
}

/** `found`: nothing, or every promise that was seen broken at one moment, and when. */
export interface MutantRunResult {
  mutated: boolean
  found: readonly string[]
  where: string | null
}

const ROOT = join(import.meta.dirname, '../..')

async function main({ mutant, exploration }: MutantRun): Promise<MutantRunResult> {
  let mutated = false
  if (mutant !== null) {
    const chosen = mutants.find(({ name }) => name === mutant)
    if (chosen === undefined) throw new Error(`there is no mutant "${mutant}"`)
    const path = join(ROOT, chosen.file)
    const source = mutate(readFileSync(path, 'utf8'), chosen)
    const target = pathToFileURL(path).href
    registerHooks({
      load(url, context, nextLoad) {
        if (url !== target) return nextLoad(url, context)
        mutated = true
        return { format: 'module-typescript', source, shortCircuit: true }
      },
    })
  }
  const { explore } = await import('./explorations.ts')
  const { Violation } = await import('./explore.ts')
  try {
    await explore(exploration)
    return { mutated, found: [], where: null }
  } catch (error) {
    if (!(error instanceof Violation)) throw error
    const { found, where } = error
    return { mutated, found, where }
  }
}

const [, , wanted = '{}'] = process.argv
console.log(JSON.stringify(await main(JSON.parse(wanted))))
