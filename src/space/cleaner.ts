import { toAppError } from '../errors.ts'
import type { MakeRoom } from '../sync/room.ts'
import type { SpaceState } from '../sync/space.ts'
import { type CleanParts, clean, type PlanParts, planOn } from './clean.ts'
import { endMoves, type MovingPlan, moveOldest, planMoves } from './moving.ts'
import { createPass, type Done, type Doubts } from './pass.ts'
import type { CleaningPlan } from './plan.ts'

/** A disk, and what may be removed from it. */
export interface CleanableDisk<Parts extends PlanParts> {
  root: string
  state: () => Promise<SpaceState>
  /** Bytes up to which room is made. */
  targetOf: (totalBytes: number) => number
  parts: Parts
}

export interface DiskPlan<Parts extends PlanParts> {
  disk: CleanableDisk<Parts>
  state: SpaceState
  targetBytes: number
  /** Bytes that are to be freed. */
  wantedBytes: number
  /** Why less is wanted than was asked for; null for nothing. */
  beyond: string | null
  plan: CleaningPlan
  /** After all that, archived files to the second bucket. */
  moving: MovingPlan
  /** By both. */
  freesBytes: number
}

/** Made at a time on a disk that refuses writes although it says that it has room: a quota is used up, or inodes are. */
const REFUSED_BYTES = 2 ** 30

/**
 * What would go from a disk: nothing where the target is met, but for the rest of moves that were cut off. What cannot be
 * reached is no target: for a download that never fits, or a setting beyond the disk, everything would go in vain.
 *
 * @param refused a write was, perhaps on another disk, and nobody sees what it lacks: no archived file is moved for that
 */
export async function planDisk<Parts extends PlanParts>(
  disk: CleanableDisk<Parts>,
  refused = false,
): Promise<DiskPlan<Parts>> {
  const state = await disk.state()
  const { totalBytes, minBytes, neededBytes } = state
  const usual = Math.max(disk.targetOf(totalBytes), minBytes)
  if (usual > totalBytes) {
    const beyond = `${usual} bytes are to be free on a disk of ${totalBytes}: nothing goes for that`
    return { ...(await planUpTo(disk, state, 0)), beyond }
  }
  if (refused && !state.low) {
    const staying = { ...disk, parts: { ...disk.parts, moving: null } }
    return planUpTo(staying, state, state.freeBytes + REFUSED_BYTES)
  }
  const asked = minBytes + neededBytes
  if (asked <= usual) return planUpTo(disk, state, usual)
  if (asked <= totalBytes) {
    const planned = await planUpTo(disk, state, asked)
    if (planned.freesBytes >= planned.wantedBytes) return planned
  }
  const beyond = `a download of ${neededBytes} bytes would not fit if all went that may: nothing goes for it`
  return { ...(await planUpTo(disk, state, usual)), beyond }
}

async function planUpTo<Parts extends PlanParts>(
  disk: CleanableDisk<Parts>,
  state: SpaceState,
  freeBytes: number,
): Promise<DiskPlan<Parts>> {
  const targetBytes = freeBytes + state.reservedBytes
  const wantedBytes = Math.max(0, targetBytes - state.freeBytes)
  const { moving: movable } = disk.parts
  const plan = await planOn(disk.parts, wantedBytes)
  const left = wantedBytes - plan.freesBytes
  const moving = movable === null ? { moves: [], freesBytes: 0 } : await planMoves(movable, left)
  const freesBytes = plan.freesBytes + moving.freesBytes
  return { disk, state, targetBytes, wantedBytes, beyond: null, plan, moving, freesBytes }
}

/**
 * Does what was planned until there is room; for what stays after all, archived files that were not in the plan may go. What
 * lies here comes first: a second bucket that is away ends only the moving.
 *
 * @throws as {@link clean} does
 */
export async function cleanDisk(
  { disk, plan, ...bytes }: DiskPlan<CleanParts>,
  options: { signal: AbortSignal; doubts?: Doubts },
): Promise<Done> {
  const { moving } = disk.parts
  const pass = createPass(disk.state, bytes, options)
  await clean(disk.parts, plan, pass)
  if (moving === null) return pass.done
  try {
    await endMoves(moving, pass)
    await moveOldest(moving, pass)
  } catch (thrown) {
    options.signal.throwIfAborted()
    pass.done.problem = toAppError(thrown)
  }
  return pass.done
}

/** When cleaning did not help, what lies there has to grow older first. */
const AGAIN_MS = 10 * 60_000
/** Where files went and that did not help, ever later, so that not all of them go for nothing. */
const LONGEST_MS = 24 * 3_600_000

interface MakeRoomOptions {
  signal: AbortSignal
  doubts?: Doubts
  now?: () => number
}

const IN_VAIN =
  'files went and the disk has hardly more room: it has snapshots, or others write there; nothing more goes for a day'

/** Makes room on every disk that has too little of it; never throws, and on each does nothing for a while after it was in vain. */
export function createMakeRoom(
  disks: readonly CleanableDisk<CleanParts>[],
  options: MakeRoomOptions,
): MakeRoom {
  const each = disks.map((disk) => createMakeRoomOn(disk, options))
  let running: Promise<void> | null = null
  const onEach: MakeRoom = async (asked) => {
    for (const makeRoom of each) await makeRoom(asked)
  }
  return async (asked) => {
    running ??= onEach(asked).finally(() => {
      running = null
    })
    await running
  }
}

function createMakeRoomOn(
  disk: CleanableDisk<CleanParts>,
  { now = () => performance.now(), ...options }: MakeRoomOptions,
): MakeRoom {
  const { log, shelves, moving } = disk.parts
  let vainUntil = Number.NEGATIVE_INFINITY
  let timesInVain = 0
  let saidBeyond: string | null = null
  const wait = ({ files, inVain }: Pick<Done, 'files' | 'inVain'>) => {
    const laterMs = inVain ? LONGEST_MS : Math.min(AGAIN_MS * 2 ** timesInVain, LONGEST_MS)
    vainUntil = now() + (files === 0 ? AGAIN_MS : laterMs)
    if (files > 0) timesInVain += 1
  }
  return async ({ refused = false, helped = false } = {}) => {
    if (helped) timesInVain = 0
    if (now() < vainUntil || (shelves.length === 0 && moving === null)) return
    try {
      if (!refused && !(await disk.state()).low) return
      const planned = await planDisk(disk, refused)
      const { plan, beyond } = planned
      if (beyond !== null && beyond !== saidBeyond) log.warn({ disk: disk.root }, beyond)
      saidBeyond = beyond
      const done = await cleanDisk(planned, options)
      const { low, freeBytes } = await disk.state()
      if (low || refused || done.inVain) wait(done)
      else timesInVain = 0
      if (done.problem !== null)
        log.warn({ error: done.problem }, 'no more can be moved to the second bucket now')
      tell(disk, { done, plan, freeBytes })
    } catch (thrown) {
      vainUntil = now() + AGAIN_MS
      if (!options.signal.aborted) log.warn({ error: toAppError(thrown) }, 'no room could be made')
    }
  }
}

function tell(
  { root, parts }: CleanableDisk<CleanParts>,
  { done, plan, freeBytes }: { done: Done; plan: CleaningPlan; freeBytes: number },
): void {
  const { files, bytes, moved, inVain } = done
  const kept = plan.keep.length + done.kept.length
  const told = { disk: root, files, moved, bytes, kept, freeBytes }
  if (inVain) parts.log.warn(told, IN_VAIN)
  else if (files > 0) parts.log.warn(told, 'made room on the disk')
  else parts.log.debug(told, 'nothing may be removed to make room')
}
