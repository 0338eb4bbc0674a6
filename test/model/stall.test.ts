import { test } from 'node:test'
import { everyStall, stallStories } from './stall.ts'

for (const { name, scenario, ...options } of stallStories) {
  test(`a worker that slept too long changes nothing: ${name}`, async (t) => {
    t.diagnostic(JSON.stringify(await everyStall(scenario, options)))
  })
  test(`a worker whose machine was paused too long changes nothing: ${name}`, async (t) => {
    t.diagnostic(JSON.stringify(await everyStall(scenario, { ...options, paused: true })))
  })
}
