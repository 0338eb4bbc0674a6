import type { SimDisk } from '../support/sim-disk.ts'
import { changesSomething, describe, type Gate, type Operation } from './gate.ts'
import { type Evidence, orphans, undescribedFiles, violations } from './invariants.ts'
import { latestItem } from './sim-claims.ts'
import type { ItemRecord, SimTables } from './sim-tables.ts'
import { crashedWorld, GRACE_MS, LEASE_MS, startWorker, type Worker, type World } from './world.ts'

/** A story that is told again and again, each time with a fault at another moment. */
export interface Scenario {
  name: string
  /** The world before the story. */
  begin(): World
  /** Brings the world, undisturbed, to where faults begin. */
  prepare?(world: World): Promise<void>
  /** What others do meanwhile, seen before each operation; must be able to tell from the world that it was done. */
  meddle?(world: World, operation: Operation): void | Promise<void>
  concurrency?: number
  /** The states that all items may be in at the end, by what had happened before the crash. */
  ends(world: World): readonly string[]
}

/** A broken promise, and how to see it again. */
export class Violation extends Error {
  readonly found: readonly string[]
  readonly where: string

  constructor(found: readonly string[], where: string) {
    super(`${found.join('\n')}\n  at ${where}`)
    this.name = 'Violation'
    this.found = found
    this.where = where
  }
}

export function evidenceOf(world: World): Evidence {
  const { disk, errorDisk, ...rest } = world
  return { tree: disk.tree(), errors: errorDisk.tree(), ...rest }
}

/** @throws Violation when a promise is broken in the world as it is */
export function judge(world: World, where: string): void {
  const found = [...violations(evidenceOf(world)), ...world.bugs.map((bug) => `a bug: ${bug}`)]
  if (found.length > 0) throw new Violation(found, where)
}

/** Judges from within a gate, where nothing may be thrown into the product; the first finding is thrown at the end. */
export function createJudge() {
  let first: unknown = null
  return {
    judge(world: World, where: string): void {
      try {
        if (first === null) judge(world, where)
      } catch (violation) {
        first = violation
      }
    },
    throwFirst(): void {
      if (first !== null) throw first
    },
  }
}

export async function beginStory(scenario: Scenario): Promise<World> {
  const world = scenario.begin()
  await startWorker(world, { owner: 'installer' })
  await scenario.prepare?.(world)
  return world
}

/** One process from its start until every source is due and released, through `gate`. */
export async function live(
  world: World,
  scenario: Scenario,
  { gate, paused }: { gate: Gate; paused?: { ms: number } },
): Promise<Worker> {
  const { concurrency = 1 } = scenario
  const worker = await startWorker(world, {
    owner: 'first',
    gate,
    concurrency,
    ...(paused && { paused }),
  })
  await worker.cycle()
  world.clock.ms += GRACE_MS + 1_000
  await worker.cycle()
  return worker
}

/** The scenario's own meddling, then `gate`. */
export function withMeddling(world: World, scenario: Scenario, gate: Gate): Gate {
  return async (operation, moment) => {
    if (moment === 'before') await scenario.meddle?.(world, operation)
    return gate(operation, moment)
  }
}

const NO_WORK_LEFT = [
  'released',
  'rejected',
  'held',
  'withdrawn',
  'source_differs',
  'lost',
  'kept',
  'missing',
]

/** @throws Violation when the process does not even start */
async function restart(world: World, where: string, gate?: Gate): Promise<Worker> {
  try {
    return await startWorker(world, { owner: 'recovery', ...(gate && { gate }) })
  } catch (error) {
    throw new Violation([`I9: no process starts any more: ${error}`], where)
  }
}

/** Lets a new process, or one that has lived on, do all that is left to do, and judges on the way and at the end. */
export async function recover(
  world: World,
  scenario: Scenario,
  { where, survivor = null }: { where: string; survivor?: Worker | null },
): Promise<void> {
  world.clock.ms += LEASE_MS + 1_000
  const worker = survivor ?? (await restart(world, where))
  await worker.cycle()
  judge(world, `${where}, after recovery`)
  await finish(world, { scenario, where, worker })
}

