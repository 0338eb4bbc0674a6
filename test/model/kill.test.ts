import { test } from 'node:test'
import { everyKill } from './explore.ts'
import { scenarios } from './scenarios.ts'
import { replay, seed } from './seed.ts'

for (const [number, scenario] of scenarios.entries()) {
  test(`kills break no promise: ${scenario.name}`, async (t) => {
    t.diagnostic(replay(t))
    const budget = { states: 2, recoveries: 1, seed, startup: number === 0 }
    const found = await everyKill(scenario, budget)
    t.diagnostic(JSON.stringify(found))
  })
}
