import type { AppError } from '../errors.ts'
import type { SpaceState } from '../sync/space.ts'
import { pause } from '../waiting.ts'
import type { Stranger } from './units.ts'

/** What went so far, added to file by file. */
export interface Done {
  files: number
  bytes: number
  /** How many of the files went to the second bucket. */
  moved: number
  /** What was to go, and stays after all. */
  kept: Stranger[]
  /** Files went and hardly anything became free: under snapshots, or while others take as much. */
  inVain: boolean
  /** What ended the moving; all that needs no second bucket was done. Null for nothing. */
  problem: AppError | null
}

/** Goes over a disk once, file by file. */
export interface Pass {
  signal: AbortSignal
  done: Done
  /** Asked before each file: true when there is room, however that came, or when what goes makes none. */
  isOver: () => Promise<boolean>
}

/** When it is asked whether what went became free. */
export interface Doubts {
  fromBytes: number
  /** For so long room may come late. */
  waitMs: number
}

/** Less cannot be told from what others write meanwhile; btrfs tells of what it freed only up to half a minute later. */
const usual: Doubts = { fromBytes: 64 * 1024 * 1024, waitMs: 60_000 }
const LOOK_MS = 1_000

export function createPass(
  state: () => Promise<SpaceState>,
  { targetBytes, wantedBytes }: { targetBytes: number; wantedBytes: number },
  { signal, doubts = usual }: { signal: AbortSignal; doubts?: Doubts },
): Pass {
  const done: Done = { files: 0, bytes: 0, moved: 0, kept: [], inVain: false, problem: null }
  const freeBytes = async () => (await state()).freeBytes
  let from: { freeBytes: number; bytes: number } | null = null

  const becameFree = async (): Promise<boolean> => {
    from ??= { freeBytes: await freeBytes(), bytes: done.bytes }
    const went = done.bytes - from.bytes
    if (went < doubts.fromBytes) return true
    for (let leftMs = doubts.waitMs; ; leftMs -= LOOK_MS) {
      if ((await freeBytes()) - from.freeBytes >= went / 2) return true
      if (leftMs <= 0) return false
      await pause(Math.min(LOOK_MS, leftMs), signal)
    }
  }
  const isOver = async () => {
    signal.throwIfAborted()
    if (done.bytes >= wantedBytes || (await freeBytes()) >= targetBytes) return true
    done.inVain ||= !(await becameFree())
    return done.inVain
  }
  return { signal, done, isOver }
}
