import type { Config } from '../config.ts'
import {
  type ArchivedFile,
  archivedFile,
  archivedFiles,
  archivedTotal,
  noteVerified,
  type Selection,
} from '../db/archived.ts'
import { openArchives } from '../db/archives.ts'
import type { Database } from '../db/connect.ts'
import { assertMigrated } from '../db/migrate.ts'
import { AppError, isAppError } from '../errors.ts'
import type { Host, Session } from '../host.ts'
import type { JobKind } from '../jobs/runs.ts'
import { checkFolders, openArchiveToRead } from '../open/folders.ts'
import { openHealing } from '../open/healing.ts'
import { type Links, openDatabaseOnly, openLinks, openSync } from '../open.ts'
import type { Disk } from '../storage/disk.ts'
import { type HealedFound, healFound } from '../sync/heal-found.ts'
import {
  createPace,
  noteOf,
  type Trouble,
  type Verified,
  type VerifyParts,
  verify,
} from '../sync/verify.ts'
import { openVolumeToRead } from '../sync/volume.ts'
import { bytesText, things } from '../units.ts'
import { asRun } from './as-run.ts'
import { createProgress } from './progress.ts'
import { requireLive } from './require-live.ts'
import { EXIT_UNFINISHED } from './sync.ts'

type Tally = Record<Verified['verdict'], number>

/** EX_IOERR: the archive is not as it should be. */
export const EXIT_DAMAGED = 74
export const EXIT_STOPPED = 1

const words: Record<Trouble, string> = {
  missing: 'missing',
  damaged: 'damaged',
  unreadable: 'unreadable',
  sidecar: 'without a good sidecar',
}

type Order = Pick<Session, 'program' | 'screen' | 'drain'> & {
  selection: Selection
  /** Bytes a second; null for as fast as it goes. */
  rate: number | null
  json: boolean
  /** What is wrong is healed; `confirmed` however much it is. Null: it is only told of. */
  repair: { confirmed: boolean } | null
}

const kind: JobKind = { job: 'verify', mode: 'live', alone: false }

/**
 * `strongroom verify`: reads archived files again and notes what it found, where MODE is live; changes none, unless it is told
 * to repair them.
 *
 * @returns the exit code
 */
export async function verifyCommand(host: Host, config: Config, run: Order): Promise<number> {
  const { selection, json, repair } = run
  if (repair !== null) {
    requireLive(config, 'a repair writes')
    await checkFolders(config, 'writing')
  }
  const links = repair === null ? null : openLinks(config, run.program)
  const database = links?.database ?? openDatabaseOnly(config, run.program)
  await assertMigrated(database)
  const disk = await openArchiveToRead(config)
  const volume = await openVolumeToRead({ disk, archives: openArchives(database) })
  const total = await totalOf(database, selection)
  if (selection.mediaId !== null && total?.files === 0)
    throw new AppError('NOT_FOUND', `nothing of media ${selection.mediaId} is in the archive`, {
      hint: `"strongroom why ${selection.mediaId}" says what became of it`,
    })
  const work = () => readFiles(host, config, { ...run, links, database, disk, volume, total })
  const asked = { ...run, database, kind }
  const done = await asRun(config, asked, work, ({ tally, bytes, healed }) => ({
    items: { ...tally, ...healed },
    bytes,
    status: tally.busy + tally.whole === sumOf(tally) ? 'success' : 'partial',
  }))
  const { tally, bad, bytes, healed, stopped } = done
  host.out(
    json
      ? `${JSON.stringify({ ...tally, ...healed, bytes, stopped })}\n`
      : `${summary(tally, { bytes, stopped, healed })}\n`,
  )
  if (bad.length > (healed?.healed ?? 0)) return EXIT_DAMAGED
  if (stopped) return EXIT_STOPPED
  return tally.busy > 0 ? EXIT_UNFINISHED : 0
}

interface Done {
  tally: Tally
  bad: ArchivedFile[]
  bytes: number
  healed: HealedFound | null
  stopped: boolean
}

