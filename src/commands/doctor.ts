import type { Config } from '../config.ts'
import { openArchives } from '../db/archives.ts'
import type { Database } from '../db/connect.ts'
import { AppError, isAppError } from '../errors.ts'
import type { Host } from '../host.ts'
import { openLinks, openProbe, openSecondBucket, type Program } from '../open.ts'
import { createHttpServer } from '../serve/listen.ts'
import { checkBucketRules, checkSecondRules } from './bucket-rules.ts'
import { bucketClock, databaseClock, judgeClocks } from './clock.ts'
import { composeFor } from './compose.ts'
import { checkArchive } from './doctor-archive.ts'
import { checkDatabase } from './doctor-database.ts'
import { createReport, type Examined, type Report } from './doctor-report.ts'
import { jurisdictionHint } from './jurisdiction.ts'
import { checkScrub } from './scrub-check.ts'

/** An ffprobe that starts slower than this makes start-up, not probing, the cost of small files. */
const SLOW_PROBE_MS = 30
const MOST_STEPS = 3

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
  const second = openSecondBucket(config, program)
  if (second !== null)
    await report.section('second bucket', async () => {
      await second.check()
      report.ok(`the second bucket ${second.name} answers`)
      if (config.second !== null) await checkSecondRules(config.second, report)
    })
  let answered = false
  await report.section('database', () =>
    checkDatabase(examined, database, () => {
      answered = true
    }),
  )
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
