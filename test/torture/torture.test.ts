import assert from 'node:assert/strict'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { withFolder } from '../support/scopes.ts'
import {
  type Campaign,
  emptyTally,
  openLane,
  spoiltOf,
  stormWorld,
  summary,
  tortureWorld,
} from './campaign.ts'
import type { Violation } from './checker.ts'
import { buildShim } from './processes.ts'

/** `make torture` does it with any other seed, and any number. */
const KILLS = 300
const LANES = 3
const SEED = Number(process.env.SEED ?? 1)

/** @param tell told the story of each finding */
async function withCampaign(t: TestContext, tell: (text: string) => void): Promise<Campaign> {
  const folder = join(await withFolder(t), 'evidence')
  const storm = { items: 40, runs: 6 }
  return { seed: SEED, shim: await buildShim(), folder, tally: emptyTally(), storm, tell }
}

test(`${KILLS} kills at file system calls and between steps, in any weather, lose, double and spoil nothing`, async (t) => {
  const stories: string[] = []
  const campaign = await withCampaign(t, (text) => stories.push(text))
  const found: Violation[] = []
  let next = 0
  const lane = async () => {
    const mine = openLane(t)
    while (campaign.tally.crashes < KILLS && found.length === 0)
      found.push(...(await tortureWorld(campaign, mine, 2 * next++)))
  }
  // All come to their ends, also beside one that fails: what they use is taken away after the test.
  const ends = await Promise.allSettled(Array.from({ length: LANES }, lane))
  t.diagnostic(summary(campaign.tally))
  assert.deepEqual(found, [], stories.join('\n'))
  for (const end of ends) if (end.status === 'rejected') throw end.reason
})

test('a store that spoils nearly every download costs time, and no file', async (t) => {
  const stories: string[] = []
  const campaign = await withCampaign(t, (text) => stories.push(text))
  const found = await stormWorld(campaign, openLane(t), 1)
  assert.deepEqual(found, [], stories.join('\n'))
  assert.ok(spoiltOf(campaign.tally) > 100)
  t.diagnostic(summary(campaign.tally))
})
