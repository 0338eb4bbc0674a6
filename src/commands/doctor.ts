import type { Config } from '../config.ts'
import { type ArchiveRow, type Archives, openArchives } from '../db/archives.ts'
import { type Backend, inspectBackend } from '../db/backend.ts'
import {
  checkIndexes,
  checkNamesakes,
  checkServer,
  checkTables,
  checkTypes,
  describeIncomplete,
  type Finding,
  rehearseRecord,
} from '../db/checks.ts'
import type { Database } from '../db/connect.ts'
import { pendingMigrations } from '../db/migrate.ts'
import { checkSchemaRights, checkTableRights } from '../db/rights.ts'
import { AppError, isAppError } from '../errors.ts'
import type { Host } from '../host.ts'
import { openArchiveFolder, openLinks, openProbe, type Program } from '../open.ts'
import { createHttpServer } from '../serve/listen.ts'
import type { Disk } from '../storage/disk.ts'
import { whyNotWritable } from '../storage/folder-check.ts'
import { bytesText } from '../units.ts'
import { checkBucketRules } from './bucket-rules.ts'
import { bucketClock, databaseClock, judgeClocks } from './clock.ts'
import { composeFor } from './compose.ts'
import { createReport, type Report } from './doctor-report.ts'
import { jurisdictionHint } from './jurisdiction.ts'
import { checkScrub } from './scrub-check.ts'

/** An ffprobe that starts slower than this makes start-up, not probing, the cost of small files. */
const SLOW_PROBE_MS = 30
/** A sync reserves what each file needs; with less than this hardly any fits. */
const LEAST_FREE_BYTES = 100 * 1024 * 1024
const MOST_STEPS = 3

interface Examined {
  config: Config
  program: Program
  report: Report
}

/**
 * `strongroom doctor`: checks each part on its own, prints the remedy for whatever is wrong, and ends with at most three
 * next steps. @returns the exit code
 */
export async function doctor(
  host: Host,
  { config, program, compose }: { config: Config; program: Program; compose: boolean },
): Promise<number> {
  // With --compose standard output is the snippet alone, to be kept in a file.
  const out = compose ? host.err : host.out
  const report = createReport(out)
  const examined = { config, program, report }
  for (const warning of config.warnings) report.advise(warning, [])
  const { database, bucket } = openLinks(config, program)
  await report.section('ffprobe', () => checkProbe(examined))
  // A wrong clock comes before the refusals that it causes.
  const rightTime = await report.section('clock', () => checkClocks(examined, database))
  const answersNow = await report.section('bucket', async () => {
    await bucket.check().catch((error: unknown) => {
      throw rightTime ? withJurisdiction(error, config) : dueToClock(error)
    })
    report.ok(`bucket ${bucket.name} answers`)
  })
  let answered = false
  await report.section('database', async () => {
    tell(report, await checkServer(database))
    answered = true
    await checkDatabase(examined, database)
  })
  if (answersNow)
    await report.section('bucket', () =>
      checkBucketRules(config, answered ? database : null, report),
    )
  await report.section('archive', async () => {
    const isKnown = await checkArchive(examined, openArchives(database), answered)
    if (isKnown) await checkScrub(config, database, report)
  })
  await report.section('ports', () => checkPorts(examined))
  if (compose) host.out(await composeFor(host, config))
  out(ending(report, config))
  return report.exit()
}

function ending(report: Report, config: Config): string {
  const failed = report.nextSteps()
  const steps = (failed.length > 0 ? failed : firstSteps(config)).slice(0, MOST_STEPS)
  const list = steps.map((step, n) => `  ${n + 1}. ${step}\n`).join('')
  if (failed.length === 0) return `everything is as it must be; next:\n${list}`
  return `next, then run doctor again:\n${list}`
}

/** What somebody does who has just seen that everything is well. */
function firstSteps({ serve, migrateOnStart }: Config): string[] {
  return [
    ...(serve.tokens === null
      ? ['set UNRAID_TUNNEL_SECRET to the key that your backend signs tokens with']
      : []),
    ...(migrateOnStart ? [] : ['strongroom migrate: brings the schema up to date']),
    'strongroom sync --once --dry-run: says what would be done, writes nothing',
    'strongroom start: syncer, file server and admin server until a signal comes',
    'strongroom token --media ID: a link to one archived file',
  ]
}