/** What is believed at the end must outlive a power cut too. */
function judgeDurable(world: World, where: string): void {
  for (const left of crashStates(world, 2, 1)) {
    const after = { ...world, ...left }
    judge(after, `${where}, then a power cut`)
    const found = orphans(evidenceOf(after))
    if (found.length > 0) throw new Violation(found, `${where}, then a power cut`)
  }
}

export async function finish(
  world: World,
  { scenario, where, worker }: { scenario: Scenario; where: string; worker: Worker },
): Promise<void> {
  for (let days = 0; days < 3 && !isSettled(world); days += 1) {
    world.clock.ms += GRACE_MS + 1_000
    await worker.cycle()
    judge(world, `${where}, ${days + 1} days after recovery`)
  }
  world.clock.ms += GRACE_MS + 1_000
  await worker.cycle()
  judge(world, `${where}, at the end`)
  judgeDurable(world, `${where}, at the end`)
  const found = [...unsettled(world, scenario.ends(world)), ...orphans(evidenceOf(world))]
  if (found.length > 0) throw new Violation(found, where)
}

function isSettled({ tables }: World): boolean {
  return tables.items.every((item) => needsNoWork(tables, item))
}

/** An item that waits for a row which is no longer approved has nothing to do until it is approved again. */
function needsNoWork(tables: SimTables, { state, mediaId }: ItemRecord): boolean {
  if (NO_WORK_LEFT.includes(state)) return true
  const media = tables.media.find(({ id }) => id === mediaId)
  return ['claimed', 'waiting'].includes(state) && media?.status !== 'approved'
}

function unsettled({ tables, disk }: World, ends: readonly string[]): string[] {
  const wrong = tables.items
    .filter((item) => !needsNoWork(tables, item) || !ends.includes(item.state))
    .map(({ id, state, errorMessage }) => `I9: item ${id} ends ${state} (${errorMessage})`)
  const untouched = tables.media
    .filter(({ id, status }) => status === 'approved' && latestItem(tables, id) === null)
    .map(({ id }) => `I9: media row ${id} was never claimed`)
  const left = [...disk.tree().keys()].filter((path) => /^\.strongroom\/tmp\/\d/.test(path))
  return [...wrong, ...untouched, ...left.map((path) => `I9: ${path} is left over`)]
}

export interface Explored {
  moments: number
  states: number
  recoveries: number
}

interface Budget {
  /** Crash states judged at each moment; all of them up to here. */
  states: number
  /** Of those, how many are recovered from. */
  recoveries: number
  seed: number
  /** Faults while a process starts, which is the same in every story, too. */
  startup: boolean
}

/** True from the first operation of recovery on, when the process has started. */
export function createStarted(): (operation: Operation) => boolean {
  let started = false
  return ({ name }) => {
    started ||= name === 'claimAbandoned'
    return started
  }
}

/**
 * Cuts the power at every moment of the story at which something has changed, judges each state that the disk may be left
 * in, and recovers from some of them.
 */
export async function everyPowerCut(scenario: Scenario, budget: Budget): Promise<Explored> {
  const explored: Explored = { moments: 0, states: 0, recoveries: 0 }
  const world = await beginStory(scenario)
  const later: { left: World; where: string }[] = []
  const judging = createJudge()
  const started = createStarted()
  let changed = true
  const cut = (where: string) => {
    explored.moments += 1
    const states = crashStates(world, budget.states, budget.seed + explored.moments)
    explored.states += states.length
    for (const [number, left] of states.entries())
      judging.judge({ ...world, ...left }, `${where}, state ${number}`)
    for (const [number, left] of spread(states, budget.recoveries))
      later.push({ left: crashedWorld(world, left), where: `${where}, state ${number}` })
  }
  const gate: Gate = (operation) => {
    if (!started(operation) && !budget.startup) return undefined
    if (changed) cut(`power cut before ${explored.moments}: ${describe(operation)}`)
    changed = changesSomething(operation)
    return undefined
  }
  await live(world, scenario, { gate: withMeddling(world, scenario, gate) })
  cut('power cut at the end')
  judging.throwFirst()
  for (const { left, where } of later) {
    explored.recoveries += 1
    await recover(left, scenario, { where })
  }
  return explored
}

interface Disks {
  disk: SimDisk
  errorDisk: SimDisk
}

