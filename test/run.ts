/**
 * Runs the whole suite, or the files whose paths contain one of the arguments, with one PostgreSQL and one Swift for all.
 * With CI set a skipped test is a failure. `node test/run.ts test/sync` is `make test` for the syncer alone.
 */
import { glob } from 'node:fs/promises'
import { availableParallelism } from 'node:os'
import { join, relative } from 'node:path'
import { run } from 'node:test'
import { spec } from 'node:test/reporters'
import { inspect } from 'node:util'
import { coverageOf, type FileCoverage } from './support/coverage.ts'
import { startPostgres } from './support/postgres.ts'
import { startSwift } from './support/swift.ts'

const ROOT = join(import.meta.dirname, '..')
/** No test is silent for so long, not even on a slow machine: it hangs, and would hold up the run for ever. */
const SILENT_MINUTES = 15
const FAILURE_LINES = 30

interface Counts {
  passed: number
  failed: number
  skipped: number
}

interface Outcome extends Counts {
  coverage: FileCoverage[] | null
  /** For each failed test where it is and what went wrong. */
  failures: string[]
}

async function main(): Promise<number> {
  const wanted = process.argv.slice(2)
  const files = await testFiles(wanted)
  if (files.length === 0) {
    console.error(`no test file matches ${wanted.join(' ')}`)
    return 64
  }
  const stop = new AbortController()
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => stop.abort())

  const outcome = await withServices(() => runFiles(files, wanted.length === 0, stop))
  const coverage = outcome.coverage && (await coverageOf(ROOT, outcome.coverage))
  if (coverage) console.log(coverage.table)
  // Once more, at the end: who reads a long log only there must learn the cause, too.
  for (const failure of outcome.failures) console.log(failure)
  const skipsCount = isSet(process.env.CI) && outcome.skipped > 0
  if (skipsCount) console.log('With CI set every test must run: a skipped one is a failure.')
  if (stop.signal.aborted) console.log('The run was stopped before its end.')
  const skipped = outcome.skipped > 0 ? `, ${outcome.skipped} skipped` : ''
  console.log(`${outcome.passed} passed, ${outcome.failed} failed${skipped}`)
  const good = outcome.failed === 0 && outcome.passed > 0 && !skipsCount && !stop.signal.aborted
  return good && (coverage?.enough ?? true) ? 0 : 1
}

async function testFiles(wanted: string[]): Promise<string[]> {
  const parts = wanted.map((part) => (part.startsWith('/') ? relative(ROOT, part) : part))
  const chosen: string[] = []
  for await (const file of glob('test/**/*.test.ts', { cwd: ROOT })) {
    if (parts.length === 0 || parts.some((part) => file.includes(part))) chosen.push(file)
  }
  return chosen.sort().map((file) => join(ROOT, file))
}

async function withServices<T>(work: () => Promise<T>): Promise<T> {
  const services = await Promise.allSettled([startPostgres(), startSwift()])
  try {
    const [database, bucket] = services
    if (database.status === 'rejected') throw database.reason
    if (bucket.status === 'rejected') throw bucket.reason
    process.env.STRONGROOM_TEST_PG = JSON.stringify(database.value)
    process.env.STRONGROOM_TEST_S3 = JSON.stringify(bucket.value)
    return await work()
  } finally {
    for (const service of services) if (service.status === 'fulfilled') await service.value.stop()
  }
}

async function runFiles(
  files: string[],
  measured: boolean,
  stop: AbortController,
): Promise<Outcome> {
  const outcome: Outcome = { passed: 0, failed: 0, skipped: 0, coverage: null, failures: [] }
  const events = run({
    files,
    concurrency: availableParallelism(),
    signal: stop.signal,
    cwd: ROOT,
    ...(measured && { coverage: true, coverageIncludeGlobs: ['src/**/*.ts'] }),
  })
  events.on('test:summary', ({ file, counts }) => {
    if (file !== undefined) return
    outcome.passed = counts.passed
    // A file that dies counts as one failed test.
    outcome.failed = counts.tests - counts.passed - counts.skipped - counts.todo
    outcome.skipped = counts.skipped + counts.todo
  })
  events.on('test:fail', ({ name, file, details: { error } }) => {
    if (isOfSubtests(error)) return
    const cause = inspect(error.cause ?? error).split('\n', FAILURE_LINES)
    outcome.failures.push(`FAILED ${relative(ROOT, file ?? '')}: ${name}\n${cause.join('\n')}`)
  })
  events.on('test:coverage', ({ summary }) => {
    outcome.coverage = summary.files
  })
  const silence = watchSilence(events, stop)
  // The reporter's own table is long: ours says per folder what is enough.
  const shown = events.filter((event: { type: string }) => event.type !== 'test:coverage')
  for await (const text of shown.compose(new spec())) process.stdout.write(text)
  clearInterval(silence)
  return outcome
}

/**
 * Names the files that are at work whenever a minute brought nothing: a hanging test must not look like a slow one. After
 * SILENT_MINUTES of it the run is stopped.
 */
function watchSilence(events: ReturnType<typeof run>, stop: AbortController): NodeJS.Timeout {
  const atWork = new Set<string>()
  let silentMinutes = -1
  events.on('test:dequeue', ({ file, name }) => {
    silentMinutes = -1
    atWork.add(file ?? name)
  })
  events.on('test:complete', ({ file, name }) => {
    silentMinutes = -1
    if (name === file) atWork.delete(file)
  })
  events.on('test:summary', ({ file }) => void atWork.delete(file ?? ''))
  return setInterval(() => {
    silentMinutes += 1
    if (silentMinutes > 0)
      console.log(`still at work: ${[...atWork].map((f) => relative(ROOT, f)).join(', ')}`)
    if (silentMinutes === SILENT_MINUTES) stop.abort()
  }, 60_000).unref()
}

/** Such a failure only says that another one, below it, was told before. */
function isOfSubtests(error: Error): boolean {
  return 'failureType' in error && error.failureType === 'subtestsFailed'
}

function isSet(flag: string | undefined): boolean {
  return flag !== undefined && !['', '0', 'false'].includes(flag)
}

process.exitCode = await main()
