import { mock } from 'node:test'
import { AppError } from '../../src/errors.ts'
import {
  beginStory,
  crashStates,
  createStarted,
  type Explored,
  judge,
  live,
  recover,
  type Scenario,
  Violation,
  withMeddling,
} from './explore.ts'
import { changesSomething, describe, type Gate, type Operation } from './gate.ts'
import { isFinal, isProbe } from './invariants.ts'
import { spoilMarker } from './scenarios.ts'
import { upload } from './sim-bucket.ts'
import { answerLost } from './sim-tables.ts'
import { crashedWorld, LEASE_MS, type World } from './world.ts'

/** One thing that goes wrong once, at one operation. */
export interface Fault {
  name: string
  /** The operations that it can hit. */
  hits(operation: Operation, world: World): boolean
  before?(world: World, operation: Operation): void | Promise<void>
  after?(world: World, operation: Operation): undefined | 'lost'
  /** Called when the story is over. */
  mend?(world: World): void | Promise<void>
  /** What may not change while it lasts, and why. The process lives on when it is over. */
  freezes?: { promise: string; of(world: World, operation: Operation): unknown }
  /** States in which items may end, beside the story's own. */
  ends?: readonly string[]
}

const isOn = (of: Operation['of'], operation: Operation) => operation.of === of
const SYNCS = ['seal', 'syncFile', 'syncFolder']
/** From these on, the marker has been looked at for the last time. */
const TOO_LATE = ['rehashed', 'source-seen', 'source-deleted', 'recorded', 'released']
/** Other moments before a look at it, and one between that look and the first change that follows. */
const BEFORE_A_LOOK = ['claimAbandoned', 'commitIntent', 'claimDue', 'get', 'makeFolder']
const isInTime = ({ of, name }: Operation, { damaged }: World) => {
  // What is damaged and was set aside may stay away until the archive is there again.
  if (name === 'makeFolder') return damaged.size === 0
  return of === 'point' ? !TOO_LATE.includes(name) : BEFORE_A_LOOK.includes(name)
}
/** After these the marker is looked at before anything gets its final name. */
const BEFORE_FILING = [
  ...['claimAbandoned', 'claimed', 'get', 'downloaded', 'validated', 'sealed'],
  ...['commitIntent', 'intent-committed', 'claimDue', 'release-claimed'],
]

/** While the archive is not there, nothing is recorded, released or given up. */
const noVerdict = {
  promise: 'I10: a verdict without the archive',
  of({ tables, bucket }: World, _operation: Operation): unknown {
    const given = tables.items.filter(({ state }) => ['missing', 'lost'].includes(state))
    const told = tables.audit.filter(({ action }) => action !== 'rejected')
    return [told, bucket.deletions, given.map(({ id }) => id)]
  },
}

/** Nor is anything claimed, or begun again. */
const withoutArchive = {
  ...noVerdict,
  of(world: World, operation: Operation): unknown {
    const paths = world.tables.items.map(({ archivePath }) => archivePath)
    return [noVerdict.of(world, operation), operation.name === 'claimAbandoned' ? paths : []]
  },
}

/** Nor is anything filed on another one. */
const onAnotherArchive = {
  ...withoutArchive,
  of(world: World, operation: Operation): unknown {
    const isEarly = BEFORE_FILING.includes(operation.name)
    const finals = [...world.disk.tree().keys()].filter((path) => isEarly && isFinal(path))
    return [withoutArchive.of(world, operation), finals.sort()]
  },
}

function diskFault(
  name: string,
  code: 'DISK_SICK' | 'DISK_FULL' | 'DISK_DENIED',
  names: readonly string[],
): Fault {
  return {
    name,
    hits: ({ of, name: operation }) =>
      (of === 'disk' || of === 'errors') && names.includes(operation),
    before(world, { of, name: operation }) {
      const disk = of === 'disk' ? world.disk : world.errorDisk
      disk.failNext(operation as Parameters<typeof disk.failNext>[0], code)
    },
  }
}

function throwing(name: string, of: Operation['of'], error: () => AppError): Fault[] {
  const fail = () => {
    throw error()
  }
  return [
    { name: `${name} before it is asked`, hits: (one) => isOn(of, one), before: fail },
    { name: `${name} before it answers`, hits: (one) => isOn(of, one), after: fail },
  ]
}

