import type { OwnerFacts, Removal, RemovalOutcome } from '../db/removals.ts'
import { toAppError } from '../errors.ts'
import type { Log } from '../log.ts'
import type { Area } from '../set-aside.ts'
import { removeEmptyFolder, removeSeen } from '../storage/removal.ts'
import { isFiledOwner, type Rules, whyKept } from './judge.ts'
import type { MovingParts, MovingPlanParts } from './moving.ts'
import type { Done, Pass } from './pass.ts'
import { type CleaningPlan, type Planned, planCleaning } from './plan.ts'
import { listShelf, type Shelf, type Stranger, type Unit } from './units.ts'

export interface PlanParts {
  shelves: readonly Shelf[]
  minAgeMs: number
  owners: (items: readonly number[]) => Promise<OwnerFacts[]>
  sizesInNeed: () => Promise<Set<number>>
  /** By the clock of this machine, as the times of the files are. */
  now: () => Date
  /** Archived files that may be moved to a second bucket; null for none. */
  moving: MovingPlanParts | null
}

export interface CleanParts extends PlanParts {
  node: string
  moving: MovingParts | null
  begin: (removal: Removal) => Promise<number>
  end: (id: number, outcome: RemovalOutcome) => Promise<void>
  /**
   * Reads the item's archived file under its lease, and calls `remove` only if it is whole.
   *
   * @returns false when it is not, or a worker has the item in hand
   */
  whileWhole: (item: number, remove: () => Promise<void>) => Promise<boolean>
  /** @throws VOLUME_* when the archive is not there: then there is no verdict */
  verify: () => Promise<void>
  log: Log
}

const PAGE = 500

const reasons: Record<Area, string> = {
  errors: 'a copy of what was rejected, or its report',
  withdrawn: 'a copy whose media row had changed',
  quarantine: 'it was not what had been archived',
}

/** Lists and judges; changes nothing. @throws DB_*, DISK_* */
export async function planOn(parts: PlanParts, wantedBytes: number): Promise<CleaningPlan> {
  const listed = { units: [] as Unit[], strangers: [] as Stranger[] }
  for (const shelf of wantedBytes > 0 ? parts.shelves : []) {
    const { units, strangers } = await listShelf(shelf)
    listed.units.push(...units)
    listed.strangers.push(...strangers)
  }
  const items = [...new Set(listed.units.map(({ item }) => item))]
  const owners = new Map<number, OwnerFacts>()
  for (let from = 0; from < items.length; from += PAGE)
    for (const owner of await parts.owners(items.slice(from, from + PAGE)))
      owners.set(owner.item, owner)
  return planCleaning(listed, owners, { ...(await rulesOf(parts)), wantedBytes })
}

/**
 * Removes what the plan names, each after another look: what changed meanwhile stays. Each file is entered in the database
 * before it goes. A power cut may bring one back; it is then removed once more.
 *
 * @throws DB_*, VOLUME_*, CANCELLED
 */
export async function clean(
  parts: CleanParts,
  { remove }: CleaningPlan,
  { done, isOver }: Pass,
): Promise<void> {
  for (const { unit } of remove) {
    if (await isOver()) return
    try {
      const kept = await removeUnit(parts, unit, done)
      if (kept !== null) done.kept.push({ path: unit.path, reason: kept })
    } catch (thrown) {
      const error = toAppError(thrown)
      if (!error.code.startsWith('DISK_') && error.code !== 'PATH_UNSAFE') throw error
      parts.log.warn({ path: unit.path, error }, 'what was to be removed stays')
      done.kept.push({ path: unit.path, reason: error.message })
    }
  }
}

/** @returns why it stays, null when it is gone */
async function removeUnit(parts: CleanParts, unit: Unit, done: Done): Promise<string | null> {
  await parts.verify()
  const [owner] = await parts.owners([unit.item])
  const kept = whyKept(unit, owner, await rulesOf(parts))
  if (kept !== null || owner === undefined) return kept
  const planned = { unit, owner, since: unit.since }
  if (unit.shelf.area !== 'quarantine' || !isFiledOwner(owner)) {
    return removeFiles(parts, planned, done)
  }
  // Should the archived file be bad, these may be the only right bytes.
  let outcome: { changed: string | null } | { error: unknown } | null = null
  const whole = await parts.whileWhole(unit.item, async () => {
    // What fails here says nothing of the archived file.
    outcome = await removeFiles(parts, planned, done).then(
      (changed) => ({ changed }),
      (error: unknown) => ({ error }),
    )
  })
  return endOf(outcome) ?? (whole ? null : 'its archived file is not whole, or in hand')
}

async function removeFiles(
  parts: CleanParts,
  { unit, owner }: Planned,
  done: Done,
): Promise<string | null> {
  const { node, begin, end, log } = parts
  const { shelf, item } = unit
  const { mediaId } = owner
  const { area, disk } = shelf
  let changed = false
  for (const file of unit.files) {
    const { path, sizeBytes } = file
    const entry = { area, path, sizeBytes, item, mediaId, reason: reasons[area] }
    const id = await begin({ ...entry, node })
    const outcome = await removeSeen(disk.root, file)
    await end(id, outcome)
    if (outcome === 'changed') changed = true
    if (outcome !== 'removed') continue
    done.files += 1
    done.bytes += sizeBytes
    log.info({ ...entry, item, media: mediaId }, 'removed to make room')
  }
  if (shelf.folder !== '') await removeEmptyFolder(disk.root, unit.path)
  return changed ? 'somebody wrote to it meanwhile' : null
}

/** @returns why something stays; null for nothing, or nothing known */
function endOf(outcome: { changed: string | null } | { error: unknown } | null): string | null {
  if (outcome === null) return null
  if ('error' in outcome) throw outcome.error
  return outcome.changed
}

async function rulesOf({ now, minAgeMs, sizesInNeed }: PlanParts): Promise<Rules> {
  return { now: now(), minAgeMs, sizesInNeed: await sizesInNeed() }
}
