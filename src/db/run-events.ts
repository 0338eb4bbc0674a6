import type { RunEvent } from '../runs.ts'
import type { Database } from './connect.ts'

interface EventRow {
  id: string
  at: Date
  item_id: string | null
  media_id: string | null
  outcome: string
  reason: string | null
  archive_path: string | null
  size_bytes: string | null
}

/** Adds what became of items in a run; one of a run that is forgotten already is dropped. */
export async function addEvents(
  database: Database,
  run: number,
  events: readonly RunEvent[],
): Promise<void> {
  if (events.length === 0) return
  const rows = events.map((event) => ({
    at: event.at.toISOString(),
    item_id: event.itemId,
    media_id: event.mediaId,
    outcome: event.outcome,
    reason: event.reason?.replaceAll('\0', '') ?? null,
    archive_path: event.archivePath,
    size_bytes: event.sizeBytes,
  }))
  await database.run(
    (sql) => sql`
      insert into strongroom.run_events (run_id, at, item_id, media_id, outcome, reason, archive_path, size_bytes)
      select runs.id, rows.* from strongroom.runs,
        json_to_recordset(${JSON.stringify(rows)}::text::json) as rows (
          at timestamptz, item_id bigint, media_id bigint, outcome text, reason text, archive_path text,
          size_bytes bigint)
      where runs.id = ${run}`,
  )
}

/** In the order in which they came. @param page.after the `id` of the last one that is known */
export async function eventsOf(
  database: Database,
  run: number,
  page: { after: number; limit: number },
): Promise<(RunEvent & { id: number })[]> {
  const rows = await database.run(
    (sql) => sql<EventRow[]>`
      select id, at, item_id, media_id, outcome, reason, archive_path, size_bytes
      from strongroom.run_events where run_id = ${run} and id > ${page.after}
      order by id limit ${page.limit}`,
  )
  return rows.map((row) => ({
    id: Number(row.id),
    at: row.at,
    itemId: numberOf(row.item_id),
    mediaId: numberOf(row.media_id),
    outcome: row.outcome,
    reason: row.reason,
    archivePath: row.archive_path,
    sizeBytes: numberOf(row.size_bytes),
  }))
}

function numberOf(text: string | null): number | null {
  return text === null ? null : Number(text)
}