const changes = { hits: changesSomething }

/** Users do not wait for us, and a new file may be as long as the old one. */
function replaceFirst({ bucket, clock, tables }: World): void {
  const [row] = tables.media
  if (row !== undefined) upload(bucket, row.objectKey, 'BYTES OF CLIP 1', clock.ms)
}

const replacedEnds = ['source_differs', 'held', 'lost', 'released']

/**
 * R2 documents no conditional DELETE: what happens in the two seconds between HEAD and DELETE is the documented window, and
 * so is a worker that is held up with the request in its hands.
 */
const WINDOW = ['source-seen', 'heartbeat', 'delete']
const isNoticed = ({ name }: Operation, { bucket }: World) =>
  bucket.honoursIfMatch || !WINDOW.includes(name)
const isNoticedLater = ({ name }: Operation, { bucket }: World) =>
  bucket.honoursIfMatch || name !== 'delete'

export const faults: readonly Fault[] = [
  {
    ...diskFault('a sync fails, later ones seem to succeed', 'DISK_SICK', SYNCS),
    /** A person is told, mounts the disk anew, and finds there what was durable. */
    mend(world) {
      if (world.tables.archive?.sick === null) return
      const [left] = crashStates(world, 2, 1)
      Object.assign(world, crashedWorld(world, left ?? world))
      if (world.tables.archive !== null) world.tables.archive.sick = null
    },
  },
  diskFault('a write fails', 'DISK_SICK', ['write', 'create', 'link', 'rename', 'makeFolder']),
  diskFault('the disk is full', 'DISK_FULL', ['write', 'create', 'link']),
  diskFault('a name is refused', 'DISK_DENIED', ['create', 'link', 'rename', 'unlink']),
  diskFault('a read fails', 'DISK_SICK', ['stat', 'read', 'hash', 'chunks', 'list']),
  {
    name: 'an answer of the database is lost, and asked for again',
    hits: (operation) => isOn('database', operation),
    after: () => 'lost',
  },
  ...throwing('the database goes away', 'database', () => answerLost('statement')),
  ...throwing('the bucket goes away', 'bucket', () => {
    return new AppError('BUCKET_UNAVAILABLE', 'the bucket is down')
  }),
  {
    name: 'the row is un-approved',
    ...changes,
    before({ tables }) {
      const [row] = tables.media
      if (row?.status === 'approved') row.status = 'pending'
    },
    ends: ['withdrawn', 'claimed', 'waiting', 'held', 'missing'],
  },
  {
    name: 'the row gets another key',
    ...changes,
    before({ tables, bucket, clock }) {
      const [row] = tables.media
      if (row?.status !== 'approved') return
      row.objectKey = 'uploads/new.mp4'
      upload(bucket, row.objectKey, 'new bytes', clock.ms)
    },
    ends: ['withdrawn', 'released', 'held'],
  },
  {
    name: 'the object is replaced',
    hits: isNoticed,
    before: replaceFirst,
    ends: replacedEnds,
  },
  {
    name: 'the worker is slow, and the object is replaced meanwhile',
    hits: isNoticedLater,
    before(world) {
      world.clock.ms += 3_000
      replaceFirst(world)
    },
    ends: replacedEnds,
  },
  {
    name: 'the machine is paused, and the object is replaced meanwhile',
    hits: ({ name }) => name !== 'delete',
    before(world) {
      world.clock.ms += LEASE_MS + 1_000
      world.pausedMs += LEASE_MS + 1_000
      replaceFirst(world)
    },
    ends: replacedEnds,
  },
  ...(['cut', 'flip'] as const).map((flaw) => ({
    name: `a download is ${flaw === 'cut' ? 'cut short' : 'corrupted'}`,
    hits: ({ of, name }: Operation) => of === 'bucket' && name === 'get',
    before: ({ bucket }: World) => void bucket.flaws.push(flaw),
  })),
  {
    name: 'the archive is not mounted',
    hits: isInTime,
    before: ({ disk }) => disk.unmount(),
    mend: ({ disk }) => disk.remount(),
    freezes: withoutArchive,
  },
  {
    name: 'another archive is mounted',
    hits: isInTime,
    before: (world) => spoilMarker(world),
    mend: (world) => spoilMarker(world),
    freezes: onAnotherArchive,
  },
  {
    name: 'the folder lies on another file system than the marker',
    // A verdict on a missing object concerns no file.
    hits: (operation, world) => isInTime(operation, world) && world.bucket.live.size > 0,
    before(world) {
      world.onAnotherDevice = true
    },
    mend(world) {
      world.onAnotherDevice = false
    },
    freezes: noVerdict,
  },
  {
    name: 'a person pauses releases',
    // Looked at for the last time before the HEAD.
    hits: ({ name }) => !['head', ...WINDOW].includes(name),
    before({ tables }) {
      if (tables.archive !== null) tables.archive.releasePaused = { reason: null }
    },
    mend({ tables }) {
      if (tables.archive !== null) tables.archive.releasePaused = null
    },
    freezes: {
      promise: 'I7: a source was deleted although releases are paused',
      of: ({ bucket }) => bucket.deletions.filter(({ key }) => !isProbe(key)),
    },
  },
  {
    name: 'somebody removes the file before it is recorded',
    hits: ({ name }) => name === 'folder-synced' || name === 'published',
    async before({ disk, tables }) {
      const path = tables.items.find(({ state }) => state === 'publishing')?.archivePath
      if (!path) return
      await disk.unlink(path)
      await disk.syncFolder(path.slice(0, path.lastIndexOf('/')))
    },
  },
]

