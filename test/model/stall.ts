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
import { isFinal, isProbe, orphans } from './invariants.ts'
import { scenarioNamed, scenarios } from './scenarios.ts'
import { upload } from './sim-bucket.ts'
import type { ItemRecord } from './sim-tables.ts'
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
    world.late = true
    halt.resume()
    await life
    judge(world, `${where}, then awake`)
    assertSame(believed(world), before, where)
    for (const left of crashStates(world, 8, 1))
      judge({ ...world, ...left }, `${where}, then awake, then a power cut`)
    const found = orphans(evidenceOf(world))
    if (found.length > 0) throw new Violation(found, `${where}, then awake`)
  }
}

/** A read tells nothing that the next write would not show. */
function isInteresting(operation: Operation): boolean {
  return operation.of === 'point' || changesSomething(operation)
}

interface Believed {
  tables: Omit<World['tables'], 'items'> & { items: Omit<ItemRecord, 'epoch' | 'verifiedAt'>[] }
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
    tables: { ...structuredClone(tables), items: tables.items.map(withoutReadings) },
    live: new Map(objects.map(([key, { versionId }]) => [key, versionId])),
    finals: new Map(finals.map(([path, { inode }]) => [path, inode])),
  }
}

/** Who wakes may read an archived file again, and claim it for that, as anybody may at any time. */
function withoutReadings({ epoch: _epoch, verifiedAt: _verifiedAt, ...item }: ItemRecord) {
  return structuredClone(item)
}

function assertSame(now: Believed, before: Believed, where: string): void {
  try {
    assert.deepEqual(now, before)
  } catch (error) {
    throw new Violation(['I6: a worker without a lease changed something', String(error)], where)
  }
}

/**
 * Stops a worker for longer than its lease, and wakes it while another one is in the midst of its item: at every pair of
 * operations of the two, or at one in `stride` of these pairs.
 */
export async function everyCrossing(
  scenario: Scenario,
  { paused = false, stride = 1 }: { paused?: boolean; stride?: number },
): Promise<Explored> {
  const explored: Explored = { moments: 0, states: 0, recoveries: 0 }
  for (let first = 0; ; first += 1) {
    for (let second = first % stride; ; second += stride) {
      const crossed = await cross(scenario, { first, second, paused })
      if (crossed === 'first is over') return explored
      if (crossed === 'second is over') break
      if (crossed === 'crossed') explored.moments += 1
    }
  }
}

type Crossed = 'crossed' | 'not interesting' | 'first is over' | 'second is over'

/** @param at which operation each of the two stops before */
async function cross(
  scenario: Scenario,
  { first, second, paused }: { first: number; second: number; paused: boolean },
): Promise<Crossed> {
  const world = await beginStory(scenario)
  const [one, other] = [haltAt(first), haltAt(second)]
  const pausedFor = { ms: 0 }
  const gate = withMeddling(world, scenario, one.gate)
  const life = live(world, scenario, { gate, paused: pausedFor })
  const stalled = await Promise.race([one.reached, life.then(() => null)])
  if (stalled === null) return 'first is over'
  // With the request to delete in its hands it may still send it: the documented window.
  if (!isInteresting(stalled) || stalled.name === 'delete') return 'second is over'
  world.clock.ms += LEASE_MS + 1_000
  if (paused) pausedFor.ms = LEASE_MS + 1_000
  const run = startWorker(world, { owner: 'second', gate: other.gate }).then((it) => it.cycle())
  const met = await Promise.race([other.reached, run.then(() => null)])
  if (met === null) return 'second is over'
  if (!isInteresting(met)) return 'not interesting'
  const where = `stalled before ${first}: ${describe(stalled)}, awake before ${second} of another: ${describe(met)}`
  world.late = true
  one.resume()
  await life
  judge(world, where)
  other.resume()
  await run
  judge(world, `${where}, then both`)
  const last = await startWorker(world, { owner: 'third' })
  await finish(world, { scenario, where, worker: last })
  return 'crossed'
}

/** Where a damaged file may be away until the next look at it, or the story itself depends on who is where, none is told. */
export const crossedStories: readonly Scenario[] = [
  'one item',
  'a copy that an earlier process filed and did not record',
  'two items of one name at once',
  'a file system that refuses links',
  'a foreign file that comes just before the link',
  'a row that is un-approved before it is recorded',
  'a row whose key changes before it is recorded',
  'an upload that is no media',
].map(scenarioNamed)

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
