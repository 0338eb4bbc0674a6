import assert from 'node:assert/strict'
import {
  beginStory,
  crashStates,
  createStarted,
  type Explored,
  evidenceOf,
  finish,
  haltAt,
  judge,
  live,
  type Scenario,
  Violation,
  withMeddling,
} from './explore.ts'
import { changesSomething, describe, type Operation } from './gate.ts'
import { isFinal, isProbe, strangers } from './invariants.ts'
import { scenarioNamed, scenarios } from './scenarios.ts'
import { upload } from './sim-bucket.ts'
import { GRACE_MS, LEASE_MS, startWorker, type Worker, type World } from './world.ts'

export interface StallOptions {
  /** What happens when the second worker has finished, before the first one wakes. */
  meanwhile?: (world: World, second: Worker) => Promise<void>
  /** Moments at which a worker that wakes may still do harm; each is a documented limit. */
  except?: (operation: Operation) => boolean
  /** The whole virtual machine is paused: when it goes on, none of its clocks knows of that. */
  paused?: boolean
}

/**
 * Stops a worker at every operation for longer than its lease. Another one does all there is to do; then the first wakes
 * and goes on. Nothing that anyone believes may change by that.
 */
export async function everyStall(scenario: Scenario, options: StallOptions): Promise<Explored> {
  const explored: Explored = { moments: 0, states: 0, recoveries: 0 }
  const started = createStarted()
  for (let at = 0; ; at += 1) {
    const world = await beginStory(scenario)
    const halt = haltAt(at)
    let awake = false
    const meddling: Scenario = {
      ...scenario,
      meddle: (...seen) => (awake ? undefined : scenario.meddle?.(...seen)),
    }
    const paused = { ms: 0 }
    const life = live(world, scenario, { gate: withMeddling(world, meddling, halt.gate), paused })
    const stalled = await Promise.race([halt.reached, life.then(() => null)])
    if (stalled === null) return explored
    if (!started(stalled) || !isInteresting(stalled)) continue
    const where = `stalled before operation ${at}: ${describe(stalled)}`
    explored.moments += 1
    const stalledAt = world.clock.ms
    world.clock.ms += LEASE_MS + 1_000
    const worker = await startWorker(world, { owner: 'second' })
    await worker.cycle()
    await finish(world, { scenario, where: `${where}, done by another`, worker })
    await options.meanwhile?.(world, worker)
    if (options.except?.(stalled)) continue
    const before = believed(world)
    if (options.paused === true) paused.ms = world.clock.ms - stalledAt
    awake = true
    halt.resume()
    await life
    judge(world, `${where}, then awake`)
    assertSame(believed(world), before, where)
    for (const left of crashStates(world, 8, 1))
      judge({ ...world, ...left }, `${where}, then awake, then a power cut`)
    assertNoStrangers(world, `${where}, then awake`)
  }
}

/** A read tells nothing that the next write would not show. */
function isInteresting(operation: Operation): boolean {
  return operation.of === 'point' || changesSomething(operation)
}

interface Believed {
  tables: World['tables']
  live: Map<string, string>
  finals: Map<string, number>
}

/** What the database, the bucket and the people who look at the archive go by. */
function believed({ tables, bucket, disk }: World): Believed {
  const owned = new Set(tables.items.map(({ archivePath }) => archivePath))
  const finals = [...disk.tree()].filter(
    ([path]) => isFinal(path) && owned.has(path.replace(/\.json$/, '')),
  )
  const objects = [...bucket.live].filter(([key]) => !isProbe(key))
  return {
    tables: structuredClone(tables),
    live: new Map(objects.map(([key, { versionId }]) => [key, versionId])),
    finals: new Map(finals.map(([path, { inode }]) => [path, inode])),
  }
}

function assertSame(now: Believed, before: Believed, where: string): void {
  try {
    assert.deepEqual(now, before)
  } catch (error) {
    throw new Violation(['I6: a worker without a lease changed something', String(error)], where)
  }
}

