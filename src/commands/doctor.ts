import type { Config } from '../config.ts'
import { openArchives } from '../db/archives.ts'
import { inspectBackend } from '../db/backend.ts'
import {
  checkIndexes,
  checkServer,
  checkTables,
  type Finding,
  rehearseRecord,
} from '../db/checks.ts'
import type { Database } from '../db/connect.ts'
import { pendingMigrations } from '../db/migrate.ts'
import { type AppError, toAppError } from '../errors.ts'
import type { Host } from '../host.ts'
import { openArchiveFolder, openLinks, openProbe, type Program } from '../open.ts'

/** An ffprobe that starts slower than this makes start-up, not probing, the cost of small files. */
const SLOW_PROBE_MS = 30

/** Collects findings as lines and remembers the first failure's exit code. */
interface Report {
  ok(what: string): void
  advise(what: string, remedy: string[]): void
  fail(what: string, remedy: string[], exit: number): void
}

/** `strongroom doctor`: checks each part on its own and prints the remedy for whatever is wrong. @returns the exit code */
export async function doctor(host: Host, config: Config, program: Program): Promise<number> {
  let exit = 0
  const line = (mark: string, what: string, remedy: string[]) =>
    host.out([`${mark} ${what}`, ...remedy.map((text) => `    ${text}`), ''].join('\n'))
  const report: Report = {
    ok: (what) => line('ok  ', what, []),
    advise: (what, remedy) => line('note', what, remedy),
    fail(what, remedy, code) {
      line('FAIL', what, remedy)
      if (exit === 0) exit = code
    },
  }
  for (const warning of config.warnings) report.advise(warning, [])
  const links = openLinks(config, program)
  await section(report, 'ffprobe', () => checkProbe(report, config, program))
  await section(report, 'bucket', async () => {
    await links.bucket.check()
    report.ok(`bucket ${links.bucket.name} answers`)
  })
  await section(report, 'database', () => checkDatabase(report, config, links.database))
  await section(report, 'archive', () => checkArchive(report, config, links.database))
  host.out(
    exit === 0 ? 'everything is as it must be\n' : 'mend what says FAIL and run doctor again\n',
  )
  return exit
}

async function section(report: Report, name: string, check: () => Promise<void>): Promise<void> {
  try {
    await check()
  } catch (error) {
    const { message, hint, exit } = toAppError(error)
    report.fail(`${name}: ${message}`, hint === null ? [] : [hint], exit)
  }
}

async function checkProbe(report: Report, config: Config, program: Program): Promise<void> {
  const { version, startMs } = await openProbe(config, program).version()
  const rounded = Math.round(startMs)
  report.ok(`ffprobe ${version} starts in ${rounded} ms`)
  if (rounded > SLOW_PROBE_MS)
    report.advise(`ffprobe takes ${rounded} ms to start; a static build takes about 10`, [
      'only worth mending for tens of thousands of small files; set FFPROBE_PATH to a static build',
    ])
}

async function checkDatabase(report: Report, config: Config, database: Database): Promise<void> {
  const role = config.database?.user ?? ''
  tell(report, await checkServer(database))
  const pending = await pendingMigrations(database)
  if (pending.length === 0) report.ok('schema strongroom is up to date')
  else report.advise(`schema strongroom lacks ${pending.join(', ')}`, ['run "strongroom migrate"'])
  const backend = await inspectBackend(database, config.backend)
  const tables = checkTables(backend)
  for (const finding of tables) tell(report, finding)
  if (!tables.every((finding) => finding.ok)) return
  for (const finding of await checkIndexes(database, backend)) tell(report, finding)
  if (pending.length > 0) return
  const { finding, error } = await rehearseRecord(database, backend, role)
  tell(report, finding, error)
}

function tell(report: Report, finding: Finding, error: AppError | null = null): void {
  // A rule or trigger of the backend that says no is a matter of set-up like a missing column.
  const exit = error === null || error.code === 'INTERNAL' ? 78 : error.exit
  if (!finding.ok) report.fail(finding.what, finding.sql, exit)
  else if (finding.sql.length > 0) report.advise(finding.what, finding.sql)
  else report.ok(finding.what)
}

async function checkArchive(report: Report, config: Config, database: Database): Promise<void> {
  const archives = openArchives(database)
  const { disk, fileSystem } = await openArchiveFolder(config, archives)
  const free = await disk.freeBytes()
  report.ok(`${disk.root} is there, ${(free / 1024 ** 3).toFixed(1)} GiB free`)
  const known = await archives.find().catch(() => null)
  const marker = await disk.read('.strongroom/archive.json', 4096)
  const found = marker === null ? null : (JSON.parse(marker.toString('utf8')) as { id?: string }).id
  if (known?.initialised !== true && found === null) {
    const remedy =
      fileSystem === 'memory' ? 'run "strongroom init-volume" if it is meant to be in memory' : ''
    report.advise(`no archive yet; the first sync makes one`, remedy === '' ? [] : [remedy])
    return
  }
  if (known === null)
    report.fail(
      `${disk.root} carries archive ${found}, unknown to this database`,
      ['run "strongroom accept-volume"'],
      74,
    )
  else if (found !== known.id)
    report.fail(
      `${disk.root} carries ${found ?? 'no archive'}, expected ${known.id}`,
      ['mount the right volume at ARCHIVE_DIR'],
      74,
    )
  else if (known.sick !== null)
    report.fail(
      `the archive disk failed: ${known.sick.reason}`,
      ['check the disk, then run "strongroom accept-volume"'],
      74,
    )
  else report.ok(`archive ${known.id}`)
}
