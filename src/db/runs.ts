import type { ErrorCode } from '../errors.ts'
import type { Job, Run, RunEnd, RunError, RunMode, RunStatus, RunTrigger } from '../runs.ts'
import type { Database, Fragment, Sql } from './connect.ts'

/** Who is about to run what. */
export interface RunStart {
  job: Job
  trigger: RunTrigger
  mode: RunMode
  /** Host name. */
  node: string
  /** Names this very run. */
  worker: string
  /** Only one run of the job at a time may be under way, on all nodes together. */
  alone: boolean
  leaseMs: number
}

interface RunRow {
  id: string
  job: Job
  trigger: RunTrigger
  mode: RunMode
  status: RunStatus
  node: string
  started_at: Date
  ended_at: Date | null
  attempts: number
  items: Record<string, number>
  bytes: string
  error_code: ErrorCode | null
  error_message: string | null
  error_hint: string | null
}

function columns(sql: Sql): Fragment {
  return sql`id, job, trigger, mode, status, node, started_at, ended_at, attempts, items, bytes,
    error_code, error_message, error_hint`
}

function runOf(row: RunRow): Run {
  return {
    id: Number(row.id),
    job: row.job,
    trigger: row.trigger,
    mode: row.mode,
    status: row.status,
    node: row.node,
    startedAt: row.started_at,
    endedAt: row.ended_at,
    attempts: row.attempts,
    items: row.items,
    bytes: Number(row.bytes),
    error: errorOf(row),
  }
}

function errorOf(row: RunRow): RunError | null {
  if (row.error_code === null) return null
  return { code: row.error_code, message: row.error_message ?? '', hint: row.error_hint }
}

/**
 * Enters a run that begins now.
 *
 * @returns null when it must be alone and another one is under way
 */
export async function beginRun(database: Database, start: RunStart): Promise<Run | null> {
  const { job, trigger, mode, node, worker, alone, leaseMs } = start
  // Sent again after a lost answer it finds its own row, by its worker.
  const [row] = await database.settle(
    (sql) => sql<RunRow[]>`
      with entered as (
        insert into strongroom.runs (job, trigger, mode, status, node, worker, lease_until, alone)
        values (${job}, ${trigger}, ${mode}, 'running', ${node}, ${worker}::uuid,
          ${leaseEnd(sql, leaseMs)}, ${alone ? job : null})
        on conflict do nothing
        returning ${columns(sql)}
      )
      select * from entered
      union all
      select ${columns(sql)} from strongroom.runs where worker = ${worker}::uuid and status = 'running'
      limit 1`,
  )
  return row === undefined ? null : runOf(row)
}

/** Takes a run that was asked for. @returns null when none is, or another node was quicker, or it must be alone and is not */
export async function takePending(
  database: Database,
  { job, node, worker, alone, leaseMs }: Omit<RunStart, 'trigger' | 'mode'>,
): Promise<Run | null> {
  const [row] = await database.run(
    (sql) => sql<RunRow[]>`
      update strongroom.runs set status = 'running', node = ${node}, worker = ${worker}::uuid,
        started_at = clock_timestamp(), lease_until = ${leaseEnd(sql, leaseMs)}, alone = ${alone ? job : null}
      where job = ${job} and status = 'pending'
        and not (${alone} and exists (
          select 1 from strongroom.runs other where other.alone = ${job} and other.status = 'running'))
      returning ${columns(sql)}`,
  )
  return row === undefined ? null : runOf(row)
}

/** Asks for a run on whichever node takes it first. @returns the one that is asked for already, if there is one */
export async function requestRun(
  database: Database,
  { job, mode, node }: Pick<RunStart, 'job' | 'mode' | 'node'>,
): Promise<Run> {
  const [row] = await database.settle(
    (sql) => sql<RunRow[]>`
      insert into strongroom.runs (job, trigger, mode, status, node)
      values (${job}, 'api', ${mode}, 'pending', ${node})
      on conflict (job) where status = 'pending' do update set node = excluded.node
      returning ${columns(sql)}`,
  )
  return runOf(row as RunRow)
}

/** Whether somebody asked for a run that nobody has taken yet. */
export async function isAsked(database: Database, job: Job): Promise<boolean> {
  const rows = await database.run(
    (sql) => sql`select 1 from strongroom.runs where job = ${job} and status = 'pending'`,
  )
  return rows.length > 0
}

/** Says that a run goes on, and how far it is. @returns false when it counts as cut off by now, or is over */
export async function renewRun(
  database: Database,
  run: { worker: string; leaseMs: number } & Pick<Run, 'items' | 'bytes'>,
): Promise<boolean> {
  const rows = await database.run(
    (sql) => sql`
      update strongroom.runs set lease_until = ${leaseEnd(sql, run.leaseMs)},
        items = ${json(sql, run.items)}, bytes = ${run.bytes}
      where worker = ${run.worker}::uuid and status = 'running' returning 1`,
  )
  return rows.length > 0
}

/**
 * Enters how a run came out; one that was taken for dead meanwhile is put right.
 *
 * A run that failed for the same reason as the one before it of the same job and node, within `repeatMs` of it, is told
 * of in that one's row: an outage of a night is one row, and not a hundred.
 */
