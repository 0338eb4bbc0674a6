import type { MediaColumn } from '../config.ts'
import type { ItemState } from '../item-states.ts'
import type { AdoptedFile, AdoptedMedia, Proof, Source } from '../media.ts'
import type { Backend } from './backend.ts'
import { archivedAssignments, auditInsert, mediaColumn, notDeleted } from './backend-sql.ts'
import type { Database, Fragment, Sql } from './connect.ts'

/** What a sidecar tells of one archived file, and what its item is to be. */
export interface RebuiltItem {
  state: Extract<ItemState, 'archived' | 'released' | 'source_differs' | 'kept'>
  media: AdoptedMedia
  file: AdoptedFile
  /** Null where the file was compared with no source. */
  source: Source | null
  proof: Proof | null
  /** The bucket was seen to hold this very version under its key. */
  sourceSeen: boolean
}

/** An item that is there now; `known`: it was before, with its path. `raced`: another run made one at that moment. */
export interface Inserted {
  outcome: 'made' | 'known' | 'raced'
  archivePath: string
  mediaId: number
  /** Its number among its media row's items; null for one that was not made. */
  generation: number | null
  /** Its media row was approved, and says archived now. */
  marked: boolean
}

/**
 * Makes items of what sidecars tell, each with its audit row; what has an item already stays as it is. A media row is set to
 * archived only where it has the same key and the source was seen to be this very version. May be repeated.
 */
export async function insertRebuilt(
  database: Database,
  backend: Backend,
  { items, releaseGraceMs }: { items: readonly RebuiltItem[]; releaseGraceMs: number },
): Promise<Inserted[]> {
  const { mediaTable, mediaColumns, status, action } = backend.mapping
  const rows = await database.settle(
    (sql) => sql<
      {
        outcome: Inserted['outcome']
        archive_path: string
        media_id: string
        generation: number | null
        marked: boolean
      }[]
    >`
      with told as materialized (${toldRows(sql, items)}),
      fresh as (
        select told.*, row_number() over (
          partition by told.media_id order by told.approved_at, told.filed_at, told.archive_path) as place
        from told where not exists (select from strongroom.items i where i.archive_path = told.archive_path)),
      made as (
        insert into strongroom.items (media_id, generation, state, user_id, title, filename, content_type, mime_type,
          declared_bytes, object_key, approved_at, archive_path, sha256, size_bytes, bucket, etag, version_id,
          last_modified, probe, proof, filed_at, archived_at, release_due, released_at)
        select f.media_id, f.place + coalesce((
            select max(generation) from strongroom.items where media_id = f.media_id), 0),
          f.state, f.user_id, f.title, f.filename, f.content_type, f.mime_type, f.declared_bytes, f.object_key,
          coalesce(${exactApproval(sql, backend)}, f.approved_at, f.filed_at), f.archive_path, f.sha256, f.size_bytes,
          f.bucket, f.etag, f.version_id, f.last_modified, f.probe, f.proof, f.filed_at, f.filed_at,
          case when f.state = 'archived' then clock_timestamp() + ${releaseGraceMs} * interval '1 ms' end,
          -- when it was is not known, only that it was; now it would count towards RELEASE_DAILY_MAX
          case when f.state = 'released' then f.filed_at end
        from fresh f
        on conflict do nothing returning *),
      marked as (
        update ${sql(mediaTable)} m set ${archivedAssignments(sql, backend, 'made')}
        from made join told on told.archive_path = made.archive_path and told.source_seen
        where m.${sql(mediaColumns.id)} = made.media_id and ${notDeleted(sql, backend)}
          and m.${sql(mediaColumns.status)} = ${status.approved}
          and m.${sql(mediaColumns.object_key)} = made.object_key
        returning made.archive_path),
      recorded as (select * from made where state <> 'kept'),
      audit as (${auditInsert(sql, backend, {
        source: 'recorded',
        action: action.archived,
        details: sql`jsonb_build_object('archive_path', s.archive_path, 'sha256', s.sha256, 'bytes', s.size_bytes,
          'bucket', s.bucket, 'object_key', s.object_key, 'etag', s.etag, 'item', s.id, 'rebuilt', true)`,
      })})
      select told.archive_path, told.media_id, made.generation,
        exists (select from marked where archive_path = told.archive_path) as marked,
        case when made.id is not null then 'made'
          when exists (select from strongroom.items i where i.archive_path = told.archive_path) then 'known'
          else 'raced' end as outcome
      from told left join made on made.archive_path = told.archive_path`,
  )
  return rows.map(({ outcome, archive_path: archivePath, media_id, generation, marked }) => ({
    outcome,
    archivePath,
    mediaId: Number(media_id),
    generation,
    marked,
  }))
}

