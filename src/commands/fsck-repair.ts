import { realpath } from 'node:fs/promises'
import { resolve } from 'node:path'
import type { Config } from '../config.ts'
import { archivedFile } from '../db/archived.ts'
import type { Database } from '../db/connect.ts'
import { namedPaths } from '../db/fsck.ts'
import { openHealing } from '../open/healing.ts'
import { openLinks, openSync, type Program } from '../open.ts'
import { reconcile } from '../sync/reconcile.ts'
import { createTriage, type Repaired, type RepairParts, repair } from '../sync/repair.ts'
import { requireLive } from './require-live.ts'

/** What `fsck` repairs with. */
export interface Repairer {
  database: Database
  /** Hears of every finding. */
  triage: ReturnType<typeof createTriage>
  repair(task: { checked: number; healing: boolean; confirmed: boolean }): Promise<Repaired>
}

/**
 * Opens everything as a sync does, and finishes or undoes what a crash left: only then does the rest need a repair.
 *
 * @throws MODE_UNSUPPORTED for a dry run, and what {@link openSync} does
 */
export async function openRepair(
  config: Config,
  program: Program,
  drain: AbortSignal,
): Promise<Repairer> {
  requireLive(config, 'a repair writes')
  const service = await openSync(config, program, openLinks(config, program))
  const { database, archives, errorDisk, disk } = service
  await reconcile(service, drain)
  const again = (item: number) => archivedFile(database, item)
  const now = () => new Date()
  const roots = [resolve(config.archive.dir), await realpath(config.archive.dir)]
  const healing = openHealing(service, config, program)
  const parts: RepairParts = {
    ...healing,
    archives,
    errorDisk,
    again,
    namedPaths: (paths) => namedPaths(database, service.backend, { paths, roots }),
    now,
  }
  const triage = createTriage({ disk, again })
  return {
    database,
    triage,
    repair: (task) => repair(parts, { ...task, wounds: triage.wounds }, drain),
  }
}