/** Lets the fault hit once at every operation of the story that it can hit, mends it, and recovers. */
export async function everyFault(scenario: Scenario, fault: Fault): Promise<Explored> {
  const explored: Explored = { moments: 0, states: 0, recoveries: 0 }
  for (let at = 0; ; at += 1) {
    const world = await beginStory(scenario)
    const { gate, hit } = hitAt(world, fault, at)
    const survivor = await live(world, scenario, {
      gate: withMeddling(world, scenario, gate),
    }).catch(noteStart)
    const { where, assertFrozen } = hit()
    if (where === null) return explored
    explored.moments += 1
    assertFrozen()
    await fault.mend?.(world)
    judge(world, where)
    const ends = (left: World) => [...scenario.ends(left), ...(fault.ends ?? [])]
    const story = { ...scenario, ends }
    await recover(world, story, { where, survivor: fault.freezes ? survivor : null })
    explored.recoveries += 1
  }
}

export function faultNamed(name: string): Fault {
  const found = faults.find((fault) => fault.name === name)
  if (found === undefined) throw new Error(`there is no fault "${name}"`)
  return found
}

/** Does `work` with the waits between tries skipped. */
export async function withoutWaits<T>(work: () => Promise<T>): Promise<T> {
  mock.timers.enable({ apis: ['setTimeout'] })
  const ticking = setInterval(() => mock.timers.tick(10_000), 1)
  try {
    return await work()
  } finally {
    clearInterval(ticking)
    mock.timers.reset()
  }
}

/** A process that cannot start ends; the next one is tried. */
function noteStart(error: unknown): null {
  if (error instanceof AppError) return null
  throw error
}

function frozen(world: World, { name, freezes }: Fault, operation: Operation): () => void {
  if (freezes === undefined) return () => {}
  const before = JSON.stringify(freezes.of(world, operation))
  return () => {
    if (JSON.stringify(freezes.of(world, operation)) !== before)
      throw new Violation([freezes.promise], `${name} at ${describe(operation)}`)
  }
}

function hitAt(world: World, fault: Fault, at: number) {
  const started = createStarted()
  let count = 0
  let where: string | null = null
  let assertFrozen = () => {}
  let isHit = false
  const gate: Gate = async (operation, moment) => {
    if (moment === 'after') {
      const hitNow = isHit
      isHit = false
      return hitNow ? fault.after?.(world, operation) : undefined
    }
    if (!started(operation) || !fault.hits(operation, world)) return undefined
    count += 1
    if (count !== at + 1) return undefined
    where = `${fault.name} at ${count}: ${describe(operation)}`
    isHit = fault.after !== undefined
    await fault.before?.(world, operation)
    assertFrozen = frozen(world, fault, operation)
    return undefined
  }
  return { gate, hit: () => ({ where, assertFrozen }) }
}
