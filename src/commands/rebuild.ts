import type { Config } from '../config.ts'
import { openArchives } from '../db/archives.ts'
import { openBackend } from '../db/backend.ts'
import type { Database } from '../db/connect.ts'
import { ownersOf } from '../db/fsck.ts'
import {
  insertRebuilt,
  orderGenerations,
  type RebuiltItem,
  releasedVersions,
} from '../db/rebuild.ts'
import type { Host, Session } from '../host.ts'
import { openArchiveToRead } from '../open/folders.ts'
import { openBucketOnly, openDatabaseOnly, prepareSchema } from '../open.ts'
import {
  type RebuildOutcome,
  type RebuildParts,
  type Rebuilt,
  rebuild,
  rebuildOutcomes,
} from '../sync/rebuild.ts'
import { openVolumeToRead } from '../sync/volume.ts'
import { visible } from '../visible.ts'
import { requireLive } from './require-live.ts'
import { EXIT_UNFINISHED } from './sync.ts'
import { createTicker } from './ticker.ts'
import { EXIT_STOPPED } from './verify.ts'

type Tally = Record<RebuildOutcome | 'marked', number>

const words: Record<RebuildOutcome, string> = {
  archived: 'items made, to be released after their grace',
  released: 'items made whose source is gone',
  source_differs: 'items made whose source holds other bytes now',
  kept: 'items made of what an older service archived',
  known: 'known already',
  fileless:
    'sidecars whose file is not here: moved to a second bucket, or lost (docs/operations.md tells how to bring it back)',
  by_hand: 'adopted by hand, left as they are',
  refused: 'refused',
}

/** `strongroom fsck --from-sidecars`: items anew from the archive alone. @returns the exit code */
export async function rebuildCommand(
  host: Host,
  config: Config,
  run: Pick<Session, 'program' | 'screen' | 'drain'> & { json: boolean; confirmed: boolean },
): Promise<number> {
  const { program, drain, json } = run
  requireLive(config, 'this writes items')
  const database = openDatabaseOnly(config, program)
  const ticker = createTicker({ ...run, log: program.log, what: 'sidecars' })
  const tally = Object.fromEntries([...rebuildOutcomes, 'marked'].map((key) => [key, 0])) as Tally
  try {
    const parts = await openRebuild(config, { ...run, database })
    for await (const one of rebuild({ ...parts, settled: ticker.settled }, drain)) {
      tally[one.outcome] += 1
      if (one.marked) tally.marked += 1
      if (one.reason !== null) host.out(`${json ? record(one) : textOf(one)}\n`)
    }
  } catch (error) {
    if (!drain.aborted) throw error
  } finally {
    ticker.end()
  }
  const stopped = drain.aborted
  host.out(`${json ? JSON.stringify({ ...tally, stopped }) : summaryText(tally, stopped)}\n`)
  if (stopped) return EXIT_STOPPED
  return tally.refused > 0 ? EXIT_UNFINISHED : 0
}

async function openRebuild(
  config: Config,
  {
    program,
    database,
    confirmed,
  }: Pick<Session, 'program'> & { database: Database; confirmed: boolean },
): Promise<Omit<RebuildParts, 'settled'>> {
  await prepareSchema(config, database, program.log)
  const backend = await openBackend(database, config.backend)
  const disk = await openArchiveToRead(config)
  const volume = await openVolumeToRead({ disk, archives: openArchives(database) })
  const { releaseGraceMs } = config
  return {
    disk,
    volume,
    confirmed,
    bucket: config.bucket === null ? null : openBucketOnly(config, program),
    owners: (paths) => ownersOf(database, paths),
    released: (mediaIds) => releasedVersions(database, backend, mediaIds),
    async insert(items: readonly RebuiltItem[]) {
      const inserted = await insertRebuilt(database, backend, { items, releaseGraceMs })
      const several = inserted.filter(({ generation }) => generation !== null && generation > 1)
      await orderGenerations(database, [...new Set(several.map(({ mediaId }) => mediaId))])
      return inserted
    },
  }
}

function record({ archivePath, outcome, reason }: Rebuilt): string {
  return JSON.stringify({ outcome, archive_path: archivePath, reason })
}

function textOf({ archivePath, reason }: Rebuilt): string {
  return visible(`refused: ${archivePath}: ${reason}`)
}

function summaryText(tally: Tally, stopped: boolean): string {
  const parts = rebuildOutcomes
    .filter((outcome) => tally[outcome] > 0)
    .map((outcome) => `${tally[outcome]} ${words[outcome]}`)
  const marked = tally.marked > 0 ? [`${tally.marked} media rows set back to archived`] : []
  const cut = stopped ? ['stopped before the end: run it again'] : []
  return [...parts, ...marked, ...cut].join(', ') || 'there are no sidecars'
}
