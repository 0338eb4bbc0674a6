import { test } from 'node:test'
import { everyKill } from './explore.ts'
import { scenarios } from './scenarios.ts'
import { replay, seed } from './seed.ts'

/** Every second story, from the `first`-th on: two files of them are told at the same time. */
export function testKills(first: 0 | 1): void {
  for (const [number, scenario] of scenarios.entries()) {
    if (number % 2 !== first) continue
    test(`kills break no promise: ${scenario.name}`, async (t) => {
      t.diagnostic(replay(t))
      const budget = { states: 4, recoveries: 1, seed, startup: number === 0 }
      t.diagnostic(JSON.stringify(await everyKill(scenario, budget)))
    })
  }
}
