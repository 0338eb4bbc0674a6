import { test } from 'node:test'
import type { Scenario } from './explore.ts'
import { scenarioNamed, scenarios } from './scenarios.ts'
import { upload } from './sim-bucket.ts'
import { everyStall, type StallOptions } from './stall.ts'
import { GRACE_MS, type World } from './world.ts'

// What is missing is asked for again and again, by a worker that wakes, too.
for (const scenario of scenarios.filter(({ name }) => name !== 'an object that is missing')) {
  test(`a worker that slept too long changes nothing: ${scenario.name}`, async (t) => {
    t.diagnostic(JSON.stringify(await everyStall(scenario, {})))
  })
  test(`a worker whose machine was paused too long changes nothing: ${scenario.name}`, async (t) => {
    t.diagnostic(JSON.stringify(await everyStall(scenario, { suspended: true })))
  })
}

/** The backend approves the row again while the first worker sleeps, and the second archives it. */
function approveAgain(world: World): void {
  const [row] = world.tables.media
  if (row?.status !== 'pending') return
  row.status = 'approved'
  row.approvedAt = world.clock.ms
}

const stories: [string, Scenario, StallOptions][] = [
  [
    'a withdrawn row that was approved again',
    scenarioNamed('a row that is un-approved before it is recorded'),
    {
      async meanwhile(world, second) {
        approveAgain(world)
        await second.cycle()
        world.clock.ms += GRACE_MS + 1_000
        await second.cycle()
      },
    },
  ],
  [
    'a released object that was uploaded again',
    scenarioNamed('one item of a bucket without conditional deletes'),
    {
      async meanwhile(world) {
        upload(world.bucket, 'uploads/1.mp4', 'new bytes', world.clock.ms)
      },
      // R2 documents no conditional DELETE: a worker that sleeps between check and request is the documented window.
      except: ({ of, name }) => of === 'bucket' && name === 'delete',
    },
  ],
  [
    'a released object that was uploaded again where deletes are conditional',
    scenarioNamed('one item'),
    {
      async meanwhile(world) {
        upload(world.bucket, 'uploads/1.mp4', 'new bytes', world.clock.ms)
      },
    },
  ],
]

for (const [name, scenario, options] of stories) {
  test(`a worker that slept too long changes nothing: ${name}`, async (t) => {
    t.diagnostic(JSON.stringify(await everyStall(scenario, options)))
  })
}
