import type { Item } from '../media.ts'
import type { ItemReport, ReleaseOutcome } from './report.ts'
import type { Space } from './space.ts'

/** Told what a run does while it does it, for whoever shows it; changes nothing and never throws. */
export interface Watch {
  claimed(items: readonly Item[]): void
  /** The item's object has this size and its bytes begin to arrive; again when a transfer starts anew. */
  fetching(item: Item, sizeBytes: number): void
  /** So many more of them are on the disk. */
  fetched(item: Item, sizeBytes: number): void
  settled(report: ItemReport): void
  /** What became of a source that was due to go. */
  released(outcome: ReleaseOutcome): void
}

export const unwatched: Watch = {
  claimed() {},
  fetching() {},
  fetched() {},
  settled() {},
  released() {},
}

/** Tells both, the first one first; of the second only what it wants to hear. */
export function watchBoth(first: Watch, second: Partial<Watch>): Watch {
  return {
    claimed(items) {
      first.claimed(items)
      second.claimed?.(items)
    },
    fetching(item, sizeBytes) {
      first.fetching(item, sizeBytes)
      second.fetching?.(item, sizeBytes)
    },
    fetched(item, sizeBytes) {
      first.fetched(item, sizeBytes)
      second.fetched?.(item, sizeBytes)
    },
    settled(report) {
      first.settled(report)
      second.settled?.(report)
    },
    released(outcome) {
      first.released(outcome)
      second.released?.(outcome)
    },
  }
}

/** The same space; what is reserved and written for `item` is told to `watch`. */
export function watchedSpace(
  space: Pick<Space, 'reserve'>,
  item: Item,
  watch: Watch,
): Pick<Space, 'reserve'> {
  return {
    async reserve(sizeBytes) {
      const reservation = await space.reserve(sizeBytes)
      watch.fetching(item, sizeBytes)
      return {
        ...reservation,
        wrote(bytes) {
          watch.fetched(item, bytes)
          return reservation.wrote(bytes)
        },
        discarded(bytes) {
          reservation.discarded(bytes)
          watch.fetching(item, sizeBytes)
        },
      }
    },
  }
}
