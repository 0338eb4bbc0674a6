import { relativePath, spellingsOf } from '../archive-path.ts'
import type { Config } from '../config.ts'
import { archivedFile } from '../db/archived.ts'
import type { Database } from '../db/connect.ts'
import { rowsNaming } from '../db/named-paths.ts'
import { archiveRoots } from '../open/folders.ts'
import { openHealing } from '../open/healing.ts'
import { openLinks, openSync, type Program, type SyncService } from '../open.ts'
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
  const healing = openHealing(service, config, program)
  const parts: RepairParts = {
    ...healing,
    archives,
    errorDisk,
    again,
    owners: (paths) => livingOwners(config, service, paths),
    now,
  }
  const triage = createTriage({ disk, again })
  return {
    database,
    triage,
    repair: (task) => repair(parts, { ...task, wounds: triage.wounds }, drain),
  }
}

/** Of each of these paths that living media rows name as their file's, which media these are. */
async function livingOwners(
  config: Config,
  { database, backend }: Pick<SyncService, 'database' | 'backend'>,
  paths: readonly string[],
): Promise<Map<string, Set<number>>> {
  const roots = await archiveRoots(config)
  const rows = await rowsNaming(database, backend, spellingsOf(roots, paths))
  const owners = new Map<string, Set<number>>()
  for (const { path, mediaId } of rows.filter(({ living }) => living)) {
    const named = relativePath(roots, path)
    owners.set(named, (owners.get(named) ?? new Set()).add(mediaId))
  }
  return owners
}
