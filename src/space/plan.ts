import type { OwnerFacts } from '../db/removals.ts'
import { lainSince, type Rules, whyKept } from './judge.ts'
import type { Stranger, Unit } from './units.ts'

/** What goes, in this order. */
export interface Planned {
  unit: Unit
  owner: OwnerFacts
  since: Date
}

export interface CleaningPlan {
  remove: Planned[]
  /** What may go by its area, and stays, with the reason. */
  keep: Stranger[]
  /** Bytes that are freed by it. */
  freesBytes: number
  /** Bytes that were to be freed. */
  wantedBytes: number
}

/** Pure: the oldest first, and no more than is needed. */
export function planCleaning(
  listed: { units: readonly Unit[]; strangers: readonly Stranger[] },
  owners: ReadonlyMap<number, OwnerFacts>,
  { wantedBytes, ...rules }: Rules & { wantedBytes: number },
): CleaningPlan {
  const plan: CleaningPlan = { remove: [], keep: [...listed.strangers], freesBytes: 0, wantedBytes }
  const may: Planned[] = []
  for (const unit of listed.units) {
    const owner = owners.get(unit.item)
    const reason = whyKept(unit, owner, rules)
    if (reason !== null || owner === undefined)
      plan.keep.push({ path: unit.path, reason: reason ?? 'nobody knows it' })
    else may.push({ unit, owner, since: lainSince(unit, owner) })
  }
  may.sort((a, b) => a.since.getTime() - b.since.getTime() || (a.unit.path < b.unit.path ? -1 : 1))
  for (const one of may) {
    if (plan.freesBytes < wantedBytes) {
      plan.remove.push(one)
      plan.freesBytes += one.unit.bytes
    } else plan.keep.push({ path: one.unit.path, reason: 'enough would be free without it' })
  }
  return plan
}
