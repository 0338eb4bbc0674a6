import type { Database, Sql } from './connect.ts'

/** What the archive must hold for one item. */
export interface ArchivedFile {
  item: number
  /** Of the item's last claim. */
  epoch: number
  mediaId: number
  archivePath: string
  /** Hex. */
  sha256: string
  sizeBytes: number
  /** True while a worker holds the item, and may be putting another file in its place. */
  leased: boolean
  /** True when it was found damaged before. */
  damaged: boolean
}

/** Which of the archived files; by default all. */
export interface Selection {
  mediaId: number | null
  /** The part to choose at random, from 0 to 1. */
  share: number
}

interface Row {
  id: string
  epoch: number
  media_id: string
  archive_path: string
  sha256: string
  size_bytes: string
  leased: boolean
  damaged: boolean
}

/** The files that lie in the archive by the database's word, in the order of their items, after item `after`. */
export async function archivedFiles(
  database: Database,
  { after, limit, mediaId, share }: Selection & { after: number; limit: number },
): Promise<ArchivedFile[]> {
  const rows = await database.run(
    (sql) => sql<Row[]>`
      select ${columns(sql)} from strongroom.items
      where id > ${after} and ${isFiled(sql)} and ${isOf(sql, mediaId)} and random() < ${share}
      order by id limit ${limit}`,
  )
  return rows.map(toArchivedFile)
}

/** One of them as it is now. @returns null when it belongs there no more */
export async function archivedFile(database: Database, item: number): Promise<ArchivedFile | null> {
  const [row] = await database.run(
    (sql) => sql<Row[]>`
      select ${columns(sql)} from strongroom.items where id = ${item} and ${isFiled(sql)}`,
  )
  return row === undefined ? null : toArchivedFile(row)
}

/** How much all of them are. Reads every item. */
export async function archivedTotal(
  database: Database,
  mediaId: number | null,
): Promise<{ files: number; bytes: number }> {
  const [row] = await database.run(
    (sql) => sql<{ files: string; bytes: string }[]>`
      select count(*) as files, coalesce(sum(size_bytes), 0) as bytes from strongroom.items
      where ${isFiled(sql)} and ${isOf(sql, mediaId)}`,
  )
  return { files: Number(row?.files), bytes: Number(row?.bytes) }
}

const HOUR_MS = 3_600_000
/**
 * How soon a file that was found damaged is looked at again, because its source may be within reach now: after as long as its
 * damage was known at the last look, within these bounds.
 */
const DAMAGED_AGAIN_MS = { least: HOUR_MS, most: 24 * HOUR_MS }

/**
 * Takes the files that were last read longer than `periodMs` ago, longest ago first, after those that were found damaged
 * an hour ago or earlier; what is lost is looked at once a day. What a person wants read comes before all. For an hour no other
 * node takes them. What was read at a time that is {@link tooLate} is due, too.
 */
export async function takeForScrub(
  database: Database,
  { limit, periodMs }: { limit: number; periodMs: number },
): Promise<ArchivedFile[]> {
  const rows = await database.run((sql) => {
    const free = isFree(sql)
    const ago = (ms: number) => sql`now() - ${ms} * interval '1 ms'`
    return sql<(Row & { read_at: Date; wanted_at: Date | null })[]>`
      with wanted as (
        select id from strongroom.items
        where reading_wanted_at is not null and ${isFiled(sql)} and ${free}
        order by reading_wanted_at limit ${limit} for no key update skip locked),
      damaged as (
        select id from strongroom.items
        where damage is not null and verified_at < ${ago(DAMAGED_AGAIN_MS.least)} and ${isFiled(sql)} and ${free}
          and (verified_at < ${ago(DAMAGED_AGAIN_MS.most)}
            or (state <> 'lost' and verified_at < now() - (verified_at - damaged_at)))
        order by verified_at limit ${limit} for no key update skip locked),
      due as (
        select id from strongroom.items
        where ${isFiled(sql)} and coalesce(verified_at, archived_at, created_at) < ${ago(periodMs)} and ${free}
        order by coalesce(verified_at, archived_at, created_at) limit ${limit} for no key update skip locked),
      ahead as (
        select id from strongroom.items
        where ${isFiled(sql)} and coalesce(verified_at, archived_at, created_at) > ${tooLate(sql)} and ${free}
        order by coalesce(verified_at, archived_at, created_at) limit ${limit} for no key update skip locked),
      taken as (select id from wanted union select id from damaged union select id from due union select id from ahead)
      update strongroom.items set scrub_until = now() + ${HOUR_MS} * interval '1 ms'
      where id in (select id from taken)
      returning ${columns(sql)}, reading_wanted_at as wanted_at, coalesce(verified_at, archived_at, created_at) as read_at`
  })
  // An update returns its rows in any order.
  const order = (a: (typeof rows)[0], b: (typeof rows)[0]) =>
    Number(b.wanted_at !== null) - Number(a.wanted_at !== null) ||
    Number(b.damaged) - Number(a.damaged) ||
    a.read_at.getTime() - b.read_at.getTime()
  return rows.toSorted(order).map(toArchivedFile)
}