/** A late worker may still file something under the name that its own intent committed, and under no other. */
function assertNoStrangers(world: World, where: string): void {
  const { named } = world.tables
  const found = strangers(evidenceOf(world)).filter((path) => !named.includes(path))
  if (found.length > 0)
    throw new Violation(
      found.map((path) => `I6: ${path} was filed under a name that no intent committed`),
      where,
    )
}

/**
 * Stops a worker for longer than its lease, and wakes it while another one is in the midst of its item: at every pair of
 * operations, or at every `stride`th.
 */
export async function everyCrossing(
  scenario: Scenario,
  { paused = false, stride = 1 }: { paused?: boolean; stride?: number },
): Promise<Explored> {
  const explored: Explored = { moments: 0, states: 0, recoveries: 0 }
  for (let first = 0, seconds = 1; seconds > 0; first += 1) {
    seconds = 0
    for (let second = first % stride; ; second += stride) {
      const crossed = await cross(scenario, { first, second, paused })
      if (crossed === 'over') break
      seconds += 1
      if (crossed === 'explored') explored.moments += 1
    }
  }
  return explored
}

interface Crossing {
  first: number
  second: number
  paused: boolean
}

/** @returns `over` when there is no such pair of operations */
async function cross(
  scenario: Scenario,
  { first, second, paused }: Crossing,
): Promise<'explored' | 'skipped' | 'over'> {
  const world = await beginStory(scenario)
  const one = haltAt(first)
  const pausedFor = { ms: 0 }
  const life = live(world, scenario, {
    gate: withMeddling(world, scenario, one.gate),
    paused: pausedFor,
  })
  const stalled = await Promise.race([one.reached, life.then(() => null)])
  if (stalled === null) return 'over'
  world.clock.ms += LEASE_MS + 1_000
  if (paused) pausedFor.ms = LEASE_MS + 1_000
  const other = haltAt(second)
  const worker = await startWorker(world, { owner: 'second', gate: other.gate })
  const cycle = worker.cycle()
  const at = await Promise.race([other.reached, cycle.then(() => null)])
  if (at === null) return 'over'
  const where = `stalled before ${first}: ${describe(stalled)}, awake before ${second} of another: ${describe(at)}`
  one.resume()
  await life
  judge(world, where)
  other.resume()
  await cycle
  judge(world, `${where}, then both`)
  const last = await startWorker(world, { owner: 'third' })
  await finish(world, { scenario, where, worker: last })
  return 'explored'
}

/** The backend approves the row again while the first worker sleeps, and the second archives it. */
function approveAgain(world: World): void {
  const [row] = world.tables.media
  if (row?.status !== 'pending') return
  row.status = 'approved'
  row.approvedAt = world.clock.ms
}

/** A user uploads again what was released while the first worker slept. */
async function uploadAgain({ bucket, clock }: World): Promise<void> {
  upload(bucket, 'uploads/1.mp4', 'new bytes', clock.ms)
}

interface StallStory extends Omit<StallOptions, 'paused'> {
  name: string
  scenario: Scenario
}

export const stallStories: readonly StallStory[] = [
  // What is missing is asked for again and again, by a worker that wakes, too.
  ...scenarios
    .filter(({ name }) => name !== 'an object that is missing')
    .map((scenario) => ({ name: scenario.name, scenario })),
  {
    name: 'a withdrawn row that was approved again',
    scenario: scenarioNamed('a row that is un-approved before it is recorded'),
    async meanwhile(world, second) {
      approveAgain(world)
      await second.cycle()
      world.clock.ms += GRACE_MS + 1_000
      await second.cycle()
    },
  },
  {
    name: 'a released object that was uploaded again',
    scenario: scenarioNamed('one item of a bucket without conditional deletes'),
    meanwhile: uploadAgain,
    // R2 documents no conditional DELETE: a worker that sleeps between check and request is the documented window.
    except: ({ of, name }) => of === 'bucket' && name === 'delete',
  },
  {
    name: 'a released object that was uploaded again where deletes are conditional',
    scenario: scenarioNamed('one item'),
    meanwhile: uploadAgain,
  },
]
