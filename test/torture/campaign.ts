/** Any number of worlds, each tortured at some points, left to recover, and judged. */
import { mkdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import type { Scope } from '../support/scopes.ts'
import { type Checker, openChecker, type Violation } from './checker.ts'
import { anyFault, createFaults, createStorm } from './faults.ts'
import { type PointReport, type Rig, runInStorm, runPoint } from './points.ts'
import { type Nursery, openNursery } from './processes.ts'
import { createRandom, type Random, seedOf } from './random.ts'
import { judged, recover } from './recover.ts'
import { type World, withWorld } from './world.ts'

export interface Tally {
  worlds: number
  /** Worlds that came to no judgement because the test itself failed. */
  abandoned: number
  /** Processes that were ended by SIGKILL. */
  crashes: number
  /** Runs of the program with a fault, those that came to their end included. */
  runs: number
  /** Runs after which faults had stopped. */
  recoveries: number
  judgements: number
  /** Processor time of the program, without what it starts. */
  cpuMs: number
  items: number
  released: number
  /** Requests that were spoilt, by fault. */
  spoilt: Map<string, number>
  points: Map<string, number>
  found: Map<string, number>
}

export interface Campaign {
  seed: number
  shim: string
  /** Where the evidence of worlds with findings stays. */
  folder: string
  tally: Tally
  /** How many media go through one, and how often the program is started in it. */
  storm: { items: number; runs: number }
  /** Told of each world in which something was found. */
  tell: (text: string) => void
}

const POINTS_PER_WORLD = 30
const SIGKILL = 9

export function emptyTally(): Tally {
  const counts = { worlds: 0, abandoned: 0, crashes: 0, runs: 0, recoveries: 0 }
  const more = { judgements: 0, cpuMs: 0, items: 0, released: 0 }
  return { ...counts, ...more, spoilt: new Map(), points: new Map(), found: new Map() }
}

/** What a lane keeps from one world to the next. */
export interface Lane {
  checker: Checker
  nursery: Nursery | null
}

export function openLane(t: Scope): Lane {
  const lane: Lane = { checker: openChecker(t), nursery: null }
  t.after(() => lane.nursery?.close() ?? Promise.resolve())
  return lane
}

/** What is done to a world before it is left to recover. @returns what was found meanwhile */
type Ordeal = (
  campaign: Campaign,
  scene: { rig: Rig; lane: Lane; history: PointReport[] },
) => Promise<Violation[]>

/** Kills and other harm, at one point after the other. */
export function tortureWorld(campaign: Campaign, lane: Lane, number: number): Promise<Violation[]> {
  return runWorld(campaign, lane, { number, ordeal: kills })
}

/** Hardly a transfer succeeds. */
export function stormWorld(campaign: Campaign, lane: Lane, number: number): Promise<Violation[]> {
  return runWorld(campaign, lane, { number, ordeal: storms })
}

async function runWorld(
  campaign: Campaign,
  lane: Lane,
  { number, ordeal }: { number: number; ordeal: Ordeal },
): Promise<Violation[]> {
  const nursery = lane.nursery ?? (await warmNursery(campaign, number))
  lane.nursery = nursery
  return withScope(async (scope) => {
    const random = createRandom(seedOf(campaign.seed, number))
    const folder = join(campaign.folder, `world-${number}`)
    mkdirSync(folder, { recursive: true })
    const world = await withWorld(scope, random, folder)
    world.store.spoilt = campaign.tally.spoilt
    let files = 0
    const fresh = (name: string) => join(folder, `${++files}-${name}`)
    const rig: Rig = { world, nursery, fresh }
    const history: PointReport[] = []
    let found = await ordeal(campaign, { rig, lane, history })
    if (found.length === 0) found = await recoverAndJudge(campaign, lane, rig)
    await count(campaign.tally, world)
    if (found.length > 0) tellOf(campaign, { number, found, history, folder })
    else rmSync(folder, { recursive: true })
    return found
  })
}

/** In a world of its own: the others are the same whether a lane begins with them or not. */
async function warmNursery({ shim, folder }: Campaign, number: number): Promise<Nursery> {
  const own = join(folder, `warm-up-${number}`)
  mkdirSync(own, { recursive: true })
  try {
    return await withScope(async (scope) => {
      const world = await withWorld(scope, createRandom(number), own)
      await world.approve(3)
      return openNursery(shim, world.env)
    })
  } finally {
    rmSync(own, { recursive: true })
  }
}

const kills: Ordeal = async ({ tally }, { rig, lane, history }) => {
  const { world } = rig
  const { random } = world
  if (random.chance(0.5)) {
    const weather = { probability: random.pick([0.02, 0.1, 0.3]), weights: anyFault }
    world.store.fault = createFaults(apartFrom(random), weather)
  }
  for (let n = 0; n < POINTS_PER_WORLD; n++) {
    await keepBusy(world)
    const told = await runPoint(rig)
    history.push(told)
    note(tally, told)
    const found = await judged(lane.checker, 'instant', world)
    tally.judgements += 1
    if (found.length > 0) return found
    await world.passTime()
  }
  return []
}

/** Requests come in any order, and must not decide what else happens. */
function apartFrom(random: Random): Random {
  return createRandom(random.below(2 ** 32))
}

const storms: Ordeal = async ({ tally, storm }, { rig, lane, history }) => {
  const { world } = rig
  await world.approve(storm.items)
  world.store.fault = createStorm(apartFrom(world.random))
  for (let n = 0; n < storm.runs; n++) {
    const told = await runInStorm(rig)
    history.push(told)
    note(tally, told)
    await world.passTime()
    await world.forgetAttempts()
  }
  tally.judgements += 1
  return judged(lane.checker, 'instant', world)
}

async function recoverAndJudge({ tally }: Campaign, lane: Lane, rig: Rig): Promise<Violation[]> {
  const runs = await recover(rig)
  tally.recoveries += runs ?? 0
  tally.judgements += 1
  const found = await judged(lane.checker, 'settled', rig.world)
  // Not to be done after so many runs is a finding, even where the checker sees nothing left to do.
  if (runs === null && found.length === 0)
    return [['not-converged', 'the program never ends its work']]
  return found
}

/** There is always something to archive. */
async function keepBusy(world: World): Promise<void> {
  const [waiting] = await world.sql<{ count: number }[]>`
    select count(*) from media where status = 'approved' and deleted_at is null`
  if ((waiting?.count ?? 0) < 2) await world.approve(2)
}

function note(tally: Tally, { kind, fates }: PointReport): void {
  tally.runs += fates.length
  for (const { cpuMs } of fates) tally.cpuMs += cpuMs
  add(tally.points, kind, 1)
  tally.crashes += fates.filter(({ signal }) => signal === SIGKILL).length
}

async function count(tally: Tally, { sql }: World): Promise<void> {
  const rows = await sql<{ state: string; count: number }[]>`
    select state, count(*) from strongroom.items group by state`
  for (const { state, count } of rows) {
    tally.items += count
    if (state === 'released') tally.released += count
  }
  tally.worlds += 1
}

export function summary(tally: Tally): string {
  const list = (map: Map<string, number>) =>
    [...map].map(([name, times]) => `${name} ${times}`).join(', ') || 'nothing'
  return [
    `${tally.crashes} processes killed in ${tally.runs} runs of ${Math.round(tally.cpuMs / tally.runs)} ms of processor time`,
    `${tally.worlds} worlds (and ${tally.abandoned} abandoned), ${tally.items} items, ${tally.released} sources released, ${tally.judgements} judgements`,
    `${spoiltOf(tally)} transfers spoilt: ${list(tally.spoilt)}`,
    `points: ${list(tally.points)}`,
    `found: ${list(tally.found)}`,
  ].join('\n  ')
}

/** How many requests of the program were spoilt. */
export function spoiltOf({ spoilt }: Tally): number {
  return [...spoilt.values()].reduce((sum, times) => sum + times, 0)
}

function add(map: Map<string, number>, name: string, amount: number): void {
  map.set(name, (map.get(name) ?? 0) + amount)
}

function tellOf(
  { seed, tally, tell }: Campaign,
  story: { number: number; found: Violation[]; history: PointReport[]; folder: string },
): void {
  for (const [name] of story.found) add(tally.found, name, 1)
  const last = story.history.at(-1)
  tell(
    [
      `FOUND in world ${story.number}, after ${story.history.length} points:`,
      ...story.found.map(([name, sentence]) => `  ${name}: ${sentence}`),
      ...story.history.slice(-4).map(({ kind, what }) => `  point: ${kind}, ${what}`),
      `  the last run said: ${last?.said.join('\n').slice(-1_500) ?? ''}`,
      `  evidence: ${story.folder}`,
      `  replay: make torture SEED=${seed} WORLD=${story.number}`,
    ].join('\n'),
  )
}

/** A scope of its own, cleaned up in reverse order. */
async function withScope<T>(work: (scope: Scope) => Promise<T>): Promise<T> {
  const steps: (() => unknown)[] = []
  const after = (step: unknown) => {
    if (typeof step === 'function') steps.push(step as () => unknown)
  }
  try {
    return await work({ after })
  } finally {
    for (const step of steps) await step()
  }
}
