import type { Config } from '../config.ts'
import { openArchives } from '../db/archives.ts'
import { type Backend, openBackend } from '../db/backend.ts'
import type { Database } from '../db/connect.ts'
import { countLegacy, keepLegacy, legacyRows, requireArchivePath } from '../db/legacy.ts'
import { canReadItems } from '../db/plan.ts'
import type { Host, Session } from '../host.ts'
import type { Log } from '../log.ts'
import { archiveRoots, openArchiveFolder } from '../open/folders.ts'
import { openAdoptionOn, openDatabaseOnly, type Program, prepareSchema } from '../open.ts'
import {
  adoptLegacy,
  type LegacyEntry,
  type LegacyOutcome,
  type LegacyParts,
  legacyOutcomes,
} from '../sync/adopt-legacy.ts'
import { sweepAdoptions } from '../sync/adopt-sidecar.ts'
import { openVolume } from '../sync/volume.ts'
import { visible } from '../visible.ts'
import { EXIT_UNFINISHED } from './sync.ts'

const PAGE = 500
const TELL_EVERY_MS = 10_000

/** `strongroom adopt --from-database`: everything that the service before us archived. @returns the exit code */
export async function adoptFromDatabase(
  host: Host,
  config: Config,
  run: Pick<Session, 'program' | 'drain'> & { dryRun: boolean; json: boolean },
): Promise<number> {
  const { program, drain } = run
  const dryRun = run.dryRun || config.mode === 'dry-run'
  const database = openDatabaseOnly(config, program)
  const parts = await openLegacy(config, { program, database, dryRun })
  const tally: Record<LegacyOutcome, number> = {
    adopted: 0,
    already: 0,
    missing: 0,
    mismatched: 0,
    refused: 0,
  }
  const progress = createTeller(program.log, await countLegacy(database, parts.backend))
  await adoptLegacy(
    parts,
    (entry) => {
      tally[entry.outcome] += 1
      progress(tally)
      const line = run.json ? recordOf(entry) : textOf(entry)
      if (line !== null) host.out(`${line}\n`)
    },
    drain,
  )
  const cut = drain.aborted ? { cut_short: true } : {}
  const summary = { dry_run: dryRun, ...tally, ...cut }
  host.out(run.json ? `${JSON.stringify(summary)}\n` : `${summaryOf(tally, dryRun)}\n`)
  if (drain.aborted) return 1
  return tally.missing + tally.mismatched + tally.refused > 0 ? EXIT_UNFINISHED : 0
}

async function openLegacy(
  config: Config,
  { program, database, dryRun }: { program: Program; database: Database; dryRun: boolean },
): Promise<LegacyParts & { backend: Backend }> {
  const { log } = program
  if (!dryRun) await prepareSchema(config, database, log)
  const backend = await openBackend(database, config.backend)
  requireArchivePath(backend)
  const ours = !dryRun || (await canReadItems(database))
  const folder = await openArchiveFolder(config, openArchives(database))
  const volume = dryRun ? { verify: async () => ({ device: 0 }) } : await openVolume(folder)
  const parts = openAdoptionOn(config, program, { ...folder, volume })
  if (!dryRun)
    for (const path of await sweepAdoptions(parts, new Date()))
      log.info({ path }, 'removed what a killed adoption left')
  return {
    ...parts,
    backend,
    rows: (afterId) => legacyRows(database, backend, { afterId, limit: PAGE, ours }),
    keep: (row, file) => keepLegacy(database, backend, { row, file }),
    roots: await archiveRoots(config),
    sizeMismatch: config.sync.sizeMismatch,
    concurrency: config.sync.concurrency,
    dryRun,
  }
}

/** Whoever waits for hours wants to know how far it is. */
function createTeller(
  log: Log,
  rows: number | null,
): (tally: Record<LegacyOutcome, number>) => void {
  const known = rows === null ? {} : { rows }
  let toldAt = performance.now()
  return (tally) => {
    if (performance.now() - toldAt < TELL_EVERY_MS) return
    toldAt = performance.now()
    const settled = legacyOutcomes.reduce((sum, outcome) => sum + tally[outcome], 0)
    log.info({ settled, ...known, ...tally }, 'adopting')
  }
}

/** Those that went well are too many to be told of one by one. */
function textOf({ mediaId, path, outcome, reason }: LegacyEntry): string | null {
  if (reason === null) return null
  const where = path === '' ? '' : ` at ${path}`
  return visible(`${outcome.padEnd(10)} media ${mediaId}${where}: ${reason}`)
}

function recordOf({ mediaId, path, outcome, reason }: LegacyEntry): string | null {
  if (reason === null) return null
  return JSON.stringify({ media_id: mediaId, archive_path: path, outcome, reason })
}

function summaryOf(tally: Record<LegacyOutcome, number>, dryRun: boolean): string {
  const counts = legacyOutcomes.map((outcome) => `${tally[outcome]} ${outcome}`).join(', ')
  return dryRun ? `would be: ${counts} (contents were not read, nothing was written)` : counts
}
