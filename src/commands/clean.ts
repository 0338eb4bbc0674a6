import type { Config } from '../config.ts'
import { openArchives } from '../db/archives.ts'
import { openBackend } from '../db/backend.ts'
import { assertMigrated } from '../db/migrate.ts'
import type { Host, Session } from '../host.ts'
import type { JobKind } from '../jobs/runs.ts'
import { cleanableDisks, openCleaning } from '../open/cleaning.ts'
import { openFoldersToRead } from '../open/folders.ts'
import { openSpaces } from '../open/space.ts'
import { openDatabaseOnly, openLinks, openSync } from '../open.ts'
import type { CleanParts, PlanParts } from '../space/clean.ts'
import { type CleanableDisk, cleanDisk, type DiskPlan, planDisk } from '../space/cleaner.ts'
import type { Done } from '../space/pass.ts'
import { openVolumeToRead } from '../sync/volume.ts'
import { bytesText } from '../units.ts'
import { visible } from '../visible.ts'
import { asRun } from './as-run.ts'
import { requireLive } from './require-live.ts'
import { EXIT_UNFINISHED } from './sync.ts'

const kind: JobKind = { job: 'clean', mode: 'live', alone: false }

/** As it is printed. */
type Cleaned = Omit<Done, 'problem'> & { freeBytes: number }

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
    enough &&= planned.beyond === null && planned.freesBytes >= planned.wantedBytes
  }
  return enough ? 0 : EXIT_UNFINISHED
}

async function cleanNow(host: Host, config: Config, run: Run): Promise<number> {
  requireLive(config, 'cleaning removes files')
  const { program, json, drain } = run
  const service = await openSync(config, program, openLinks(config, program))
  const { database } = service
  const work = async () => {
    const sum = { enough: true, files: 0, moved: 0, bytes: 0 }
    for (const disk of openCleaning(config, program, service)) {
      const planned: DiskPlan<CleanParts> = await planDisk(disk)
      const done = await cleanDisk(planned, { signal: drain })
      const { freeBytes } = await disk.state()
      const { problem, ...did } = done
      const after = { ...did, freeBytes }
      const told = json ? JSON.stringify({ ...record(planned), done: after }) : null
      host.out(told === null ? doneText(planned, after) : `${told}\n`)
      if (problem !== null) throw problem
      sum.enough &&= planned.beyond === null && isEnough(planned, after)
      sum.files += done.files - done.moved
      sum.moved += done.moved
      sum.bytes += done.bytes
    }
    return sum
  }
  const asked = { ...run, database, kind }
  const { enough } = await asRun(config, asked, work, ({ files, moved, bytes, enough }) => ({
    items: { removed: files, moved },
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

function record({ disk, state, plan, ...rest }: DiskPlan<PlanParts>) {
  const { targetBytes, wantedBytes, beyond, moving, freesBytes } = rest
  return {
    disk: disk.root,
    ...state,
    targetBytes,
    wantedBytes,
    beyond,
    freesBytes,
    freeThenBytes: state.freeBytes + freesBytes,
    remove: plan.remove.map(({ unit, owner, since }) => ({
      area: unit.shelf.area,
      path: unit.path,
      files: unit.files.map(({ path }) => path),
      bytes: unit.bytes,
      since,
      item: unit.item,
      media_id: owner.mediaId,
    })),
    move: moving.moves.map(({ mediaId, archivedAt, ...move }) => ({
      ...move,
      archived_at: archivedAt,
      media_id: mediaId,
    })),
    keep: plan.keep,
  }
}

function headText({ disk, state, targetBytes, beyond }: DiskPlan<PlanParts>): string {
  const { freeBytes, minBytes } = state
  const why = beyond === null ? '' : `  ${beyond}\n`
  return `${disk.root}: ${bytesText(freeBytes)} free; ${bytesText(minBytes)} are to stay free, cleaning makes room up to ${bytesText(targetBytes)}\n${why}`
}

function planText(planned: DiskPlan<PlanParts>): string {
  const { plan } = planned
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
  const moves = planned.moving.moves.map(({ mediaId, bytes, archivedAt, path, to }) =>
    [
      archivedAt === null ? '  moved, to be removed here:' : '  would be moved:',
      `media ${mediaId}`.padEnd(12),
      bytesText(bytes).padStart(10),
      archivedAt?.toISOString() ?? '-',
      `${path} to ${to}`,
    ].join(' '),
  )
  const kept = plan.keep.map(({ path, reason }) => `  stays: ${path}: ${reason}`)
  return `${[headText(planned), ...[...lines, ...moves, ...kept].map((line) => `${visible(line)}\n`)].join('')}${endText(planned)}`
}

function doneText(planned: DiskPlan<PlanParts>, done: Cleaned): string {
  const lines = done.kept.map(({ path, reason }) => visible(`  stays: ${path}: ${reason}`))
  const kept = lines.map((line) => `${line}\n`).join('')
  const moved = done.moved === 0 ? '' : `, ${done.moved} of them moved to the second bucket`
  const removed = `  ${done.files} files removed${moved}, ${bytesText(done.bytes)}; ${bytesText(done.freeBytes)} are free now\n`
  const vain = done.inVain
    ? '  they made hardly any room (the disk has snapshots, or others write there): no more goes\n'
    : ''
  const isIdle = planned.wantedBytes === 0 && done.files === 0
  return `${headText(planned)}${kept}${isIdle ? '  nothing has to go\n' : removed}${vain}`
}

/** Room that came otherwise counts, too. */
function isEnough({ targetBytes, wantedBytes }: DiskPlan<PlanParts>, done: Cleaned): boolean {
  return !done.inVain && (done.bytes >= wantedBytes || done.freeBytes >= targetBytes)
}

function endText({ state, wantedBytes, freesBytes }: DiskPlan<PlanParts>): string {
  if (wantedBytes === 0) return '  nothing has to go\n'
  const short = wantedBytes - freesBytes
  const enough = short <= 0 ? 'that is enough' : `${bytesText(short)} too little`
  return `  ${bytesText(state.freeBytes + freesBytes)} would be free then: ${enough}\n`
}
