import { type ArchivedFile, tooLate } from './archived.ts'
import type { Database, Fragment, Sql } from './connect.ts'
import { arrayText } from './item-rows.ts'
import type { SecondCopy } from './second.ts'

/** An item that is in the second bucket. */
export interface MovedFile {
  item: number
  mediaId: number
  archivePath: string
  copy: SecondCopy
  verifiedAt: Date
  /** False while its file may lie in the archive, too. */
  removed: boolean
}

/** An archived file that may be moved, as far as the database tells. */
export interface MovableFile
  extends Pick<ArchivedFile, 'item' | 'mediaId' | 'archivePath' | 'sha256' | 'sizeBytes'> {
  archivedAt: Date
  /** The same, as exact as the database has it. */
  cursor: string
}

/** Files that were archived, and not brought back since, so long ago, longest ago first, after the one given. */
export async function movableFiles(
  database: Database,
  page: { after: MovableFile | null; limit: number; ageMs: number },
): Promise<MovableFile[]> {
  const rows = await database.run((sql) => {
    const { after, limit, ageMs } = page
    const beyond =
      after === null
        ? sql`true`
        : sql`(i.archived_at, i.id) > (${after.cursor}::text::timestamptz, ${after.item}::bigint)`
    return sql<
      {
        id: string
        media_id: string
        archive_path: string
        sha256: string
        size_bytes: string
        archived_at: Date
        cursor: string
      }[]
    >`
      select i.id, i.media_id, i.archive_path, i.sha256, i.size_bytes, i.archived_at,
        i.archived_at::text as cursor
      from strongroom.items i
      where i.state = 'released' and i.damage is null and i.archived_at < now() - ${ageMs} * interval '1 ms' and ${beyond}
        and i.archive_path is not null and i.sha256 is not null and i.size_bytes is not null
        and not exists (
          select from strongroom.second_copies c
          where c.item_id = i.id and c.recalled_at > now() - ${ageMs} * interval '1 ms')
      order by i.archived_at, i.id limit ${limit}`
  })
  return rows.map((row) => ({
    item: Number(row.id),
    mediaId: Number(row.media_id),
    archivePath: row.archive_path,
    sha256: row.sha256,
    sizeBytes: Number(row.size_bytes),
    archivedAt: row.archived_at,
    cursor: row.cursor,
  }))
}

/** Moved items of which a file may lie in the archive, too, in the order of their ids. */
export function filesInBoth(
  database: Database,
  page: { after: number; limit: number },
): Promise<MovedFile[]> {
  return movedFiles(
    database,
    (sql) => sql`
      where c.item_id > ${page.after} and c.local_removed_at is null and c.recalled_at is null
      order by c.item_id limit ${page.limit}`,
  )
}

/** Moved items in the order of their ids; of one medium only, or all. */
export function movedAfter(
  database: Database,
  page: { after: number; limit: number; mediaId: number | null },
): Promise<MovedFile[]> {
  const { after, limit, mediaId } = page
  return movedFiles(
    database,
    (sql) => sql`
      where i.state = 'moved' and i.id > ${after} and ${mediaId === null ? sql`true` : sql`i.media_id = ${mediaId}`}
      order by i.id limit ${limit}`,
  )
}

/** Which of these items are moved. */
export function movedItems(database: Database, items: readonly number[]): Promise<MovedFile[]> {
  return movedFiles(
    database,
    (sql) => sql`where i.id = any(${arrayText(items)}::bigint[]) order by i.id`,
  )
}

/** The copy of an item in that bucket, also of one that was brought back. */
export async function secondCopyOf(
  database: Database,
  item: number,
  bucketId: string,
): Promise<Pick<SecondCopy, 'key' | 'sizeBytes'> | null> {
  const [row] = await database.run(
    (sql) => sql<{ key: string; size_bytes: string }[]>`
      select key, size_bytes from strongroom.second_copies where item_id = ${item} and bucket_id = ${bucketId}`,
  )
  return row === undefined ? null : { key: row.key, sizeBytes: Number(row.size_bytes) }
}

/** What a look at a copy in the second bucket brought. */
export interface SecondLook {
  /** What is wrong with it; null for nothing. */
  trouble: string | null
  /** Its bytes were read, all of them, and were right. */
  whole: boolean
  /** As the bucket says now; null where it does not. */
  etag: string | null
}

/** Notes a look at a copy. Where its bucket is configured no more, what was seen to be wrong there before still is. */
export async function noteSecondLook(
  database: Database,
  item: number,
  { trouble, whole, etag }: SecondLook,
): Promise<void> {
  await database.settle(
    (sql) => sql`
      update strongroom.second_copies set
        trouble = case when ${trouble}::text like 'elsewhere:%' and trouble not like 'elsewhere:%' then trouble
          else ${trouble} end, looked_at = clock_timestamp(), look_until = null,
        verified_at = ${whole ? sql`clock_timestamp()` : sql`verified_at`},
        etag = ${whole ? sql`coalesce(${etag}, etag)` : sql`etag`}
      where item_id = ${item}`,
  )
}

