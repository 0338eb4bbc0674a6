import type { Config } from '../config.ts'
import { archivedFile } from '../db/archived.ts'
import { openArchives } from '../db/archives.ts'
import { openBackend } from '../db/backend.ts'
import type { Database } from '../db/connect.ts'
import { abandonedItems, ownersOf } from '../db/fsck.ts'
import { currentItems } from '../db/items.ts'
import { assertMigrated } from '../db/migrate.ts'
import { findReapproved } from '../db/records.ts'
import type { Host, Session } from '../host.ts'
import type { Log } from '../log.ts'
import { openDatabaseOnly, openFoldersToRead } from '../open.ts'
import { fsck } from '../sync/fsck.ts'
import { FINDINGS, type Finding, type FindingKind, findingKinds } from '../sync/fsck-findings.ts'
import type { FsckParts } from '../sync/fsck-parts.ts'
import { openVolumeToRead } from '../sync/volume.ts'
import { things } from './summary.ts'
import { EXIT_UNFINISHED } from './sync.ts'
import { createPages, EXIT_DAMAGED, EXIT_STOPPED } from './verify.ts'

type Tally = Partial<Record<FindingKind, number>>

interface Looked {
  items: number
  files: number
}

/** `strongroom fsck`: tells whatever of items and archive is not at rest; writes nothing. @returns the exit code */
export async function fsckCommand(
  host: Host,
  config: Config,
  run: Pick<Session, 'program' | 'drain'> & { json: boolean },
): Promise<number> {
  const { program, drain, json } = run
  const database = openDatabaseOnly(config, program)
  const looked = createLooked(program.log)
  const parts = await openFsck(config, database, looked.add)
  const tally: Tally = {}
  try {
    for await (const finding of fsck(parts, drain)) {
      tally[finding.kind] = (tally[finding.kind] ?? 0) + 1
      host.out(`${json ? record(finding) : line(finding)}\n`)
    }
  } catch (error) {
    if (!drain.aborted) throw error
  }
  const stopped = drain.aborted
  const sum = { ...looked.sum, stopped }
  host.out(`${json ? JSON.stringify({ ...tally, ...sum }) : summaryText(tally, sum)}\n`)
  return exitCode(tally, stopped)
}

/** Opens what can be looked at without any right to write. */
async function openFsck(
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
function createLooked(log: Log): { sum: Looked; add: FsckParts['looked'] } {
  const sum: Looked = { items: 0, files: 0 }
  let toldAt = performance.now()
  return {
    sum,
    add(what, count) {
      sum[what] += count
      if (performance.now() - toldAt < TELL_EVERY_MS) return
      toldAt = performance.now()
      log.info({ ...sum }, 'looking')
    },
  }
}

function record({ kind, path, item, mediaId, reason }: Finding): string {
  return JSON.stringify({ found: kind, path, item, media_id: mediaId, reason })
}

function line({ kind, path, item, mediaId, reason }: Finding): string {
  const whose = mediaId === null ? (item === null ? '' : `item ${item}`) : `media ${mediaId}`
  return [kind.padEnd(10), whose.padEnd(14), [path, reason].filter((text) => text).join(': ')]
    .join(' ')
    .trimEnd()
}

function summaryText(
  tally: Tally,
  { items, files, stopped }: Looked & { stopped: boolean },
): string {
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

function exitCode(tally: Tally, stopped: boolean): number {
  const kinds = findingKinds.filter((kind) => (tally[kind] ?? 0) > 0)
  if (kinds.some((kind) => FINDINGS[kind].weight === 'broken')) return EXIT_DAMAGED
  if (stopped) return EXIT_STOPPED
  return kinds.some(needsWork) ? EXIT_UNFINISHED : 0
}