async function checkProbe({ config, program, report }: Examined): Promise<void> {
  const { version, startMs } = await openProbe(config, program).version()
  const rounded = Math.round(startMs)
  report.ok(`ffprobe ${version} starts in ${rounded} ms`)
  if (rounded > SLOW_PROBE_MS)
    report.advise(`ffprobe takes ${rounded} ms to start; a small one takes about 10`, [
      'only worth mending for tens of thousands of small files; "make ffprobe" builds one for FFPROBE_SMALL_PATH',
    ])
}

async function checkClocks({ config, report }: Examined, database: Database): Promise<void> {
  const endpoint = config.bucket?.endpoint ?? ''
  const seen = await Promise.all([
    // That it cannot be reached is said by its own check.
    databaseClock(database).catch(() => null),
    bucketClock(endpoint),
  ])
  const clocks = seen.filter((clock) => clock !== null)
  const wrong = judgeClocks(clocks)
  if (wrong !== null) throw wrong
  const agree = clocks.map(({ of }) => of).join(' and ')
  if (agree !== '') report.ok(`the clock agrees with ${agree}`)
}

function withJurisdiction(error: unknown, { bucket }: Config): unknown {
  if (!isAppError(error, 'BUCKET_DENIED', 'BUCKET_MISSING') || bucket === null) return error
  const hint = jurisdictionHint(bucket.endpoint)
  if (hint === null) return error
  return new AppError(error.code, error.message, { cause: error, hint: `${error.hint} ${hint}` })
}

/** One cause is one step: the clock's own failure says it already. */
function dueToClock(error: unknown): unknown {
  if (!isAppError(error) || !error.message.includes('RequestTimeTooSkewed')) return error
  return new AppError('CLOCK_OFF', error.message, { cause: error })
}

async function checkDatabase(examined: Examined, database: Database): Promise<void> {
  const { config, report } = examined
  const migrated = await checkSchema(examined, database)
  const backend = await inspectBackend(database, config.backend)
  const tables = checkTables(backend)
  for (const finding of tables) tell(report, finding, { next: tableStep(backend, finding) })
  const types = checkTypes(backend)
  for (const finding of types) tell(report, finding)
  for (const finding of await checkNamesakes(database, backend)) tell(report, finding)
  const { reading, writing } = await checkTableRights(database, backend)
  const denied = [...reading, ...writing.map((finding) => forMode(config, finding))]
  for (const finding of denied) tell(report, finding)
  if (![...tables, ...types].every((finding) => finding.ok)) return
  for (const finding of await checkIndexes(database, backend)) tell(report, finding)
  if (reading.length > 0) return
  const incomplete = await describeIncomplete(database, backend)
  if (incomplete !== null) report.advise(incomplete, [])
  if (!migrated || denied.length > 0) return
  const role = config.database?.user ?? ''
  const { finding, error } = await rehearseRecord(database, backend, role)
  tell(report, finding, { error })
}

/** @returns true when our schema is as this version needs it, and may be used */
async function checkSchema({ config, report }: Examined, database: Database): Promise<boolean> {
  const { use, migrate } = await checkSchemaRights(database)
  if (!use.ok) {
    tell(report, forMode(config, use))
    return false
  }
  const pending = await pendingMigrations(database)
  if (pending.length === 0) {
    report.ok('schema strongroom is up to date')
    return true
  }
  report.advise(`schema strongroom lacks ${pending.join(', ')}`, ['run "strongroom migrate"'])
  if (!migrate.ok) tell(report, forMode(config, migrate))
  return false
}

/** A dry run writes nothing, and needs none of the rights to. */
function forMode({ mode }: Config, finding: Finding): Finding {
  return mode === 'live' ? finding : { ...finding, ok: true }
}

function tableStep({ mapping, mediaColumns, auditColumns }: Backend, { sql }: Finding): string {
  if (mediaColumns.size === 0 || auditColumns.size === 0) {
    const absent = mediaColumns.size === 0 ? mapping.mediaTable : mapping.auditTable
    return `name your own table in place of ${absent} with MEDIA_TABLE or AUDIT_TABLE; without a backend run "strongroom migrate"`
  }
  return `name your own column with MEDIA_COLUMN_… or AUDIT_COLUMN_…, or ${asOwner(sql)}`
}

function asOwner(sql: readonly string[]): string {
  const more = sql.length > 1 ? ` (and ${sql.length - 1} more above)` : ''
  return `have the owner of the tables run: ${sql[0]}${more}`
}

