/** `make torture`: kills the program until TORTURE_POINTS of it were killed, and judges what is left. */
import { mkdtemp, rm } from 'node:fs/promises'
import { availableParallelism, tmpdir } from 'node:os'
import { join } from 'node:path'
import { startPostgres } from '../support/postgres.ts'
import type { Scope } from '../support/scopes.ts'
import { startSwift } from '../support/swift.ts'
import {
  type Campaign,
  emptyTally,
  type Lane,
  openLane,
  spoiltOf,
  stormWorld,
  summary,
  tortureWorld,
} from './campaign.ts'
import { buildShim } from './processes.ts'

const { env } = process
const POINTS = numberIn(env.TORTURE_POINTS) ?? 1000
const TRANSFERS = numberIn(env.TORTURE_TRANSFERS) ?? 0
const LANES = numberIn(env.TORTURE_LANES) ?? availableParallelism() * 2
const SEED = numberIn(env.SEED) ?? Math.floor(Math.random() * 1e9)
const WORLD = numberIn(env.WORLD)
const TELL_MS = 30_000

const steps: (() => unknown)[] = []
const scope: Scope = { after: (step) => void steps.push(step as () => unknown) }
const tally = emptyTally()
const startedAt = performance.now()
let isStopped = false
// The worlds in hand are brought to their end.
for (const signal of ['SIGINT', 'SIGTERM'] as const)
  process.once(signal, () => {
    isStopped = true
  })

/** Also with TORTURE_STOP=found and something found: the torture of mutants asks for no more. */
function isOver(): boolean {
  return isStopped || (env.TORTURE_STOP === 'found' && tally.found.size > 0)
}

function numberIn(setting: string | undefined): number | null {
  return setting === undefined || setting === '' ? null : Number(setting)
}

function progressText(): string {
  const minutes = ((performance.now() - startedAt) / 60_000).toFixed(1)
  return `seed ${SEED}, ${minutes} minutes: ${summary(tally)}`
}

/** Odd worlds are storms. A lane whose own machinery fails begins anew, and the failure is counted. */
async function runNumber(campaign: Campaign, lane: Lane, number: number): Promise<void> {
  try {
    await (number % 2 === 1 ? stormWorld : tortureWorld)(campaign, lane, number)
  } catch (error) {
    tally.abandoned += 1
    console.log(`abandoned world ${number}:`, error)
    await lane.nursery?.close()
    lane.nursery = null
  }
}

async function main(): Promise<number> {
  const postgres = await startPostgres()
  steps.push(() => postgres.stop())
  const swift = await startSwift()
  steps.push(() => swift.stop())
  env.STRONGROOM_TEST_PG = JSON.stringify(postgres)
  env.STRONGROOM_TEST_S3 = JSON.stringify(swift)
  const campaign: Campaign = {
    seed: SEED,
    shim: await buildShim(),
    folder: await mkdtemp(join(tmpdir(), 'strongroom-torture-')),
    tally,
    storm: { items: 120, runs: 16 },
    tell: (text) => console.log(text),
  }
  console.log(
    `seed ${SEED}: ${WORLD === null ? `${POINTS} kills, ${LANES} lanes` : `world ${WORLD}`}`,
  )
  const progress = setInterval(() => console.log(progressText()), TELL_MS)
  let next = 0
  const lane = async () => {
    const mine = openLane(scope)
    if (WORLD !== null) return runNumber(campaign, mine, WORLD)
    while (!isOver() && (tally.crashes < POINTS || spoiltOf(tally) < TRANSFERS)) {
      const isStorm = spoiltOf(tally) / (TRANSFERS || 1) < tally.crashes / POINTS
      await runNumber(campaign, mine, 2 * next++ + (isStorm && TRANSFERS > 0 ? 1 : 0))
    }
  }
  await Promise.all(Array.from({ length: WORLD === null ? LANES : 1 }, lane))
  clearInterval(progress)
  console.log(progressText())
  if (tally.found.size > 0 || tally.abandoned > 0) return 1
  await rm(campaign.folder, { recursive: true })
  return 0
}

try {
  process.exitCode = await main()
} finally {
  for (const step of steps.reverse()) await step()
}
