/** What can happen to a run of the program: killed, stopped, starved of disk, or left alone in bad weather. */
import { randomUUID } from 'node:crypto'
import { mkdir, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { MARKER_PATH } from '../../src/archive-path.ts'
import { points as failpoints } from '../../src/sync/parts.ts'
import type { Env } from '../support/service.ts'
import type { Fate, Harm, Nursery, Worker } from './processes.ts'
import type { Random } from './random.ts'
import { approveAgain, flipByte, replaceObject, type World, withdrawApproval } from './world.ts'

type PointKind = 'call' | 'failpoint' | 'disk' | 'stop' | 'left alone'

/** What was done, and how it ended: for counting, and for people who look for a bug. */
export interface PointReport {
  /** Of a stop with what happened meanwhile. */
  kind: PointKind | `stop+${string}`
  what: string
  fates: Fate[]
  /** The ends of what the program said. */
  said: string[]
}

const KINDS: Readonly<Record<PointKind, number>> = {
  call: 76,
  failpoint: 8,
  disk: 6,
  stop: 6,
  'left alone': 4,
}
const DISK_HARMS: readonly Harm[] = ['eio', 'enospc', 'short', 'full']
/** Of a start and an item about 40, of a start and two items 70: what is beyond the end of a run kills nobody. */
function someCall(random: Random): number {
  return 1 + random.below(random.chance(0.8) ? 40 : 80)
}

export interface Rig {
  nursery: Nursery
  world: World
  /** A file name that was never given out before. */
  fresh(name: string): string
}

/** Runs the program once, with one fault. */
export async function runPoint(rig: Rig): Promise<PointReport> {
  const { random } = rig.world
  const kind = random.weighted(KINDS)
  await prepare(rig.world)
  switch (kind) {
    case 'call':
    case 'disk': {
      const harm = random.pick<Harm>(kind === 'disk' ? DISK_HARMS : ['kill-before', 'kill-after'])
      const at = someCall(random)
      return report(kind, `${harm} ${at}`, [await start(rig, { harm, at })])
    }
    case 'failpoint': {
      const halt = `${random.pick(failpoints)}:SIGKILL:${1 + random.below(3)}`
      return report(kind, halt, [await start(rig, { env: { STRONGROOM_HALT: halt } })])
    }
    case 'stop':
      return stopAndGo(rig)
    case 'left alone':
      return report(kind, 'nothing', [await start(rig, {})])
  }
}

/** Runs the program with all that it can have in hand at once. */
export async function runInStorm(rig: Rig): Promise<PointReport> {
  const env = { SYNC_CONCURRENCY: '64', BATCH_SIZE: '120' }
  return report('left alone', 'a storm', [await start(rig, { env })])
}

/** Between two runs the backend and the disk live on. */
async function prepare(world: World): Promise<void> {
  const { random } = world
  if (random.chance(0.1)) await withdrawApproval(world)
  if (random.chance(0.05)) await approveAgain(world)
  if (random.chance(0.05)) await replaceObject(world)
  if (world.hasGrace && random.chance(0.3)) await flipByte(world)
}

interface Run {
  harm?: Harm
  at?: number
  env?: Env
}

async function start({ nursery, world, fresh }: Rig, { harm, at = 0, env }: Run): Promise<Worker> {
  return nursery.start({
    args: ['sync', '--once', '--json'],
    env: { ...world.env, ...env },
    plan: { root: world.root, at, what: harm ?? 'nothing' },
    output: fresh('run.log'),
  })
}

async function report(
  kind: PointReport['kind'],
  what: string,
  runs: Worker[],
): Promise<PointReport> {
  const fates = await Promise.all(runs.map(({ ended }) => ended))
  return { kind, what, fates, said: runs.map((run) => run.output().slice(-3_000)) }
}

/** What happens while a run stands still between two of its steps. */
const ACTIONS = {
  /** It sleeps over the end of its lease, and another one does its work. */
  lease: async (rig: Rig) => {
    await rig.world.passTime()
    const { random } = rig.world
    const run: Run = random.chance(0.5) ? { harm: 'kill-after', at: someCall(random) } : {}
    const other = await start(rig, run)
    await other.ended
    return [other]
  },
  backend: async ({ world }: Rig) => {
    await world.sql`
      select pg_terminate_backend(pid) from pg_stat_activity
      where application_name = 'strongroom' and datname = current_database()`
    return []
  },
  withdraw: async ({ world }: Rig) => {
    await withdrawApproval(world)
    return []
  },
  replace: async ({ world }: Rig) => {
    await replaceObject(world)
    return []
  },
  /** The line to the database is cut, and neither end is told. */
  line: async ({ world }: Rig) => {
    world.line.mute()
    return []
  },
  nothing: async () => [],
} satisfies Record<string, (rig: Rig) => Promise<Worker[]>>

/** A cut line is noticed after 15 s only. */
const ACTION_WEIGHTS: Readonly<Record<keyof typeof ACTIONS, number>> = {
  lease: 3,
  backend: 3,
  withdraw: 3,
  replace: 3,
  line: 1,
  nothing: 3,
}

async function stopAndGo(rig: Rig): Promise<PointReport> {
  const { random, line } = rig.world
  const halt = `${random.pick(failpoints)}:SIGSTOP:${1 + random.below(2)}`
  const sleeper = await start(rig, { env: { STRONGROOM_HALT: halt, DB_PORT: String(line.port) } })
  const isAsleep = await Promise.race([
    sleeper.stopped.then(() => true),
    sleeper.ended.then(() => false),
  ])
  if (!isAsleep) return report('stop+never', halt, [sleeper])
  const signal = random.chance(0.3) ? 'SIGKILL' : 'SIGCONT'
  const wake = () => process.kill(sleeper.pid, signal)
  if (random.chance(0.2)) return swapArchive(rig, { sleeper, wake, what: `${halt} ${signal}` })
  const action = random.weighted(ACTION_WEIGHTS)
  const others = await ACTIONS[action](rig)
  wake()
  return report(`stop+${action}`, `${halt} ${signal}`, [sleeper, ...others])
}

/** The archive is not there when the run wakes up: an empty mount point is in its place, or another archive. */
async function swapArchive(
  { world }: Rig,
  { sleeper, wake, what }: { sleeper: Worker; wake: () => void; what: string },
): Promise<PointReport> {
  const { archiveDir, evidence, random } = world
  const away = `${archiveDir}.away`
  await rename(archiveDir, away)
  await mkdir(archiveDir)
  const isOther = random.chance(0.5)
  if (isOther) await makeOtherArchive(away, archiveDir)
  wake()
  const told = await report(isOther ? 'stop+swap' : 'stop+unmount', what, [sleeper])
  for (const entry of await readdir(archiveDir, { recursive: true, withFileTypes: true })) {
    const path = join(entry.parentPath, entry.name)
    if (entry.isFile() && !path.endsWith(MARKER_PATH)) evidence.note({ what: 'astray', path })
  }
  await rm(archiveDir, { recursive: true })
  await rename(away, archiveDir)
  return told
}

async function makeOtherArchive(like: string, root: string): Promise<void> {
  const marker = JSON.parse(await readFile(join(like, MARKER_PATH), 'utf8')) as object
  await mkdir(dirname(join(root, MARKER_PATH)))
  await writeFile(join(root, MARKER_PATH), JSON.stringify({ ...marker, id: randomUUID() }))
}