/** Whether a person wants a file read that nobody has in hand. */
export async function isReadingWanted(database: Database): Promise<boolean> {
  const [row] = await database.run(
    (sql) => sql<{ wanted: boolean }[]>`
      select exists (
        select from strongroom.items where reading_wanted_at is not null and ${isFiled(sql)} and ${isFree(sql)}) as wanted`,
  )
  return row?.wanted === true
}

/**
 * Notes that a file was read whole, and what was wrong with it; null for nothing. What a worker has had in hand since it was
 * read may be another file by now, and nothing is noted of it. An item that was lost, and whose file somebody has restored, goes on
 * as it was.
 */
export async function noteVerified(
  database: Database,
  file: ArchivedFile,
  damage: string | null,
): Promise<void> {
  await database.settle(
    (sql) => sql`
      update strongroom.items set ${damage === null ? foundAgain(sql) : sql``}
        verified_at = clock_timestamp(), damage = ${damage},
        damaged_at = ${damagedAt(sql, damage)}, scrub_until = null, reading_wanted_at = null
      where id = ${file.item} and epoch = ${file.epoch} and archive_path = ${file.archivePath} and sha256 = ${file.sha256}`,
  )
}

/**
 * How many files were found damaged in the last 24 hours, or since a person last said that healing may go on; what has been
 * healed since counts too.
 */
export async function damagedLately(database: Database): Promise<number> {
  const [row] = await database.run(
    (sql) => sql<{ count: string }[]>`
      select count(*) as count from strongroom.items
      where damaged_at > now() - interval '24 hours'
        and damaged_at > coalesce((select heal_confirmed_at from strongroom.archives), '-infinity')`,
  )
  return Number(row?.count)
}

/** When damage was noticed: the same damage is noticed once. */
export function damagedAt(sql: Sql, damage: string | null) {
  return damage === null
    ? sql`damaged_at`
    : sql`case when damage is null then clock_timestamp() else damaged_at end`
}

function columns(sql: Sql) {
  return sql`id, epoch, media_id, archive_path, sha256, size_bytes,
    coalesce(lease_until > clock_timestamp(), false) as leased, damage is not null as damaged`
}

/** Assignments for an item whose file is whole: one that was lost goes on where it was before. */
export function foundAgain(sql: Sql) {
  return sql`
    state = case when state <> 'lost' then state when released_at is not null then 'released'
      -- of a file that an older service archived no source was ever known
      when etag is null then 'kept' else 'archived' end,
    error_code = case when state = 'lost' then null else error_code end,
    error_message = case when state = 'lost' then null else error_message end,`
}

/**
 * What is noted of now is never as late as this, and nobody takes anything for as long, unless the clock of the database was
 * ahead for a while: until it is as late as that clock said, nothing would be due.
 */
export function tooLate(sql: Sql) {
  return sql`now() + interval '2 hours'`
}

function isFree(sql: Sql) {
  return sql`(scrub_until is null or scrub_until < now() or scrub_until > ${tooLate(sql)})`
}

/** What lies in the archive by the database's word. */
export function isFiled(sql: Sql) {
  return sql`state in ('archived', 'releasing', 'released', 'source_differs', 'lost', 'kept')
    and archive_path is not null and sha256 is not null and size_bytes is not null`
}

function isOf(sql: Sql, mediaId: number | null) {
  return mediaId === null ? sql`true` : sql`media_id = ${mediaId}`
}

function toArchivedFile(row: Row): ArchivedFile {
  return {
    item: Number(row.id),
    epoch: row.epoch,
    mediaId: Number(row.media_id),
    archivePath: row.archive_path,
    sha256: row.sha256,
    sizeBytes: Number(row.size_bytes),
    leased: row.leased,
    damaged: row.damaged,
  }
}
