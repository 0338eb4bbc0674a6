/**
 * Times what is asked of the database on tables as large as they become, and shows how PostgreSQL carries it out.
 *
 * `node bench/queries.ts [--rows N]`. Needs PostgreSQL and, for ten million rows, some 15 GB of free space in the temporary
 * folder. Exits with 1 when one that looks for the next work takes more
 * processor time than the limit.
 */
import { randomUUID } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { parseArgs } from 'node:util'
import { openArchives } from '../src/db/archives.ts'
import { openBackend } from '../src/db/backend.ts'
import { type Database, openDatabase } from '../src/db/connect.ts'
import { openItems } from '../src/db/items.ts'
import { migrate } from '../src/db/migrate.ts'
import { parse } from '../test/support/config.ts'
import { fillTables } from '../test/support/many-rows.ts'
import { withWatchedDatabase } from '../test/support/plans.ts'
import {
  createBackendTables,
  startPostgres,
  type TestDatabase,
  type TestSql,
  withDatabase,
} from '../test/support/postgres.ts'
import { type Question, questions } from './questions.ts'
import { quantile } from './serve/quantile.ts'

const RUNS = 100

async function main(): Promise<number> {
  const { values } = parseArgs({ options: { rows: { type: 'string', default: '10000000' } } })
  const rows = Number(values.rows)
  const postgres = await startPostgres()
  const closings: (() => unknown)[] = [() => postgres.stop()]
  const scope = { after: (close: () => unknown) => void closings.push(close) }
  try {
    const made = await withDatabase(scope, postgres)
    const began = performance.now()
    const archiveId = await fill(made, rows)
    console.log(`${rows} rows in ${Math.round((performance.now() - began) / 1_000)} s`)
    let isSlow = false
    for (const question of questions) {
      const spentMs = await time(scope, made, { archiveId, question })
      isSlow ||= question.limitMs !== undefined && spentMs > question.limitMs
    }
    return isSlow ? 1 : 0
  } finally {
    for (const close of closings.reverse()) await close()
  }
}

/** @returns the id of the archive */
async function fill({ config, sql }: TestDatabase, rows: number): Promise<string> {
  await createBackendTables(sql)
  const database = openDatabase(config)
  await migrate(database)
  const archiveId = randomUUID()
  await openArchives(database).insert(archiveId)
  await database.close()
  const remake = await dropIndexes(sql)
  await fillTables(sql, rows)
  for (const statement of remake) await sql.unsafe(statement)
  await sql`vacuum analyze media`
  await sql`vacuum analyze strongroom.items`
  return archiveId
}

/** Making an index once is much faster than keeping it up row by row. @returns what makes them again */
async function dropIndexes(sql: TestSql): Promise<string[]> {
  const constraints = await sql<{ drop: string; make: string }[]>`
    select format('alter table %s drop constraint %I', conrelid::regclass, conname) as drop,
      format('alter table %s add constraint %I %s', conrelid::regclass, conname, pg_get_constraintdef(oid)) as make
    from pg_constraint where contype = 'u' and conrelid = 'strongroom.items'::regclass`
  const indexes = await sql<{ drop: string; make: string }[]>`
    select format('drop index %s', indexrelid::regclass) as drop, pg_get_indexdef(indexrelid) as make
    from pg_index i
    where indrelid in ('strongroom.items'::regclass, 'media'::regclass) and not indisprimary
      and not exists (select from pg_constraint c where c.conindid = i.indexrelid)`
  const all = [...constraints, ...indexes]
  for (const { drop } of all) await sql.unsafe(drop)
  return all.map(({ make }) => make)
}

/** The server's processes for the connections of our program. */
async function backendsOf(sql: TestSql): Promise<number[]> {
  const rows = await sql<{ pid: number }[]>`
    select pid from pg_stat_activity where application_name = 'strongroom' and datname = current_database()`
  return rows.map(({ pid }) => pid)
}

/** Unlike the time that an answer takes it hardly depends on what else the machine does. */
function processorMs(pids: readonly number[]): number {
  const nanoseconds = pids.map((pid) => {
    const [onProcessor = '0'] = readFileSync(`/proc/${pid}/schedstat`, 'utf8').split(' ')
    return Number(onProcessor)
  })
  return nanoseconds.reduce((sum, each) => sum + each, 0) / 1e6
}

/** @returns the server's processor time for one question in milliseconds */
async function time(
  scope: Parameters<typeof withWatchedDatabase>[0],
  { config, sql }: TestDatabase,
  { archiveId, question }: { archiveId: string; question: Question },
): Promise<number> {
  const database = openDatabase(config)
  const backend = await openBackend(database, parse().backend)
  // All of its connections are open before anything is measured.
  await Promise.all(
    Array.from({ length: 8 }, () => database.run((one) => one`select pg_sleep(0.05)`)),
  )
  // Each question is another worker's: what one has in hand is its own.
  const itemsOf = (on: Database) =>
    openItems({
      database: on,
      backend,
      archiveId,
      bucket: 'uploads',
      owner: randomUUID(),
      leaseMs: 90_000,
      releaseGraceMs: 0,
      releaseDailyMax: null,
    })
  const worker = { items: itemsOf(database), held: [] }
  // What is asked first by each worker is timed by itself.
  if (question.warmsUp === true)
    await question.ask({ items: worker.items, worker, database, backend, run: 0 })
  const tookMs: number[] = []
  let given = 0
  let spentMs = 0
  const backends = await backendsOf(sql)
  for (let run = 0; run < RUNS; run++) {
    const items = itemsOf(database)
    const before = processorMs(backends)
    const began = performance.now()
    const { rows, settle } = await question.ask({ items, worker, database, backend, run })
    tookMs.push(performance.now() - began)
    spentMs += (processorMs(backends) - before) / RUNS
    given += rows
    await settle?.()
  }
  const { database: watched, explained } = withWatchedDatabase(scope, config)
  const watchedWorker = { items: itemsOf(watched), held: [] }
  const last = {
    items: watchedWorker.items,
    worker: watchedWorker,
    database: watched,
    backend,
    run: RUNS,
  }
  await question.ask(last)
  // Its second question is as all later ones are.
  if (question.warmsUp === true) await question.ask(last)
  const plan = (await explained()).at(-1)
  await database.close()
  const ms = [0.5, 0.99].map((share) => quantile(tookMs, share).toFixed(2))
  console.log(
    `${question.name}: p50 ${ms[0]} ms, p99 ${ms[1]} ms, ${spentMs.toFixed(2)} ms of the server’s processor time (${RUNS} times, ${given} rows)`,
  )
  for (const { how, table, rows } of plan?.readings ?? [])
    console.log(`  ${how} on ${table}: ${rows}`)
  console.log(`  indexes: ${[...new Set(plan?.indexes)].join(', ')}`)
  return spentMs
}

process.exitCode = await main()