function tell(
  report: Report,
  { ok, what, sql, exit: code = 78 }: Finding,
  { error = null, next }: { error?: AppError | null; next?: string } = {},
): void {
  // A rule or trigger of the backend that says no is a matter of set-up like a missing column.
  const exit = error === null || error.code === 'INTERNAL' ? code : error.exit
  const known = error === null || error.code === 'INTERNAL' ? what : error.hint
  if (!ok) report.fail(what, { remedy: sql, exit, next: next ?? (sql[0] ? asOwner(sql) : known) })
  else if (sql.length > 0) report.advise(what, sql)
  else report.ok(what)
}

/** @param answered the database did: what an archive that was not asked for says is no finding */
/** @returns true when it is the one that the database knows */
async function checkArchive(
  { config, report }: Examined,
  archives: Archives,
  answered: boolean,
): Promise<boolean> {
  const { disk, fileSystem } = await openArchiveFolder(config, archives)
  await checkErrorFolder(config)
  const free = await disk.freeBytes()
  if (free < LEAST_FREE_BYTES)
    throw new AppError('DISK_FULL', `${disk.root} has only ${bytesText(free)} free`)
  report.ok(`${disk.root} is there, ${bytesText(free)} free`)
  const found = await markerOf(disk)
  const known = answered ? await knownTo(archives) : 'no answer'
  if (known === 'no answer') {
    // Why it gives none was said by its own check.
    report.advise(
      `the database does not say which archive it expects; here is ${found ?? 'none'}`,
      [],
    )
    return false
  }
  if (known?.initialised !== true && found === null) {
    const remedy =
      fileSystem === 'memory' ? ['run "strongroom init-volume" if it is meant to be in memory'] : []
    report.advise(`no archive yet; the first sync makes one`, remedy)
    return false
  }
  if (known === null)
    throw new AppError(
      'VOLUME_UNCLAIMED',
      `${disk.root} carries archive ${found}, unknown to this database`,
      {
        hint: 'check that DB_NAME is the database that this archive was filed from; if it is (restored from a backup, say), run "strongroom accept-volume"',
      },
    )
  if (found !== known.id)
    throw new AppError(
      found === null ? 'VOLUME_MISSING' : 'VOLUME_FOREIGN',
      `${disk.root} carries ${found ?? 'no archive'}, expected ${known.id}`,
    )
  if (known.sick !== null)
    throw new AppError('DISK_SICK', `the archive disk failed: ${known.sick.reason}`)
  report.ok(`archive ${known.id}`)
  return true
}

async function knownTo(archives: Archives): Promise<ArchiveRow | null | 'no answer'> {
  try {
    return await archives.find()
  } catch (error) {
    // Before the first start there is no table to ask.
    return isAppError(error, 'DB_SCHEMA') ? null : 'no answer'
  }
}

/** Not made here: a doctor changes nothing. */
async function checkErrorFolder({ archive }: Config): Promise<void> {
  const denied = await whyNotWritable(archive.errorDir)
  if (denied !== null)
    throw new AppError('DISK_DENIED', `ERROR_DIR ${archive.errorDir} ${denied.wrong}`, {
      hint: denied.remedy,
    })
}

/** @throws VOLUME_FOREIGN for a marker that is torn or somebody else's */
async function markerOf(disk: Disk): Promise<string | null> {
  const path = '.strongroom/archive.json'
  const bytes = await disk.read(path, 4096)
  if (bytes === null) return null
  const [, id] = /"id":\s*"([0-9a-f-]{36})"/.exec(bytes.toString('utf8')) ?? []
  if (id !== undefined) return id
  throw new AppError('VOLUME_FOREIGN', `${disk.root}/${path} is not a marker of an archive`, {
    hint: 'restore it from a backup of the archive, or mount the right volume',
  })
}

async function checkPorts({ config, program, report }: Examined): Promise<void> {
  const { port, adminPort } = config.serve
  for (const wanted of [port, adminPort].filter((one) => one !== 0)) {
    const server = createHttpServer({ listener: () => {}, onDrain: () => {}, log: program.log })
    try {
      const listening = await server.listen(wanted)
      await listening.close(0)
      report.ok(`port ${wanted} is free`)
    } catch (error) {
      if (!(await isOurs(wanted))) throw error
      report.ok(`port ${wanted}: Strongroom runs there`)
    }
  }
}

async function isOurs(port: number): Promise<boolean> {
  try {
    const signal = AbortSignal.timeout(5_000)
    const answer = await fetch(`http://127.0.0.1:${port}/health`, { signal })
    return /^\{"status":"(?:ok|draining)"\}\s*$/.test(await answer.text())
  } catch {
    // Refused, mute or no HTTP at all: somebody else's.
    return false
  }
}
