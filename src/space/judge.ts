import type { OwnerFacts } from '../db/removals.ts'
import type { Unit } from './units.ts'

export interface Rules {
  now: Date
  minAgeMs: number
  /** Sizes of archived files that are lost or damaged. */
  sizesInNeed: ReadonlySet<number>
}

/** Pure: why something must stay; null when it may go. In doubt it stays. */
export function whyKept(unit: Unit, owner: OwnerFacts | undefined, rules: Rules): string | null {
  if (owner === undefined) return 'no item of this database knows it'
  const foreign = whyForeign(unit, owner)
  if (foreign !== null) return foreign
  if (unit.files.some(({ links }) => links > 1))
    return 'it has another name elsewhere: without this one nothing would be freed'
  if (unit.files.some(({ sizeBytes }) => sizeBytes > 0 && rules.sizesInNeed.has(sizeBytes)))
    return 'an archived file of its very size is lost or damaged'
  // Each age by the clock that gave its time.
  const ageMs = rules.now.getTime() - unit.since.getTime()
  if (ageMs < rules.minAgeMs || (isAtRest(unit, owner) && owner.restedMs < rules.minAgeMs))
    return `it has lain there only since ${lainSince(unit, owner).toISOString()}`
  return unit.shelf.area === 'errors' ? null : whyOwnerNeedsIt(unit, owner)
}

/** After a loss of the database another item has the number under which it was set aside. */
function whyForeign({ item, files, of }: Unit, { mediaId, sha256 }: OwnerFacts): string | null {
  if (files.length === 0) return null
  if (of === null) return 'no sidecar beside it says what it is'
  if (of.mediaId !== mediaId) return `item ${item} is of another medium`
  if (of.sha256 !== null && of.sha256 !== sha256) return `item ${item} is of another file`
  return null
}

/** When it came there, as far as files and item tell: the later of both. */
export function lainSince(unit: Unit, owner: OwnerFacts): Date {
  return isAtRest(unit, owner) && owner.changedAt > unit.since ? owner.changedAt : unit.since
}

function isAtRest({ shelf }: Unit, { state }: OwnerFacts): boolean {
  return shelf.area === 'withdrawn' && state === 'withdrawn'
}

/** Its archived file can be read first, under the lease, and must then be whole. */
export function isFiledOwner({ state }: OwnerFacts): boolean {
  return ['archived', 'releasing', 'released', 'source_differs', 'kept'].includes(state)
}

function whyOwnerNeedsIt(unit: Unit, owner: OwnerFacts): string | null {
  if (owner.leased) return 'a worker has its item in hand'
  if (owner.siblingInNeed) return 'another version of the medium may need it'
  if (isFiledOwner(owner)) {
    if (unit.shelf.area === 'withdrawn') return `its item is ${owner.state}`
    return owner.damaged ? 'its archived file is damaged' : null
  }
  const isOver = ['withdrawn', 'rejected'].includes(owner.state)
  if (!isOver || (unit.shelf.area === 'withdrawn' && owner.state !== 'withdrawn'))
    return `its item is ${owner.state}`
  return owner.approved ? 'its media row is approved again' : null
}
