import type { Job } from '../runs.ts'
import { isFiled } from './archived.ts'
import type { Database } from './connect.ts'
import { damaged } from './damaged.ts'

/** What a health check asks of the database, in one statement. */
export interface DatabaseHealth {
  /** How long ago the archived file was read that was read longest ago; null when there is none. */
  oldestReadingSeconds: number | null
  /** Of the files that were damaged when they were last looked at, here or in the second bucket, the first that nobody has acknowledged. */
  damaged: { archivePath: string; damage: string } | null
  /** How long ago a run of the job came to its end; null when none ever did. */
  lastWellSeconds: number | null
  /** What has come of those that are under way, and whose runners are alive, so far; only to be compared. Null for none. */
  underWay: string | null
}

interface Row {
  oldest_reading: number | null
  archive_path: string | null
  damage: string | null
  last_well: number | null
  under_way: string | null
}

export async function readHealth(database: Database, job: Job): Promise<DatabaseHealth> {
  const [row] = await database.run(
    (sql) => sql<Row[]>`
      with oldest as (
        select coalesce(verified_at, archived_at, created_at) as read_at from strongroom.items
        where ${isFiled(sql)} order by coalesce(verified_at, archived_at, created_at) limit 1),
      damaged as (select archive_path, damage from (${damaged(sql, 1, { unseen: true })}) d limit 1),
      well as (
        select ended_at from strongroom.runs
        where job = ${job} and status in ('success', 'partial') order by ended_at desc limit 1)
      select extract(epoch from clock_timestamp() - (select read_at from oldest))::float8 as oldest_reading,
        damaged.archive_path, damaged.damage,
        extract(epoch from clock_timestamp() - (select ended_at from well))::float8 as last_well,
        (select string_agg(concat_ws(' ', id, items, bytes), ', ' order by id) from strongroom.runs
          where job = ${job} and status = 'running' and lease_until > clock_timestamp()) as under_way
      from (select) one left join damaged on true`,
  )
  const { archive_path: archivePath = null, damage = null } = row ?? {}
  return {
    oldestReadingSeconds: row?.oldest_reading ?? null,
    damaged: archivePath === null || damage === null ? null : { archivePath, damage },
    lastWellSeconds: row?.last_well ?? null,
    underWay: row?.under_way ?? null,
  }
}
