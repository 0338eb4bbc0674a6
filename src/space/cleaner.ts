import { toAppError } from '../errors.ts'
import type { SpaceState } from '../sync/space.ts'
import { type Cleaned, type CleanParts, clean, type PlanParts, planOn } from './clean.ts'
import { endMoves, type MovingPlan, moveOldest, planMoves } from './moving.ts'
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

/**
 * What would go from a disk: nothing where the target is met, but for the rest of moves that were cut off. What cannot be
 * reached is no target: for a download that never fits, or a setting beyond the disk, everything would go in vain.
 */
export async function planDisk<Parts extends PlanParts>(
  disk: CleanableDisk<Parts>,
): Promise<DiskPlan<Parts>> {
  const state = await disk.state()
  const { totalBytes, minBytes, neededBytes } = state
  const usual = Math.max(disk.targetOf(totalBytes), minBytes)
  if (usual > totalBytes) {
    const beyond = `${usual} bytes are to be free on a disk of ${totalBytes}: nothing goes for that`
    return { ...(await planUpTo(disk, state, 0)), beyond }
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

/** Does what was planned; for what stays after all, archived files that were not in the plan may go. @throws as both do */
export async function cleanDisk(
  { disk, plan, wantedBytes }: DiskPlan<CleanParts>,
  signal: AbortSignal,
): Promise<DoneOnDisk> {
  const { moving } = disk.parts
  const ended = moving === null ? nothing : await endMoves(moving, signal)
  const removed = await clean(disk.parts, plan, signal)
  const left = wantedBytes - ended.bytes - removed.bytes
  const moved = moving === null || left <= 0 ? nothing : await moveOldest(moving, left, signal)
  return {
    files: removed.files + ended.files + moved.files,
    bytes: removed.bytes + ended.bytes + moved.bytes,
    moved: ended.files + moved.files,
    kept: [...removed.kept, ...ended.kept, ...moved.kept],
  }
}

/** `files` and `bytes` are of all that went, `moved` how many of them to the second bucket. */
export interface DoneOnDisk extends Cleaned {
  moved: number
}

const nothing = { files: 0, bytes: 0, kept: [] }

/** When cleaning did not help, what lies there has to grow older first. */
const AGAIN_MS = 10 * 60_000

/** Makes room on every disk that has too little of it; never throws, and does nothing for a while after it was in vain. */
export function createMakeRoom(
  disks: readonly CleanableDisk<CleanParts>[],
  { signal, now = () => performance.now() }: { signal: AbortSignal; now?: () => number },
): () => Promise<void> {
  let vainUntil = Number.NEGATIVE_INFINITY
  let running: Promise<void> | null = null
  let saidBeyond: string | null = null
  const makeRoom = async () => {
    for (const disk of disks) {
      const { log } = disk.parts
      try {
        const { shelves, moving } = disk.parts
        if ((shelves.length === 0 && moving === null) || !(await disk.state()).low) continue
        const planned = await planDisk(disk)
        const { plan, beyond } = planned
        if (beyond !== null && beyond !== saidBeyond) log.warn({ disk: disk.root }, beyond)
        saidBeyond = beyond
        const done = await cleanDisk(planned, signal)
        const { low, freeBytes } = await disk.state()
        if (low) vainUntil = now() + AGAIN_MS
        tell(disk, { done, plan, freeBytes })
      } catch (thrown) {
        vainUntil = now() + AGAIN_MS
        if (!signal.aborted) log.warn({ error: toAppError(thrown) }, 'no room could be made')
      }
    }
  }
  return async () => {
    if (now() < vainUntil) return
    running ??= makeRoom().finally(() => {
      running = null
    })
    await running
  }
}

function tell(
  { root, parts }: CleanableDisk<CleanParts>,
  { done, plan, freeBytes }: { done: DoneOnDisk; plan: CleaningPlan; freeBytes: number },
): void {
  const { files, bytes, moved } = done
  const kept = plan.keep.length + done.kept.length
  const told = { disk: root, files, moved, bytes, kept, freeBytes }
  if (files > 0) parts.log.warn(told, 'made room on the disk')
  else parts.log.debug(told, 'nothing may be removed to make room')
}
