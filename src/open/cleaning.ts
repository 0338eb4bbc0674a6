import { hostname } from 'node:os'
import { bytesOf } from '../config/sizes.ts'
import type { Config } from '../config.ts'
import { archivedFile } from '../db/archived.ts'
import type { Backend } from '../db/backend.ts'
import type { Database } from '../db/connect.ts'
import { beginRemoval, endRemoval, ownerFacts, sizesInNeed } from '../db/removals.ts'
import type { Program, SyncService } from '../open.ts'
import type { CleanParts, PlanParts } from '../space/clean.ts'
import { type CleanableDisk, createMakeRoom } from '../space/cleaner.ts'
import type { Shelf } from '../space/units.ts'
import type { Disk } from '../storage/disk.ts'
import { findDamage } from '../sync/damage.ts'
import { underLease } from '../sync/filed-lease.ts'
import type { Space } from '../sync/space.ts'
import { sidecarTrouble } from '../sync/verify.ts'
import { QUARANTINE_FOLDER, WITHDRAWN_FOLDER } from '../sync/volume.ts'
import { openHealing } from './healing.ts'
import { movingPlanParts, openMoving } from './second.ts'

interface Disks {
  disk: Disk
  errorDisk: Disk | null
  space: Space
  errorSpace: Space
}

/** Both disks, or the one, with what may be removed from each. */
export function cleanableDisks(
  config: Config,
  on: Disks & { database: Database; backend: Backend },
): CleanableDisk<PlanParts>[] {
  const { target, clean } = config.space
  const { database, backend, disk, errorDisk, space, errorSpace } = on
  const parts = {
    minAgeMs: clean.minAgeMs,
    owners: (items: readonly number[]) => ownerFacts(database, backend, items),
    sizesInNeed: () => sizesInNeed(database),
    now: () => new Date(),
    moving: null,
  }
  const shelves = (of: readonly Shelf[]) => of.filter(({ area }) => clean.areas.includes(area))
  const archive = shelves([
    { area: 'withdrawn', disk, folder: WITHDRAWN_FOLDER },
    { area: 'quarantine', disk, folder: QUARANTINE_FOLDER },
  ])
  const errors =
    errorDisk === null ? [] : shelves([{ area: 'errors', disk: errorDisk, folder: '' }])
  const targetOf = (totalBytes: number) => bytesOf(target, totalBytes)
  const main = { root: disk.root, state: space.state, targetOf }
  const moving = movingPlanParts(config, { database, root: disk.root })
  // What lies on another disk frees nothing here.
  if (errorDisk === null || space === errorSpace)
    return [{ ...main, parts: { ...parts, moving, shelves: [...errors, ...archive] } }]
  return [
    { ...main, parts: { ...parts, moving, shelves: archive } },
    {
      root: errorDisk.root,
      state: errorSpace.state,
      targetOf: () => 0,
      parts: { ...parts, shelves: errors },
    },
  ]
}

/** The same for those who remove it. */
export function openCleaning(
  config: Config,
  program: Program,
  service: SyncService,
): CleanableDisk<CleanParts>[] {
  const { database, log, disk, volume } = service
  const { items, leases } = openHealing(service, config, program)
  const never = new AbortController().signal
  const whileWhole: CleanParts['whileWhole'] = async (item, remove) => {
    const file = await archivedFile(database, item)
    if (file === null || file.damaged) return false
    const outcome = await underLease({ items, leases }, file, never, {
      work: async (_, signal) => {
        const damage = await findDamage(service, file, signal)
        const trouble = damage?.message ?? (await sidecarTrouble(disk, file))?.reason ?? null
        if (trouble !== null) return { outcome: 'damaged', damage: trouble }
        await remove()
        return { outcome: 'whole' }
      },
      blame: (reason) => `it may be damaged: ${reason}`,
    })
    return outcome === 'whole'
  }
  const moving = openMoving(config, program, service)
  return cleanableDisks(config, service).map((one) => ({
    ...one,
    parts: {
      ...one.parts,
      moving: one.parts.moving && moving,
      node: hostname(),
      begin: (removal) => beginRemoval(database, removal),
      end: (id, outcome) => endRemoval(database, id, outcome),
      whileWhole,
      verify: async () => void (await volume.verify()),
      log,
    },
  }))
}

/** The same service, which makes room before it claims where FREE_SPACE_CLEAN says what may go. */
export function withCleaning(
  config: Config,
  run: { program: Program; drain: AbortSignal },
  service: SyncService,
): SyncService {
  if (config.space.clean.areas.length === 0) return service
  const disks = openCleaning(config, run.program, service)
  return { ...service, makeRoom: createMakeRoom(disks, { signal: run.drain }) }
}
