import type { MediaColumn } from '../config.ts'
import type { ItemState } from '../item-states.ts'
import type { MediaRow } from '../media.ts'
import type { Backend } from './backend.ts'
import { isSameVersion, mediaColumn, notDeleted } from './backend-sql.ts'
import type { Database } from './connect.ts'
import { type MediaFactsRow, toMediaRow } from './item-rows.ts'

/** An approved row as a dry run sees it. */
export interface PlannedRow {
  media: MediaRow
  /** Its approval time as the database writes it: a Date has no microseconds. */
  approvedAtText: string
  /** State of the row's newest item for exactly these facts; null when there is none, or our schema is not there. */
  state: ItemState | null
}

interface Row extends MediaFactsRow {
  approved_at_text: string
  state: ItemState | null
}

/** Approved rows after `after`, in the order of claims; reads only, and needs nothing of ours in the database. */
export async function planApproved(
  database: Database,
  backend: Backend,
  page: { after: PlannedRow | null; limit: number; ours: boolean },
): Promise<PlannedRow[]> {
  const { mediaTable, mediaColumns, status, kinds } = backend.mapping
  const rows = await database.run((sql) => {
    const column = (name: MediaColumn, type = 'text') => mediaColumn(sql, backend, name, type)
    const bytes = sql`nullif(${column('file_size', 'bigint')}, 0)`
    const state = page.ours
      ? sql`(select state from strongroom.items i
          where i.media_id = m.${sql(mediaColumns.id)} and ${isSameVersion(sql, backend)}
          order by generation desc limit 1)`
      : sql`null`
    const approvedAt = column('approved_at', 'timestamptz')
    const id = sql`m.${sql(mediaColumns.id)}`
    const since = sql`${page.after?.approvedAtText ?? '-infinity'}::text::timestamptz`
    return sql<Row[]>`
      select ${id} as media_id, ${column('user_id', 'bigint')} as user_id,
        ${column('title')} as title, ${column('filename')} as filename,
        case ${column('content_type')}::text when ${kinds.video} then 'video'
          when ${kinds.image} then 'image' when ${kinds.audio} then 'audio' end as content_type,
        ${column('mime_type')} as mime_type, ${bytes} as declared_bytes,
        ${column('object_key')} as object_key, ${approvedAt} as approved_at,
        ${approvedAt}::timestamptz::text as approved_at_text, ${state} as state
      from ${sql(mediaTable)} m
      where ${column('status')} = ${status.approved} and ${notDeleted(sql, backend)}
        and ${approvedAt} is not null and ${column('object_key')} is not null
        and (${approvedAt}, ${id}) > (${since}, ${page.after?.media.mediaId ?? 0})
      order by ${approvedAt}, ${id} limit ${page.limit}`
  })
  return rows.map((row) => ({
    state: row.state,
    approvedAtText: row.approved_at_text,
    media: toMediaRow(row),
  }))
}

/** True when our schema is there and this role may read it. */
export async function canReadItems(database: Database): Promise<boolean> {
  const [row] = await database.run(
    (sql) => sql<{ readable: boolean | null }[]>`
      select case when to_regclass('strongroom.items') is null then false
        else has_table_privilege('strongroom.items', 'select') end as readable`,
  )
  return row?.readable === true
}
