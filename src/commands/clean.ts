import type { Config } from '../config.ts'
import { openArchives } from '../db/archives.ts'
import { openBackend } from '../db/backend.ts'
import { assertMigrated } from '../db/migrate.ts'
import { AppError } from '../errors.ts'
import type { Host, Session } from '../host.ts'
import type { JobKind } from '../jobs/runs.ts'
import { openDatabaseOnly, openFoldersToRead, openLinks, openSync } from '../open.ts'
import { cleanableDisks, openCleaning } from '../open-cleaning.ts'
import { openRuns } from '../open-runs.ts'
import { openSpaces } from '../open-space.ts'
import { type Cleaned, type CleanParts, clean, type PlanParts } from '../space/clean.ts'
import { type CleanableDisk, type DiskPlan, planDisk } from '../space/cleaner.ts'
import { openVolumeToRead } from '../sync/volume.ts'
import { bytesText } from '../units.ts'
import { asRun } from './as-run.ts'
import { EXIT_UNFINISHED } from './sync.ts'

const kind: JobKind = { job: 'clean', mode: 'live', alone: false }

type Run = Pick<Session, 'program' | 'drain'> & { json: boolean }

/**
 * `strongroom clean`: removes what FREE_SPACE_CLEAN names, the oldest first, until FREE_SPACE_TARGET is free.
 *
 * @returns the exit code: 75 where more is wanted than may go
 */
export async function cleanCommand(
  host: Host,
  config: Config,
  run: Run & { dryRun: boolean },
): Promise<number> {
  const policy = config.space.clean.areas
  if (policy.length === 0 && !run.json)
    host.out('FREE_SPACE_CLEAN names nothing that may be removed\n')
  return run.dryRun ? await planOnly(host, config, run) : await cleanNow(host, config, run)
}

async function planOnly(host: Host, config: Config, run: Run): Promise<number> {
  const disks = await openToLook(config, run.program)
  let enough = true
  for (const disk of disks) {
    const planned = await planDisk(disk)
    host.out(run.json ? `${JSON.stringify(record(planned))}\n` : planText(planned))
    enough &&= planned.plan.freesBytes >= planned.plan.wantedBytes
  }
  return enough ? 0 : EXIT_UNFINISHED
}

async function cleanNow(host: Host, config: Config, run: Run): Promise<number> {
  if (config.mode !== 'live')
    throw new AppError('MODE_UNSUPPORTED', 'MODE is not live, and cleaning removes files')
  const { program, json, drain } = run
  const service = await openSync(config, program, openLinks(config, program))
  const { database } = service
  const runs = openRuns(config, program, { database, listeners: [] })
  const work = async () => {
    const sum = { enough: true, files: 0, bytes: 0 }
    for (const disk of openCleaning(config, program, service)) {
      const planned: DiskPlan<CleanParts> = await planDisk(disk)
      const done = await clean(disk.parts, planned.plan, drain)
      const { freeBytes } = await disk.state()
      const after = { ...done, freeBytes }
      const told = json ? JSON.stringify({ ...record(planned), done: after }) : null
      host.out(told === null ? doneText(planned, after) : `${told}\n`)
      sum.enough &&= done.bytes >= planned.plan.wantedBytes
      sum.files += done.files
      sum.bytes += done.bytes
    }
    return sum
  }
  const { enough } = await asRun(runs, { kind, drain }, work, ({ files, bytes, enough }) => ({
    items: { removed: files },
    bytes,
    status: enough ? 'success' : 'partial',
  }))
  return enough ? 0 : EXIT_UNFINISHED
}

/** Opens what needs no right to write. */
async function openToLook(
  config: Config,
  program: Session['program'],
): Promise<CleanableDisk<PlanParts>[]> {
  const database = openDatabaseOnly(config, program)
  await assertMigrated(database)
  const backend = await openBackend(database, config.backend)
  const { disk, errorDisk } = await openFoldersToRead(config)
  const volume = await openVolumeToRead({ disk, archives: openArchives(database) })
  await volume.verify()
  const spaces = await openSpaces(config, { disk, errorDisk: errorDisk ?? disk })
  return cleanableDisks(config, { database, backend, disk, errorDisk, ...spaces })
}

function record({ disk, state, targetBytes, plan }: DiskPlan<PlanParts>) {
  return {
    disk: disk.root,
    ...state,
    targetBytes,
    wantedBytes: plan.wantedBytes,
    freesBytes: plan.freesBytes,
    freeThenBytes: state.freeBytes + plan.freesBytes,
    remove: plan.remove.map(({ unit, owner, since }) => ({
      area: unit.shelf.area,
      path: unit.path,
      files: unit.files.map(({ path }) => path),
      bytes: unit.bytes,
      since,
      item: unit.item,
      media_id: owner.mediaId,
    })),
    keep: plan.keep,
  }
}

function headText({ disk, state, targetBytes }: DiskPlan<PlanParts>): string {
  const { freeBytes, minBytes } = state
  return `${disk.root}: ${bytesText(freeBytes)} free; ${bytesText(minBytes)} are to stay free, cleaning makes room up to ${bytesText(targetBytes)}\n`
}

function planText(planned: DiskPlan<PlanParts>): string {
  const { state, plan } = planned
  const lines = plan.remove.map(({ unit, owner, since }) =>
    [
      '  would go:',
      unit.shelf.area.padEnd(10),
      `media ${owner.mediaId}`.padEnd(12),
      bytesText(unit.bytes).padStart(10),
      since.toISOString(),
      unit.path,
    ].join(' '),
  )
  const kept = plan.keep.map(({ path, reason }) => `  stays: ${path}: ${reason}`)
  return `${[headText(planned), ...[...lines, ...kept].map((line) => `${line}\n`)].join('')}${endText(plan, state.freeBytes + plan.freesBytes)}`
}

function doneText(planned: DiskPlan<PlanParts>, done: Cleaned & { freeBytes: number }): string {
  const kept = done.kept.map(({ path, reason }) => `  stays: ${path}: ${reason}\n`).join('')
  const removed = `  ${done.files} files removed, ${bytesText(done.bytes)}; ${bytesText(done.freeBytes)} are free now\n`
  return `${headText(planned)}${kept}${planned.plan.wantedBytes === 0 ? '  nothing has to go\n' : removed}`
}

function endText({ wantedBytes, freesBytes }: DiskPlan<PlanParts>['plan'], then: number): string {
  if (wantedBytes === 0) return '  nothing has to go\n'
  const short = wantedBytes - freesBytes
  const enough = short <= 0 ? 'that is enough' : `${bytesText(short)} too little`
  return `  ${bytesText(then)} would be free then: ${enough}\n`
}