/** One row for each item, as JSON because the driver is told to fetch no types. */
function toldRows(sql: Sql, items: readonly RebuiltItem[]): Fragment {
  const rows = items.map(({ state, media, file, source, proof, sourceSeen }) => ({
    state,
    media_id: media.mediaId,
    user_id: media.userId,
    title: media.title,
    filename: media.filename,
    content_type: media.contentType,
    mime_type: media.mimeType,
    declared_bytes: media.declaredBytes,
    object_key: media.objectKey ?? '',
    approved_at: media.approvedAt,
    archive_path: file.archivePath,
    sha256: file.sha256,
    size_bytes: file.sizeBytes,
    bucket: source?.bucket ?? null,
    etag: source?.etag ?? null,
    version_id: source?.versionId ?? null,
    last_modified: source?.lastModified ?? null,
    probe: file.probe,
    proof,
    filed_at: file.adoptedAt,
    source_seen: sourceSeen,
  }))
  return sql`
    select * from json_to_recordset(${JSON.stringify(rows)}::text::json) as rows (
      state text, media_id bigint, user_id bigint, title text, filename text, content_type text, mime_type text,
      declared_bytes bigint, object_key text, approved_at timestamptz, archive_path text, sha256 text,
      size_bytes bigint, bucket text, etag text, version_id text, last_modified timestamptz, probe jsonb,
      proof jsonb, filed_at timestamptz, source_seen boolean)`
}

/** A sidecar has milliseconds, the row microseconds: without them it would count as approved anew. */
function exactApproval(sql: Sql, backend: Backend): Fragment {
  const { mediaTable } = backend.mapping
  const column = (name: MediaColumn) => mediaColumn(sql, backend, name)
  const approvedAt = sql`${column('approved_at')}::timestamptz`
  return sql`(
    select ${approvedAt} from ${sql(mediaTable)} m
    where ${column('id')} = f.media_id and ${column('object_key')} = f.object_key
      and date_trunc('milliseconds', ${approvedAt}) = f.approved_at)`
}

/** Which of these versions an audit row says that we released; as `<media id> <ETag>`. */
export async function releasedVersions(
  database: Database,
  backend: Backend,
  mediaIds: readonly number[],
): Promise<Set<string>> {
  const { auditTable, auditColumns, action } = backend.mapping
  if (!backend.auditColumns.has('details') || mediaIds.length === 0) return new Set()
  const rows = await database.run(
    (sql) => sql<{ version: string | null }[]>`
      select case when a.${sql(auditColumns.action)} = ${action.sourceDeleted}
        then a.${sql(auditColumns.media_id)}::text || ' ' || (a.${sql(auditColumns.details)}::jsonb ->> 'etag') end as version
      from ${sql(auditTable)} a
      where a.${sql(auditColumns.action)} = ${action.sourceDeleted} and a.${sql(auditColumns.media_id)}::text in (
        select json_array_elements_text(${JSON.stringify(mediaIds.map(String))}::text::json))`,
  )
  return new Set(rows.flatMap(({ version }) => (version === null ? [] : [version])))
}

/**
 * Puts the generations of these media rows in the order of their approvals, open items last; sidecars are found in any order,
 * and the claim takes the highest one for the newest. What is in order is left alone.
 */
export async function orderGenerations(
  database: Database,
  mediaIds: readonly number[],
): Promise<void> {
  if (mediaIds.length === 0) return
  await database.settle(
    (sql) => sql`
      with placed as (
        select id, media_id, generation, max(generation) over (partition by media_id) as highest,
          row_number() over (partition by media_id order by
            state in ('claimed', 'publishing', 'waiting', 'missing', 'withdrawing'), approved_at, filed_at, id) as place
        from strongroom.items
        where media_id in (select value::bigint from json_array_elements_text(${JSON.stringify(mediaIds)}::text::json))),
      disordered as (
        select media_id from (
          select media_id, generation < lag(generation) over (partition by media_id order by place) as back from placed) o
        where back)
      -- Above all numbers in use, so that none is taken twice on the way.
      update strongroom.items i set generation = placed.highest + placed.place
      from placed where i.id = placed.id and placed.media_id in (select media_id from disordered)`,
  )
}
