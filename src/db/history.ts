import type { MediaColumn } from '../config.ts'
import type { ItemState } from '../item-states.ts'
import type { Proof } from '../media.ts'
import type { Backend } from './backend.ts'
import { isSameVersion, mediaColumn, notDeleted } from './backend-sql.ts'
import type { Database, Fragment, Sql } from './connect.ts'
import { secondTrouble } from './damaged.ts'

/** What the backend says of a medium now. */
export interface MediaStatus {
  status: string | null
  deleted: boolean
  hasKey: boolean
  hasApproval: boolean
}

/** All that is known of one version of a medium. */
export interface ItemHistory {
  generation: number
  state: ItemState
  /** The media row still says what it said when this version was claimed. */
  current: boolean
  errorCode: string | null
  errorMessage: string | null
  attempts: number
  nextAttemptAt: Date
  /** Who works on it now. */
  leaseOwner: string | null
  bucket: string | null
  /** No bucket has a longer one than is told here: what a media row says may be of any length. */
  objectKey: string
  etag: string | null
  archivePath: string | null
  sizeBytes: number | null
  /** Hex. */
  sha256: string | null
  proof: Proof | null
  filedAt: Date | null
  archivedAt: Date | null
  releaseDue: Date | null
  releasedAt: Date | null
  verifiedAt: Date | null
  /** What the last reading found wrong, of the file or of its copy in the second bucket. */
  damage: string | null
}

/** @returns null for `row` when the backend has none of this id; the items newest first */
export async function findHistory(
  database: Database,
  backend: Backend,
  mediaId: number,
): Promise<{ row: MediaStatus | null; items: ItemHistory[] }> {
  const [row] = await mediaStatus(database, backend, mediaId)
  const items = await itemsOf(database, backend, mediaId)
  return { row: row ?? null, items }
}

function mediaStatus(
  database: Database,
  backend: Backend,
  mediaId: number,
): Promise<MediaStatus[]> {
  const { mediaTable, mediaColumns } = backend.mapping
  return database.run((sql) => {
    return sql<MediaStatus[]>`
      select ${statusColumns(sql, backend)}
      from ${sql(mediaTable)} m where m.${sql(mediaColumns.id)} = ${mediaId}`
  })
}

async function itemsOf(
  database: Database,
  backend: Backend,
  mediaId: number,
): Promise<ItemHistory[]> {
  const rows = await database.run(
    (sql) => sql<HistoryRow[]>`
      select ${historyColumns(sql, backend)} from strongroom.items i
      where media_id = ${mediaId} order by generation desc`,
  )
  return rows.map(toHistory)
}

/** {@link MediaStatus} of row `m`. */
export function statusColumns(sql: Sql, backend: Backend): Fragment {
  const column = (name: MediaColumn) => mediaColumn(sql, backend, name)
  return sql`${column('status')}::text as status, not (${notDeleted(sql, backend)}) as deleted,
    ${column('object_key')} is not null as "hasKey", ${column('approved_at')} is not null as "hasApproval"`
}

/** {@link ItemHistory} as the driver returns it. */
export type HistoryRow = Omit<ItemHistory, 'sizeBytes'> & { sizeBytes: string | null }

/** Of item `i`. */
export function historyColumns(sql: Sql, backend: Backend): Fragment {
  const { mediaTable, mediaColumns } = backend.mapping
  return sql`i.generation, i.state, i.error_code as "errorCode", i.error_message as "errorMessage", i.attempts,
    i.next_attempt_at as "nextAttemptAt", i.bucket, left(i.object_key, 1024) as "objectKey", i.etag,
    case when i.lease_until > clock_timestamp() then i.lease_owner end as "leaseOwner",
    i.archive_path as "archivePath", i.size_bytes as "sizeBytes", i.sha256, i.proof, i.filed_at as "filedAt",
    i.archived_at as "archivedAt", i.release_due as "releaseDue", i.released_at as "releasedAt",
    i.verified_at as "verifiedAt",
    coalesce(i.damage, (select ${secondTrouble(sql)} from strongroom.second_copies c
      where c.item_id = i.id and c.recalled_at is null)) as damage,
    exists (select from ${sql(mediaTable)} m
      where m.${sql(mediaColumns.id)} = i.media_id and ${isSameVersion(sql, backend)}) as current`
}

export function toHistory<Row extends HistoryRow>(
  row: Row,
): Omit<Row, 'sizeBytes'> & { sizeBytes: number | null } {
  return { ...row, sizeBytes: row.sizeBytes === null ? null : Number(row.sizeBytes) }
}
