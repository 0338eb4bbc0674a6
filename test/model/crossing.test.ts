import { test } from 'node:test'
import { crossedStories, everyCrossing } from './stall.ts'

for (const scenario of crossedStories) {
  for (const paused of [false, true]) {
    const what = paused ? 'whose machine was paused' : 'that slept'
    test(`a worker ${what} wakes in the midst of another one's work: ${scenario.name}`, async (t) => {
      t.diagnostic(JSON.stringify(await everyCrossing(scenario, { paused, stride: 17 })))
    })
  }
}
