import type { MediaColumn } from '../config.ts'
import { type Job, jobs } from '../runs.ts'
import { isFiled } from './archived.ts'
import type { Backend } from './backend.ts'
import { isSameVersion, mediaColumn, notDeleted } from './backend-sql.ts'
import type { Database, Fragment, Sql } from './connect.ts'
import { damaged } from './damaged.ts'

/** What the database says of how far the archive has come; found by indexes, whatever the size of the tables. */
export interface Gauges {
  /** How long ago the approved row was approved that has waited longest for its archiving; null when none waits. */
  oldestApprovedSeconds: number | null
  /** Items that a worker of any node has in hand. */
  leased: number
  /** Sources whose time has come. */
  releaseDue: number
  releasePaused: boolean
  healPaused: boolean
  /** Archived files that were damaged when they were last read and that nobody has acknowledged, and copies in the second bucket. */
  damaged: number
  /** How long ago the archived file was read that was read longest ago; null when there is none. */
  oldestReadingSeconds: number | null
}

interface Row {
  oldest_approved: number | null
  leased: string
  release_due: string
  release_paused: boolean
  heal_paused: boolean
  damaged: string
  oldest_reading: number | null
}

/** More are not counted, so that a great number of them costs no more. */
const MOST = 100_000

/** When a run of each job last came to its end, in seconds since 1970; those that never did are left out. */
export async function lastSuccesses(database: Database): Promise<Partial<Record<Job, number>>> {
  const rows = await database.run(
    (sql) => sql<{ job: Job; at: number }[]>`
      select job, extract(epoch from ended_at)::float8 as at
      from unnest(${`{${jobs.join()}}`}::text[]) job, lateral (
        select ended_at from strongroom.runs
        where runs.job = job.job and status in ('success', 'partial')
        order by ended_at desc limit 1) last`,
  )
  return Object.fromEntries(rows.map(({ job, at }) => [job, at]))
}

/** One statement; what is held, rejected or missing waits for a person and not for its archiving. */
export async function readGauges(database: Database, backend: Backend): Promise<Gauges> {
  const [row] = await database.run(
    (sql) => sql<Row[]>`
      with ${waiting(sql, backend, { keyPrefix: '', ours: true })},
      in_work as (
        select count(*) as count from strongroom.items
        where state in ('claimed', 'waiting', 'missing', 'publishing', 'withdrawing', 'releasing')
          and lease_until > clock_timestamp()),
      due as (
        select count(*) as count from (
          select from strongroom.items where state = 'archived' and release_due <= now() limit ${MOST}) d),
      damaged as (
        select least(count(*), ${MOST}) as count from (${damaged(sql, MOST, { unseen: true })}) d),
      reading as (
        select coalesce(verified_at, archived_at, created_at) as read_at from strongroom.items
        where ${isFiled(sql)}
        order by coalesce(verified_at, archived_at, created_at) limit 1),
      paused as (select release_paused_at, heal_paused_at from strongroom.archives)
      select extract(epoch from clock_timestamp() - least(
          (select approved_at from fresh), (select approved_at from open)))::float8 as oldest_approved,
        (select count from in_work) as leased, (select count from due) as release_due,
        exists (select from paused where release_paused_at is not null) as release_paused,
        exists (select from paused where heal_paused_at is not null) as heal_paused,
        (select count from damaged) as damaged,
        extract(epoch from clock_timestamp() - (select read_at from reading))::float8 as oldest_reading`,
  )
  return {
    oldestApprovedSeconds: notNegative(row?.oldest_approved),
    leased: Number(row?.leased ?? 0),
    releaseDue: Number(row?.release_due ?? 0),
    releasePaused: row?.release_paused === true,
    healPaused: row?.heal_paused === true,
    damaged: Number(row?.damaged ?? 0),
    oldestReadingSeconds: notNegative(row?.oldest_reading),
  }
}

interface Wish {
  /** Only rows whose key begins so; empty for all. */
  keyPrefix: string
  /** Our schema is there; without it all that is approved waits. */
  ours: boolean
}

/**
 * How long ago the row was approved that has waited longest for its archiving.
 *
 * @returns null when none waits
 */
export async function oldestWaiting(
  database: Database,
  backend: Backend,
  wish: Wish,
): Promise<{ ageSeconds: number } | null> {
  const [row] = await database.run(
    (sql) => sql<{ seconds: number | null }[]>`
      with ${waiting(sql, backend, wish)}
      select extract(epoch from clock_timestamp() - least(
        (select approved_at from fresh), (select approved_at from open)))::float8 as seconds`,
  )
  const ageSeconds = notNegative(row?.seconds)
  return ageSeconds === null ? null : { ageSeconds }
}

/** `fresh`: the oldest approval that no item is there for; `open`: the oldest one that is being worked on. */
function waiting(sql: Sql, backend: Backend, { keyPrefix, ours }: Wish): Fragment {
  const { mapping } = backend
  const column = (name: MediaColumn, type = 'text') => mediaColumn(sql, backend, name, type)
  const approvedAt = column('approved_at', 'timestamptz')
  const begins = (key: Fragment) =>
    keyPrefix === '' ? sql`true` : sql`starts_with(${key}, ${keyPrefix})`
  const newest = ours
    ? sql`select * from strongroom.items where media_id = m.${sql(mapping.mediaColumns.id)}
        order by generation desc limit 1`
    : sql`select null::bigint as id, null::text as state, null::text as object_key,
        null::bigint as declared_bytes, null::timestamptz as approved_at`
  const open = ours
    ? sql`select min(approved_at) as approved_at from strongroom.items
        where state in ('claimed', 'waiting', 'publishing') and ${begins(sql`object_key`)}`
    : sql`select null::timestamptz as approved_at`
  return sql`
    fresh as (
      select ${approvedAt}::timestamptz as approved_at from ${sql(mapping.mediaTable)} m
      left join lateral (${newest}) i on true
      where ${column('status')} = ${mapping.status.approved} and ${notDeleted(sql, backend)}
        and ${approvedAt} is not null and ${column('object_key')} is not null
        and ${begins(sql`${column('object_key')}::text`)}
        and case when i.id is null then true
          when i.state in ('claimed', 'waiting', 'missing', 'publishing', 'withdrawing') then false
          when i.state = 'withdrawn' then true
          else not (${isSameVersion(sql, backend)}) end
      order by ${approvedAt} limit 1),
    open as (${open})`
}

/** A backend may approve for a time to come. */
function notNegative(seconds: number | null | undefined): number | null {
  return seconds === null || seconds === undefined ? null : Math.max(0, seconds)
}
