import type { Config } from '../config.ts'
import { archivedFile } from '../db/archived.ts'
import { openArchives } from '../db/archives.ts'
import { openBackend } from '../db/backend.ts'
import { findReapproved } from '../db/changed-rows.ts'
import type { Database } from '../db/connect.ts'
import { abandonedItems, ownersOf } from '../db/fsck.ts'
import { currentItems } from '../db/items.ts'
import { assertMigrated } from '../db/migrate.ts'
import type { Host, Session } from '../host.ts'
import type { Log } from '../log.ts'
import { openFoldersToRead } from '../open/folders.ts'
import { openDatabaseOnly } from '../open.ts'
import { fsck } from '../sync/fsck.ts'
import { FINDINGS, type Finding, type FindingKind, findingKinds } from '../sync/fsck-findings.ts'
import type { FsckParts } from '../sync/fsck-parts.ts'
import type { Repaired } from '../sync/repair.ts'
import { openVolumeToRead } from '../sync/volume.ts'
import { things } from '../units.ts'
import { visible } from '../visible.ts'
import { openRepair } from './fsck-repair.ts'
import { EXIT_UNFINISHED } from './sync.ts'
import { createPages, EXIT_DAMAGED, EXIT_STOPPED } from './verify.ts'

type Tally = Partial<Record<FindingKind, number>>

/** What is put right, and not only told: everything, or only what was moved by hand. */
export interface Repairing {
  healing: boolean
  /** However much it is. */
  confirmed: boolean
}

/**
 * `strongroom fsck`: tells whatever of items and archive is not at rest, and writes nothing unless it is told to repair it.
 *
 * @returns the exit code; after a repair by what is found then
 */
export async function fsckCommand(
  host: Host,
  config: Config,
  run: Pick<Session, 'program' | 'drain'> & { json: boolean; repairing: Repairing | null },
): Promise<number> {
  const { program, drain, json, repairing } = run
  const repairer = repairing === null ? null : await openRepair(config, program, drain)
  const database = repairer?.database ?? openDatabaseOnly(config, program)
  let sum = emptySum()
  try {
    await inspect(config, { ...run, database, sum }, async (finding) => {
      await repairer?.triage.note(finding)
      host.out(`${json ? record(finding) : line(finding)}\n`)
    })
    if (repairer !== null && repairing !== null) {
      const repaired = await repairer.repair({ ...repairing, checked: sum.items })
      host.out(`${json ? JSON.stringify({ repaired }) : repairedText(repaired)}\n`)
      sum = emptySum()
      await inspect(config, { ...run, database, sum }, async () => {})
    }
  } catch (error) {
    if (!drain.aborted) throw error
  }
  const told = { ...sum, stopped: drain.aborted }
  const { tally, ...rest } = told
  host.out(`${json ? JSON.stringify({ ...tally, ...rest }) : summaryText(told)}\n`)
  return exitCode(told)
}

interface Sum {
  tally: Tally
  items: number
  files: number
}

function emptySum(): Sum {
  return { tally: {}, items: 0, files: 0 }
}

/** Goes over all of it once, and adds up in `sum` what it sees. */
async function inspect(
  config: Config,
  {
    program,
    drain,
    database,
    sum,
  }: Pick<Session, 'program' | 'drain'> & { database: Database; sum: Sum },
  told: (finding: Finding) => Promise<void>,
): Promise<void> {
  const parts = await openFsck(config, database, createLooked(program.log, sum))
  for await (const finding of fsck(parts, drain)) {
    sum.tally[finding.kind] = (sum.tally[finding.kind] ?? 0) + 1
    await told(finding)
  }
}

/** Opens what can be looked at without any right to write. */
export async function openFsck(
  config: Config,
  database: Database,
  looked: FsckParts['looked'],
): Promise<FsckParts> {
  await assertMigrated(database)
  const backend = await openBackend(database, config.backend)
  const archives = openArchives(database)
  const { disk, errorDisk } = await openFoldersToRead(config)
  return {
    disk,
    errorDisk,
    volume: await openVolumeToRead({ disk, archives }),
    archive: () => archives.find(),
    next: createPages(database, { mediaId: null, share: 1 }),
    again: (item) => archivedFile(database, item),
    abandoned: (page) => abandonedItems(database, page),
    reapproved: () => findReapproved(database, backend),
    owners: (paths) => ownersOf(database, paths),
    current: (ids) => currentItems({ database }, ids),
    now: () => new Date(),
    looked,
  }
}

const TELL_EVERY_MS = 10_000

/** Adds up what was looked at, and says so now and then: many files take long. */
function createLooked(log: Log, sum: Sum): FsckParts['looked'] {
  let toldAt = performance.now()
  return (what, count) => {
    sum[what] += count
    if (performance.now() - toldAt < TELL_EVERY_MS) return
    toldAt = performance.now()
    log.info({ items: sum.items, files: sum.files }, 'looking')
  }
}

function record({ kind, path, item, mediaId, reason }: Finding): string {
  return JSON.stringify({ found: kind, path, item, media_id: mediaId, reason })
}

function line({ kind, path, item, mediaId, reason }: Finding): string {
  const whose = mediaId === null ? (item === null ? '' : `item ${item}`) : `media ${mediaId}`
  const told = [path, reason].filter((text) => text).join(': ')
  return visible([kind.padEnd(10), whose.padEnd(14), told].join(' ').trimEnd())
}

function repairedText({ back, healed, lost, removed, left, stopped }: Repaired): string {
  if (stopped)
    return `nothing was repaired: so much is wrong at once (${things(left, 'file')} here) that healing has stopped; look at the disk and its mounts first, then add --confirm`
  const parts = [
    `${back} brought back`,
    `${healed} healed`,
    ...(lost > 0 ? [`${lost} lost`] : []),
    ...(left > 0 ? [`${left} left as they are (the log says why)`] : []),
    ...(removed > 0 ? [`${things(removed, 'left-over')} removed`] : []),
  ]
  return `repaired: ${parts.join(', ')}`
}

function summaryText({ tally, items, files, stopped }: Sum & { stopped: boolean }): string {
  const kinds = findingKinds.filter((kind) => (tally[kind] ?? 0) > 0)
  const looked = `${things(items, 'item')} and ${things(files, 'file')} looked at`
  const told = kinds.map((kind) => `${tally[kind]} ${FINDINGS[kind].says}`)
  const state = kinds.some(needsWork) ? [] : ['nothing has to be done']
  const head = [looked, ...told, ...state, ...(stopped ? ['stopped before the end'] : [])].join(
    ', ',
  )
  return [head, ...kinds.map((kind) => `  ${kind}: ${FINDINGS[kind].next}`)].join('\n')
}

function needsWork(kind: FindingKind): boolean {
  return FINDINGS[kind].weight !== 'note'
}

function exitCode({ tally, stopped }: Sum & { stopped: boolean }): number {
  const kinds = findingKinds.filter((kind) => (tally[kind] ?? 0) > 0)
  if (kinds.some((kind) => FINDINGS[kind].weight === 'broken')) return EXIT_DAMAGED
  if (stopped) return EXIT_STOPPED
  return kinds.some(needsWork) ? EXIT_UNFINISHED : 0
}
