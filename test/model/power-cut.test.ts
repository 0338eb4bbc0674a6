import { test } from 'node:test'
import { everyPowerCut } from './explore.ts'
import { scenarios } from './scenarios.ts'
import { replay, seed } from './seed.ts'

for (const [number, scenario] of scenarios.entries()) {
  test(`power cuts break no promise: ${scenario.name}`, async (t) => {
    t.diagnostic(replay(t))
    const budget = { states: 64, recoveries: 5, seed, startup: number === 0 }
    const found = await everyPowerCut(scenario, budget)
    t.diagnostic(JSON.stringify(found))
  })
}
