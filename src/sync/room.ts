import { type AppError, toAppError } from '../errors.ts'
import type { Log } from '../log.ts'
import type { Space, SpaceState } from './space.ts'

/** Said when a disk has too little room, and when it has enough again. */
export interface SpaceChange {
  low: boolean
  freeBytes: number
  minBytes: number
}

/**
 * Removes what may go where there is too little room; never throws.
 *
 * @param asked.refused also where the disk says that it has room: it refused a write
 * @param asked.helped something was archived since room was made the last time
 */
export type MakeRoom = (asked?: { refused?: boolean; helped?: boolean }) => Promise<void>

/** Knows whether runs wait for room, and says once that they do and once that it is there. */
export interface Room {
  /** Told how each run ended, and how much it archived. */
  ended(stoppedBy: AppError | null, archived?: number): void
  /** Asked now and then while no run is under way: true once, when what stopped the last one fits. */
  isBack(): Promise<boolean>
}

/** @param spaces of each disk that may stop a run */
export function createRoom({
  spaces,
  makeRoom = async () => {},
  changed = () => {},
  log,
}: {
  spaces: readonly Pick<Space, 'state'>[]
  makeRoom?: MakeRoom
  changed?: (change: SpaceChange) => void
  log: Log
}): Room {
  let waits = false
  /** A write was refused, for a reason that the free bytes may not tell: a quota, or no inode. */
  let refused = false
  let helped = false
  let told = false
  const tell = ({ low, freeBytes, minBytes, neededBytes }: SpaceState) => {
    if (low === told) return
    told = low
    if (low) log.warn({ freeBytes, minBytes, neededBytes }, 'waiting for room on the disk')
    else log.info({ freeBytes, minBytes }, 'there is room on the disk again')
    changed({ low, freeBytes, minBytes })
  }
  const look = async (): Promise<boolean> => {
    if (refused || (await lowest(spaces)).low) {
      await makeRoom({ refused, helped })
      helped = false
    }
    const state = await lowest(spaces)
    tell(state)
    return !state.low
  }
  return {
    ended(stoppedBy, archived = 0) {
      if (archived > 0) helped = true
      refused = stoppedBy?.code === 'DISK_FULL'
      waits = refused || stoppedBy?.code === 'DISK_LOW'
    },
    async isBack() {
      if (!waits && !told) return false
      try {
        const isBack = await look()
        // Whether room that nobody can see was made only the next try tells, which comes soon anyway.
        const began = waits && isBack && !refused
        refused = false
        if (isBack) waits = false
        return began
      } catch (error) {
        // The next run says it, and louder.
        log.debug({ error: toAppError(error) }, 'the free space could not be looked at')
        return false
      }
    },
  }
}

/** The state of the disk that has too little room; of the first one when all have enough. */
async function lowest(spaces: readonly Pick<Space, 'state'>[]): Promise<SpaceState> {
  const states = await Promise.all(spaces.map((space) => space.state()))
  const found = states.find(({ low }) => low) ?? states[0]
  if (found === undefined) throw new Error('no disk to look at')
  return found
}
