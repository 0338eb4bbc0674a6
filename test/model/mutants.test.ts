import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import { promisify } from 'node:util'
import { type Exploration, explore } from './explorations.ts'
import type { MutantRunResult } from './mutant-run.ts'
import { mutants } from './mutants.ts'
import { mutationsPage } from './mutations-page.ts'

const ROOT = join(import.meta.dirname, '../..')

describe('one step less, or in the wrong place, is caught', { concurrency: 2 }, () => {
  for (const { name, caught, promise } of mutants) {
    test(name, async (t) => {
      const { mutated, found, where } = await runMutant(name, caught)
      assert.ok(mutated, 'the file with the mutant was loaded')
      t.diagnostic(`${found[0] ?? 'nothing'} (${where})`)
      assert.ok(
        found.some((sentence) => sentence.startsWith(`${promise}:`)),
        `${promise} was not seen broken, but: ${found.join('; ') || 'nothing'}`,
      )
    })
  }
})

// Kills, power cuts and stalls are explored in the same way, seed and all, by the model's own tests.
test('the source as it is breaks no promise under the faults that catch mutants', async () => {
  const faults = mutants.map(({ caught }) => caught).filter(({ by }) => by === 'fault')
  const distinct = new Map(faults.map((exploration) => [JSON.stringify(exploration), exploration]))
  assert.ok(distinct.size > 0)
  for (const exploration of distinct.values()) await explore(exploration)
})

test('docs/mutations.md tells of these very mutants', () => {
  const page = readFileSync(join(ROOT, 'docs/mutations.md'), 'utf8')
  assert.equal(page, mutationsPage(), 'run: node test/model/mutations-page.ts')
})

async function runMutant(mutant: string, exploration: Exploration): Promise<MutantRunResult> {
  const program = join(import.meta.dirname, 'mutant-run.ts')
  const { stdout } = await promisify(execFile)(
    process.execPath,
    [program, JSON.stringify({ mutant, exploration })],
    // A mutant's lines must not be taken for the source's; Node hands this variable on unless it is named.
    { env: { PATH: process.env.PATH, NODE_V8_COVERAGE: undefined }, maxBuffer: 64 * 1024 * 1024 },
  )
  return JSON.parse(stdout) as MutantRunResult
}
