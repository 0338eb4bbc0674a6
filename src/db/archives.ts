import type { Database } from './connect.ts'

/** The row of the archive volume that this database belongs to. */
export interface ArchiveRow {
  id: string
  /** False between the first start's two steps: the row is there, the marker file may not be. */
  initialised: boolean
  sick: { at: Date; reason: string } | null
  releasePaused: { at: Date; reason: string | null } | null
  /** Too much was found damaged at once: a person must look first. */
  healPaused: { at: Date; reason: string } | null
}

export interface Archives {
  /** @returns null before the first start */
  find(): Promise<ArchiveRow | null>
  /** Inserts `id` unless a row exists; the row that is there afterwards is the one that counts. */
  insert(id: string): Promise<void>
  markInitialised(id: string): Promise<void>
  /** Makes the volume with marker `id` the one of this database; items follow. */
  accept(id: string): Promise<void>
  /** Latches a sick disk before anything else happens. */
  latchSick(reason: string): Promise<void>
  clearSick(): Promise<void>
  /** @param reason null leaves the reason of an earlier pause */
  pauseRelease(reason: string | null): Promise<void>
  resumeRelease(): Promise<void>
  /** @returns false when it was paused already */
  pauseHealing(reason: string): Promise<boolean>
  /** What was found damaged until now is to be healed, however much it is. */
  resumeHealing(): Promise<void>
  /** @returns null while the bucket has not been probed */
  conditionalDelete(bucketId: string): Promise<boolean | null>
  rememberConditionalDelete(bucketId: string, honoured: boolean): Promise<void>
}

interface Row {
  id: string
  initialised_at: Date | null
  sick_at: Date | null
  sick_reason: string | null
  release_paused_at: Date | null
  release_paused_reason: string | null
  heal_paused_at: Date | null
  heal_paused_reason: string | null
}

export function openArchives(database: Database): Archives {
  return {
    async find() {
      const [row] = await database.run((sql) => sql<Row[]>`select * from strongroom.archives`)
      return row === undefined ? null : toArchiveRow(row)
    },
    async insert(id) {
      await database.settle(
        (sql) => sql`insert into strongroom.archives (id) values (${id}) on conflict do nothing`,
      )
    },
    async markInitialised(id) {
      await database.settle(
        (sql) => sql`
          update strongroom.archives set initialised_at = coalesce(initialised_at, now()) where id = ${id}`,
      )
    },
    async accept(id) {
      await database.settle(
        (sql) => sql`
          with moved as (update strongroom.archives set id = ${id}, initialised_at = now() returning id)
          insert into strongroom.archives (id, initialised_at)
          select ${id}, now() where not exists (select from moved) and not exists (select from strongroom.archives)
          on conflict do nothing`,
      )
    },
    async latchSick(reason) {
      await database.settle(
        (sql) => sql`
          update strongroom.archives set sick_at = coalesce(sick_at, now()), sick_reason = coalesce(sick_reason, ${reason})`,
      )
    },
    async clearSick() {
      await database.settle(
        (sql) => sql`update strongroom.archives set sick_at = null, sick_reason = null`,
      )
    },
    async pauseRelease(reason) {
      await database.settle(
        (sql) => sql`
          update strongroom.archives
          set release_paused_at = coalesce(release_paused_at, now()), release_paused_reason = coalesce(${reason}::text, release_paused_reason)`,
      )
    },
    async resumeRelease() {
      await database.settle(
        (sql) => sql`
          update strongroom.archives set release_paused_at = null, release_paused_reason = null`,
      )
    },
    async pauseHealing(reason) {
      const rows = await database.settle(
        (sql) => sql`
          update strongroom.archives set heal_paused_at = now(), heal_paused_reason = ${reason}
          where heal_paused_at is null returning id`,
      )
      return rows.length === 1
    },
    async resumeHealing() {
      await database.settle(
        (sql) => sql`
          update strongroom.archives
          set heal_paused_at = null, heal_paused_reason = null, heal_confirmed_at = clock_timestamp()`,
      )
    },
    async conditionalDelete(bucketId) {
      const [row] = await database.run(
        (sql) => sql<{ conditional_delete: boolean }[]>`
          select conditional_delete from strongroom.buckets where id = ${bucketId}`,
      )
      return row?.conditional_delete ?? null
    },
    async rememberConditionalDelete(bucketId, honoured) {
      await database.settle(
        (sql) => sql`
          insert into strongroom.buckets (id, conditional_delete) values (${bucketId}, ${honoured})
          on conflict (id) do update set conditional_delete = excluded.conditional_delete, probed_at = now()`,
      )
    },
  }
}

function toArchiveRow(row: Row): ArchiveRow {
  return {
    id: row.id,
    initialised: row.initialised_at !== null,
    sick: row.sick_at === null ? null : { at: row.sick_at, reason: row.sick_reason ?? 'unknown' },
    releasePaused:
      row.release_paused_at === null
        ? null
        : { at: row.release_paused_at, reason: row.release_paused_reason },
    healPaused:
      row.heal_paused_at === null
        ? null
        : { at: row.heal_paused_at, reason: row.heal_paused_reason ?? 'unknown' },
  }
}