/** What a power cut now may leave of both disks. */
export function crashStates({ disk, errorDisk }: Disks, limit: number, seed: number): Disks[] {
  const errors = errorDisk.tree().size === 0 ? [errorDisk] : [...errorDisk.crashStates(8, seed)]
  return [...disk.crashStates(limit, seed)].map((left, number) => {
    return { disk: left, errorDisk: errors[number % errors.length] ?? errorDisk }
  })
}

/** The first, the last, and others between them, at most `count`. */
export function* spread<T>(all: readonly T[], count: number): Iterable<[number, T]> {
  const step = Math.max(1, (all.length - 1) / Math.max(1, count - 1))
  for (let at = 0; at < all.length; at += step) {
    const number = Math.round(at)
    const one = all[number]
    if (one !== undefined) yield [number, one]
  }
}

export interface Halt {
  gate: Gate
  /** Settles when the operation is reached; never, if there is none. */
  reached: Promise<Operation>
  /** Lets the halted worker go on. */
  resume: () => void
}

/** Halts a worker before its operation number `at`; all that it does beside waits with it. */
export function haltAt(at: number): Halt {
  let count = 0
  let resume = () => {}
  const resumed = new Promise<undefined>((resolve) => {
    resume = () => resolve(undefined)
  })
  let arrive: (operation: Operation) => void = () => {}
  const reached = new Promise<Operation>((resolve) => {
    arrive = resolve
  })
  return {
    reached,
    resume: () => resume(),
    gate: (operation, moment) => {
      if (moment === 'after') return count > at ? resumed : undefined
      count += 1
      if (count <= at) return undefined
      if (count === at + 1) arrive(operation)
      return resumed
    },
  }
}

/** Kills the process at every operation, the machine goes on: what was not synced is seen but not safe. */
export async function everyKill(scenario: Scenario, budget: Budget): Promise<Explored> {
  const explored: Explored = { moments: 0, states: 0, recoveries: 0 }
  const started = createStarted()
  for (let at = 0; ; at += 1) {
    const world = await beginStory(scenario)
    const halt = haltAt(at)
    const life = live(world, scenario, { gate: withMeddling(world, scenario, halt.gate) })
    const killed = await Promise.race([halt.reached, life.then(() => null)])
    if (killed === null) return explored
    if (!started(killed) && !budget.startup) continue
    const where = `killed before operation ${at}: ${describe(killed)}`
    explored.moments += 1
    judge(world, where)
    const undescribed = [...undescribedFiles(evidenceOf(world))]
    if (undescribed.length > 0) throw new Violation(undescribed, where)
    await recoverWithPowerCuts(world, scenario, { ...budget, explored, where })
  }
}

/** A second crash: the power fails while another process recovers. */
async function recoverWithPowerCuts(
  world: World,
  scenario: Scenario,
  {
    states,
    recoveries,
    seed,
    startup,
    explored,
    where,
  }: Budget & { explored: Explored; where: string },
): Promise<void> {
  world.clock.ms += LEASE_MS + 1_000
  const later: { left: World; where: string }[] = []
  const judging = createJudge()
  const started = createStarted()
  /** Another moment is tried a second time after each kill. */
  const recoverAt = (seed + explored.moments * 7) % 97
  let changed = false
  let count = 0
  const gate: Gate = (operation) => {
    count += 1
    if (!changed || (!started(operation) && !startup)) return undefined
    const at = `${where}, then power cut before ${count}: ${describe(operation)}`
    const found = crashStates(world, states, seed + count)
    explored.states += found.length
    for (const [number, left] of found.entries())
      judging.judge({ ...world, ...left }, `${at}, state ${number}`)
    const chosen = found[(seed + count) % found.length]
    if (chosen !== undefined && count >= recoverAt && later.length < recoveries)
      later.push({ left: crashedWorld(world, chosen), where: at })
    changed = false
    return undefined
  }
  const marking: Gate = (operation, moment) => {
    const answer = gate(operation, moment)
    changed ||= changesSomething(operation)
    return answer
  }
  const worker = await restart(world, where, marking)
  await worker.cycle()
  judging.throwFirst()
  judge(world, `${where}, after recovery`)
  await finish(world, { scenario, where, worker })
  judging.throwFirst()
  for (const again of later.slice(0, recoveries)) {
    explored.recoveries += 1
    await recover(again.left, scenario, { where: again.where })
  }
}