export async function endRun(
  database: Database,
  run: { worker: string; repeatMs: number; log: string | null } & RunEnd,
): Promise<Run | null> {
  const [row] = await database.settle(
    (sql) => sql<RunRow[]>`
      update strongroom.runs set status = ${run.status}, ended_at = clock_timestamp(),
        lease_until = null, items = ${json(sql, run.items)}, bytes = ${run.bytes},
        error_code = ${run.error?.code ?? null}, error_message = ${run.error?.message ?? null},
        error_hint = ${run.error?.hint ?? null}, log = ${run.log}
      where worker = ${run.worker}::uuid
      returning ${columns(sql)}`,
    END_WITHIN_MS,
  )
  if (row === undefined) return null
  const ended = runOf(row)
  return ended.status === 'failed' ? foldRepeat(database, ended, run.repeatMs) : ended
}

/** Longer than a blink of the network; a process that is told to stop does not wait for more. */
const END_WITHIN_MS = 5_000

async function foldRepeat(database: Database, failed: Run, repeatMs: number): Promise<Run> {
  const [row] = await database.run(
    (sql) => sql<RunRow[]>`
      with last as (
        select id, job, node, error_code, items, started_at from strongroom.runs where id = ${failed.id}
      ), before as (
        select runs.* from strongroom.runs
        join last on runs.job = last.job and runs.id < last.id
        order by runs.id desc limit 1
      ), folded as (
        delete from strongroom.runs using last, before
        where runs.id = last.id and coalesce((last.items ->> 'archived')::int, 0) = 0
          and before.status = 'failed' and before.node = last.node
          and before.error_code = last.error_code
          and last.started_at < before.ended_at + ${repeatMs} * interval '1 millisecond'
        returning runs.ended_at, runs.error_message, runs.log
      )
      update strongroom.runs set attempts = runs.attempts + 1, ended_at = folded.ended_at,
        error_message = folded.error_message, log = folded.log
      from folded, before where runs.id = before.id
      returning ${prefixed(sql)}`,
  )
  return row === undefined ? failed : runOf(row)
}

function prefixed(sql: Sql): Fragment {
  return sql`runs.id, runs.job, runs.trigger, runs.mode, runs.status, runs.node, runs.started_at, runs.ended_at,
    runs.attempts, runs.items, runs.bytes, runs.error_code, runs.error_message, runs.error_hint`
}

/** Enters a run that is over already: one that never began, or one that could not be entered while it went on. */
export async function enterPast(database: Database, run: Run): Promise<Run> {
  const [row] = await database.run(
    (sql) => sql<RunRow[]>`
      insert into strongroom.runs (job, trigger, mode, status, node, started_at, ended_at, attempts, items, bytes,
        error_code, error_message, error_hint)
      values (${run.job}, ${run.trigger}, ${run.mode}, ${run.status}, ${run.node}, ${run.startedAt},
        ${run.endedAt}, ${run.attempts}, ${json(sql, run.items)}, ${run.bytes},
        ${run.error?.code ?? null}, ${run.error?.message ?? null}, ${run.error?.hint ?? null})
      returning ${columns(sql)}`,
  )
  return runOf(row as RunRow)
}

/** Closes what crashed processes left; whoever is alive says so more often than leases last. @returns what was closed */
export async function closeInterrupted(database: Database, error: RunError): Promise<Run[]> {
  const rows = await database.run(
    (sql) => sql<RunRow[]>`
      update strongroom.runs set status = 'failed', ended_at = lease_until, error_code = ${error.code},
        error_message = ${error.message}, error_hint = ${error.hint}
      where status = 'running' and lease_until < now()
      returning ${columns(sql)}`,
  )
  return rows.map(runOf)
}

/** The newest first. */
export async function listRuns(
  database: Database,
  { job, before, limit }: { job: Job | null; before: number | null; limit: number },
): Promise<Run[]> {
  const rows = await database.run(
    (sql) => sql<RunRow[]>`
      select ${columns(sql)} from strongroom.runs
      where ${job === null ? sql`true` : sql`job = ${job}`}
        and ${before === null ? sql`true` : sql`id < ${before}`}
      order by id desc limit ${limit}`,
  )
  return rows.map(runOf)
}

/** @returns null when there is none of this id (any more); `log`: what was logged as warning or error meanwhile */
export async function findRun(
  database: Database,
  id: number,
): Promise<(Run & { log: string | null }) | null> {
  const [row] = await database.run(
    (sql) => sql<(RunRow & { log: string | null })[]>`
      select ${columns(sql)}, log from strongroom.runs where id = ${id}`,
  )
  return row === undefined ? null : { ...runOf(row), log: row.log }
}

const FORGOTTEN_AT_ONCE = 1_000

/** Removes runs, and their events, that began longer ago. @returns how many */
export async function forgetRuns(database: Database, olderThanMs: number): Promise<number> {
  const rows = await database.run(
    (sql) => sql`
      delete from strongroom.runs where id = any(array(
        select id from strongroom.runs
        where started_at < now() - ${olderThanMs} * interval '1 millisecond'
          and status not in ('pending', 'running')
        order by started_at limit ${FORGOTTEN_AT_ONCE}))
      returning 1`,
  )
  return rows.length
}

function leaseEnd(sql: Sql, leaseMs: number): Fragment {
  return sql`clock_timestamp() + ${leaseMs} * interval '1 millisecond'`
}

function json(sql: Sql, value: object): Fragment {
  return sql`${JSON.stringify(value)}::text::jsonb`
}