async function readFiles(
  host: Host,
  config: Config,
  run: Order & {
    links: Links | null
    database: Database
    disk: Disk
    volume: VerifyParts['volume']
    total: { files: number; bytes: number } | null
  },
): Promise<Done> {
  const { selection, json, repair, links, database, disk, volume, total } = run
  const progress = createProgress({ ...run, log: run.program.log })
  if (total !== null) progress.expectReading(total.bytes * selection.share)
  const tally: Tally = { whole: 0, busy: 0, missing: 0, damaged: 0, unreadable: 0, sidecar: 0 }
  const bad: ArchivedFile[] = []
  let bytes = 0
  const notes = config.mode === 'live'
  try {
    const found = verify(
      {
        volume,
        disk: progress.reading(disk),
        next: createPages(database, selection),
        again: (item) => archivedFile(database, item),
        pace: createPace(run.rate, run.drain),
      },
      run.drain,
    )
    for await (const verified of found) {
      tally[verified.verdict] += 1
      bytes += verified.file.sizeBytes
      if (notes && verified.verdict !== 'busy')
        await noteVerified(database, verified.file, noteOf(verified))
      if (verified.verdict !== 'whole' && verified.verdict !== 'busy') bad.push(verified.file)
      if (verified.verdict !== 'whole') host.out(`${json ? record(verified) : line(verified)}\n`)
    }
  } catch (error) {
    if (!run.drain.aborted) throw error
  } finally {
    progress.end()
  }
  const read = tally.whole + bad.length
  const healed =
    links === null
      ? null
      : await repairFound(config, {
          ...run,
          links,
          bad,
          read,
          confirmed: repair?.confirmed === true,
        })
  const stopped = run.drain.aborted
  return { tally, bad, bytes, healed, stopped }
}

function sumOf(tally: Tally): number {
  return Object.values(tally).reduce((total, count) => total + count, 0)
}

/** What too many damages paused goes on only when a person says so. */
async function repairFound(
  config: Config,
  run: Pick<Session, 'program' | 'drain'> & {
    links: Links
    bad: readonly ArchivedFile[]
    read: number
    confirmed: boolean
  },
): Promise<HealedFound> {
  const service = await openSync(config, run.program, run.links)
  const parts = openHealing(service, config, run.program)
  if (run.confirmed) await service.archives.resumeHealing()
  return run.bad.length === 0 ? { healed: 0, lost: 0 } : healFound(parts, run, run.drain)
}

const PAGE = 200

/** Pages of the archived files, one with each call; an empty one ends them. */
export function createPages(
  database: Database,
  selection: Selection,
): () => Promise<ArchivedFile[]> {
  let after = 0
  return async () => {
    const page = await archivedFiles(database, { ...selection, after, limit: PAGE })
    after = page.at(-1)?.item ?? after
    return page
  }
}

/** @returns null where the table takes too long to count: only the time left is not shown then */
async function totalOf(
  database: Database,
  { mediaId }: Selection,
): Promise<{ files: number; bytes: number } | null> {
  try {
    return await archivedTotal(database, mediaId)
  } catch (error) {
    if (isAppError(error, 'DB_UNAVAILABLE')) return null
    throw error
  }
}

function record({ file, verdict, reason }: Verified): string {
  const { mediaId, item, archivePath } = file
  return JSON.stringify({ verdict, media_id: mediaId, item, archive_path: archivePath, reason })
}

function line({ file, verdict, reason }: Verified): string {
  return `${verdict}: media ${file.mediaId}, ${file.archivePath}: ${reason}`
}

function summary(
  { whole, busy, ...troubles }: Tally,
  { bytes, stopped, healed }: { bytes: number; stopped: boolean; healed: HealedFound | null },
): string {
  const bad = Object.entries(troubles).filter(([, count]) => count > 0)
  const sum = bad.reduce((total, [, count]) => total + count, whole)
  const parts = [
    `${things(sum, 'file')} checked (${bytesText(bytes)})`,
    ...bad.map(([trouble, count]) => `${count} ${words[trouble as Trouble]}`),
    ...(sum > 0 && sum === whole ? ['all as they were archived'] : []),
    ...(healed === null || bad.length === 0
      ? []
      : [`${healed.healed} healed, ${healed.lost} lost`]),
    ...(busy > 0 ? [`${busy} in a worker’s hands: try again`] : []),
    ...(stopped ? ['stopped before the end'] : []),
  ]
  const left = sum - whole - (healed?.healed ?? 0)
  const next =
    healed === null
      ? '  "strongroom verify --repair" heals what has another copy; restore the others from a backup, then verify them again'
      : '  the log says why not all were healed; restore what is lost from a backup, then verify it again'
  return left === 0 ? parts.join(', ') : `${parts.join(', ')}\n${next}`
}
