import assert from 'node:assert/strict'
import {
  beginStory,
  createStarted,
  type Explored,
  finish,
  haltAt,
  judge,
  live,
  type Scenario,
  Violation,
  withMeddling,
} from './explore.ts'
import { changesSomething, describe, type Operation } from './gate.ts'
import { isFinal, isProbe } from './invariants.ts'
import { LEASE_MS, startWorker, type Worker, type World } from './world.ts'

export interface StallOptions {
  /** What happens when the second worker has finished, before the first one wakes. */
  meanwhile?: (world: World, second: Worker) => Promise<void>
  /** Moments at which a worker that wakes may still do harm; each is a documented limit. */
  except?: (operation: Operation) => boolean
  /** The whole virtual machine is paused: when it goes on, none of its clocks knows of that. */
  suspended?: boolean
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
    const life = live(world, scenario, withMeddling(world, meddling, halt.gate))
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
    if (options.suspended === true) world.suspendedMs += world.clock.ms - stalledAt
    awake = true
    halt.resume()
    await life
    judge(world, `${where}, then awake`)
    assertSame(believed(world), before, where)
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
    throw new Violation([`I6: a worker without a lease changed something: ${error}`], where)
  }
}