const HOUR_MS = 3_600_000
/** How soon a copy that something was wrong with is looked at again, because its bucket may be well now. */
const TROUBLED_AGAIN_MS = 24 * HOUR_MS

/** Moved files that are due, and whether to be read whole. */
export interface DueFile extends MovedFile {
  read: boolean
}

/**
 * Takes the copies, in whatever bucket, that were last looked at longer than `lookMs` ago, or read whole longer than `readMs` ago,
 * longest ago first, and what something was wrong with a day ago. For an hour no other node takes them. What was looked at at a
 * time that is {@link tooLate} is due, too.
 *
 * @param due.readMs 0: none is to be read because of its age
 */
export async function takeSecondDue(
  database: Database,
  due: { limit: number; lookMs: number; readMs: number },
): Promise<DueFile[]> {
  const { limit, lookMs, readMs } = due
  const rows = await database.run((sql) => {
    const ago = (ms: number) => sql`now() - ${ms} * interval '1 ms'`
    const isFree = sql`recalled_at is null and (look_until is null or look_until < now() or look_until > ${tooLate(sql)})`
    // Whose sidecar alone is wrong has its bytes, and of one elsewhere nothing was seen.
    const isDoubted = sql`trouble is not null and trouble !~ '^(sidecar|elsewhere):'`
    const isOld = readMs === 0 ? sql`false` : sql`verified_at < ${ago(readMs)}`
    const isAhead = sql`verified_at > ${tooLate(sql)} and ${readMs > 0}`
    return sql<(MovedRow & { read: boolean })[]>`
      with troubled as (
        select item_id from strongroom.second_copies
        where trouble is not null and looked_at < ${ago(TROUBLED_AGAIN_MS)} and ${isFree}
        order by looked_at limit ${limit} for no key update skip locked),
      looks as (
        select item_id from strongroom.second_copies
        where trouble is null and coalesce(looked_at, verified_at) < ${ago(lookMs)} and ${isFree}
        order by coalesce(looked_at, verified_at) limit ${limit} for no key update skip locked),
      reads as (
        select item_id from strongroom.second_copies
        where trouble is null and ${isOld} and ${isFree}
        order by verified_at limit ${limit} for no key update skip locked),
      ahead as (
        select item_id from strongroom.second_copies
        where coalesce(looked_at, verified_at) > ${tooLate(sql)} and ${isFree}
        order by coalesce(looked_at, verified_at) limit ${limit} for no key update skip locked),
      taken as (select item_id from troubled union select item_id from looks union select item_id from reads
        union select item_id from ahead),
      due as (
        update strongroom.second_copies set look_until = now() + ${HOUR_MS} * interval '1 ms'
        where item_id in (select item_id from taken)
        returning *, (${isDoubted}) or (${isOld}) or (${isAhead}) as read)
      select ${movedColumns(sql)}, c.read
      from due c join strongroom.items i on i.id = c.item_id and i.state = 'moved'`
  })
  return rows.map((row) => ({ ...toMovedFile(row), read: row.read }))
}

async function movedFiles(database: Database, which: (sql: Sql) => Fragment): Promise<MovedFile[]> {
  const rows = await database.run(
    (sql) => sql<MovedRow[]>`
      select ${movedColumns(sql)}
      from strongroom.second_copies c join strongroom.items i on i.id = c.item_id and i.state = 'moved' ${which(sql)}`,
  )
  return rows.map(toMovedFile)
}

interface MovedRow {
  id: string
  media_id: string
  archive_path: string
  bucket_id: string
  key: string
  etag: string
  version_id: string | null
  size_bytes: string
  sha256: string
  verified_at: Date
  removed: boolean
}

/** Of item `i` and its copy `c`. */
function movedColumns(sql: Sql): Fragment {
  return sql`i.id, i.media_id, i.archive_path, c.bucket_id, c.key, c.etag, c.version_id, c.size_bytes, c.sha256,
    c.verified_at, c.local_removed_at is not null as removed`
}

function toMovedFile(row: MovedRow): MovedFile {
  return {
    item: Number(row.id),
    mediaId: Number(row.media_id),
    archivePath: row.archive_path,
    copy: {
      bucketId: row.bucket_id,
      key: row.key,
      etag: row.etag,
      versionId: row.version_id,
      sizeBytes: Number(row.size_bytes),
      sha256: row.sha256,
    },
    verifiedAt: row.verified_at,
    removed: row.removed,
  }
}
