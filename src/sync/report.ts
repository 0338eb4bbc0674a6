import type { Item } from '../media.ts'
import type { Downloaded } from './download.ts'

export type Outcome =
  | 'archived'
  | 'rejected'
  | 'withdrawn'
  | 'held'
  | 'missing'
  | 'waiting'
  /** Another worker has it now, or it was given back untouched. */
  | 'left'

export type ReleaseOutcome = 'released' | 'kept' | 'source_differs' | 'healed' | 'lost' | 'stale'

export interface ItemReport {
  item: Item
  outcome: Outcome
  archivePath: string | null
  sizeBytes: number | null
  sha256: string | null
  /** Why, when it is not archived. */
  reason: string | null
}

export function reportOf(item: Item, outcome: Outcome, reason: string | null = null): ItemReport {
  return { item, outcome, reason, archivePath: null, sizeBytes: null, sha256: null }
}

export function summaryOf({ source, sha256 }: Pick<Downloaded, 'source' | 'sha256'>): {
  sizeBytes: number
  sha256: string
} {
  return { sizeBytes: source.sizeBytes, sha256 }
}
