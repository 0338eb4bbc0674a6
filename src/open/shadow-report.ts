import { relative } from 'node:path'
import { relativePath, spellingsOf } from '../archive-path.ts'
import type { Config } from '../config.ts'
import { openBackend } from '../db/backend.ts'
import { planApproved } from '../db/plan.ts'
import { archivedSince, auditsSince, databaseTime, namedPaths, rowsNow } from '../db/shadow.ts'
import { AppError, isAppError } from '../errors.ts'
import { type Links, openProbe, type Program } from '../open.ts'
import type { DifferenceKind } from '../shadow/evidence.ts'
import { findShadow } from '../shadow/folder.ts'
import { readLastRun } from '../shadow/last-run.ts'
import { openOldFolder } from '../shadow/old-files.ts'
import { readRecord, recordedMedia } from '../shadow/records.ts'
import type { ReportParts } from '../shadow/report.ts'
import { type Disk, openDisk } from '../storage/disk.ts'
import { validate } from '../sync/validate.ts'
import { archiveRoots, openFoldersToRead } from './folders.ts'
import { besideOf, shadowOf } from './shadow.ts'

/**
 * Opens what `shadow report` looks at; nothing is written.
 *
 * @throws VOLUME_MISSING (no shadow run has begun there), VOLUME_FOREIGN, DB_*, PROBE_MISSING
 */
export async function openShadowReport(
  config: Config,
  program: Program,
  {
    database,
    bucket,
    ...run
  }: Links & { accepted: readonly DifferenceKind[]; signal: AbortSignal },
): Promise<ReportParts> {
  const disk = await openShadowToRead(config)
  const shadow = await findShadow(disk, besideOf(config, bucket))
  if (shadow === null) throw nothingThere(disk.root)
  const backend = await openBackend(database, config.backend)
  const { disk: archiveDisk, errorDisk } = await openFoldersToRead(config)
  const probe = openProbe(config, program)
  await probe.ready()
  const { startedAt: since, startedHere } = shadow
  const roots = await archiveRoots(config)
  const look = { since: startedHere, signal: run.signal }
  const errorPath = relative(config.archive.dir, config.archive.errorDir)
  return {
    ...run,
    since,
    at: await databaseTime(database),
    rows: (ids) => rowsNow(database, backend, ids),
    audits: (mediaIds) => auditsSince(database, backend, { mediaIds, since }),
    lastRun: await readLastRun(disk),
    approved: (page) => planApproved(database, backend, { ...page, ours: false }),
    archived: (page) => archivedSince(database, backend, { ...page, since }),
    record: (of) => readRecord(disk, of),
    recorded: new Set(await recordedMedia(disk)),
    bucket,
    archive: await openOldFolder(archiveDisk, { ...look, skip: [errorPath] }),
    errors: errorDisk === null ? null : await openOldFolder(errorDisk, { ...look, skip: [] }),
    owners: new Map(),
    named: backend.mediaColumns.has('archive_path')
      ? async (paths) => {
          const found = await namedPaths(database, backend, spellingsOf(roots, paths))
          return new Set([...found].map((path) => relativePath(roots, path)))
        }
      : null,
    validate: (file) => validate({ ...file, probe }),
    layout: config.archive.layout,
    relative: (path) => relativePath(roots, path),
    concurrency: config.sync.concurrency,
    meaning: {
      actions: config.backend.action,
      kinds: config.backend.kinds,
      keepsArchivedAt: backend.mediaColumns.has('archived_at'),
    },
  }
}

async function openShadowToRead(config: Config): Promise<Disk> {
  const { dir } = shadowOf(config)
  try {
    return await openDisk(dir)
  } catch (error) {
    if (isAppError(error, 'FILE_MISSING')) throw nothingThere(dir)
    throw error
  }
}

function nothingThere(dir: string): AppError {
  return new AppError('VOLUME_MISSING', `no shadow run has begun in SHADOW_DIR ${dir}`, {
    hint: 'run "strongroom start" with MODE=shadow beside the other service first (docs/cut-over.md)',
  })
}
