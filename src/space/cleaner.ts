import { toAppError } from '../errors.ts'
import type { SpaceState } from '../sync/space.ts'
import { type Cleaned, type CleanParts, clean, type PlanParts, planOn } from './clean.ts'
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
  plan: CleaningPlan
}

/** What would go from a disk: nothing where the target is met. */
export async function planDisk<Parts extends PlanParts>(
  disk: CleanableDisk<Parts>,
): Promise<DiskPlan<Parts>> {
  const state = await disk.state()
  const { freeBytes, totalBytes, reservedBytes, minBytes, neededBytes } = state
  const targetBytes = Math.max(disk.targetOf(totalBytes), minBytes + neededBytes) + reservedBytes
  const plan = await planOn(disk.parts, Math.max(0, targetBytes - freeBytes))
  return { disk, state, targetBytes, plan }
}

/** When cleaning did not help, what lies there has to grow older first. */
const AGAIN_MS = 10 * 60_000

/** Makes room on every disk that has too little of it; never throws, and does nothing for a while after it was in vain. */
export function createMakeRoom(
  disks: readonly CleanableDisk<CleanParts>[],
  { signal, now = () => performance.now() }: { signal: AbortSignal; now?: () => number },
): () => Promise<void> {
  let vainUntil = Number.NEGATIVE_INFINITY
  let running: Promise<void> | null = null
  const makeRoom = async () => {
    for (const disk of disks) {
      const { log } = disk.parts
      try {
        if (disk.parts.shelves.length === 0 || !(await disk.state()).low) continue
        const { plan } = await planDisk(disk)
        const done = await clean(disk.parts, plan, signal)
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
  { done, plan, freeBytes }: { done: Cleaned; plan: CleaningPlan; freeBytes: number },
): void {
  const { files, bytes } = done
  const kept = plan.keep.length + done.kept.length
  const told = { disk: root, files, bytes, kept, freeBytes }
  if (files > 0) parts.log.warn(told, 'made room on the disk')
  else parts.log.debug(told, 'nothing may be removed to make room')
}
