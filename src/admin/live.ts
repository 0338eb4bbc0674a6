import type { Item } from '../media.ts'

/** How far the fetching of one item is. */
export interface Transfer {
  bytes: number
  sizeBytes: number
  startedAtMs: number
}

/** What this very process is doing, told by its sync as it does it. */
export interface Live {
  watch: {
    claimed(items: readonly Pick<Item, 'id'>[]): void
    fetching(item: Pick<Item, 'id'>, sizeBytes: number): void
    fetched(item: Pick<Item, 'id'>, bytes: number): void
    settled(report: { item: Pick<Item, 'id'> }): void
  }
  /** By the id of the item. */
  transfers(): ReadonlyMap<number, Transfer>
}

/** @param nowMs a clock that only goes forward */
export function createLive(nowMs = () => performance.now()): Live {
  const transfers = new Map<number, Transfer>()
  return {
    watch: {
      claimed() {},
      fetching({ id }, sizeBytes) {
        transfers.set(id, { bytes: 0, sizeBytes, startedAtMs: nowMs() })
      },
      fetched({ id }, bytes) {
        const transfer = transfers.get(id)
        if (transfer !== undefined) transfer.bytes += bytes
      },
      settled({ item }) {
        transfers.delete(item.id)
      },
    },
    transfers: () => transfers,
  }
}
