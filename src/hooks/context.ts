import type { Run } from '../runs.ts'
import type { ItemReport } from '../sync/report.ts'

export type HookEvent = 'pre-sync' | 'post-sync' | 'item-archived' | 'item-rejected'

/** What a hook is told: as JSON on its standard input, and the same, flat, in `STRONGROOM_` variables. */
export interface HookContext {
  event: HookEvent
  [fact: string]: string | number | null | Readonly<Record<string, number>>
}

export function runContext(event: 'pre-sync' | 'post-sync', run: Run): HookContext {
  const { id, job, trigger, mode, status, node, startedAt, endedAt, items, bytes, error } = run
  return {
    event,
    run_id: id,
    run_job: job,
    run_trigger: trigger,
    run_mode: mode,
    run_status: status,
    run_node: node,
    run_started_at: startedAt.toISOString(),
    run_ended_at: endedAt?.toISOString() ?? null,
    run_items: items,
    run_bytes: bytes,
    run_error_code: error?.code ?? null,
    run_error: error?.message ?? null,
  }
}

export function itemContext(
  { item, outcome, archivePath, sizeBytes, sha256, reason }: ItemReport,
  archiveDir: string,
): HookContext {
  const { mediaId, userId, title, filename, contentType, mimeType, objectKey, approvedAt } =
    item.media
  return {
    event: outcome === 'archived' ? 'item-archived' : 'item-rejected',
    item_id: item.id,
    media_id: mediaId,
    user_id: userId,
    title,
    filename,
    content_type: contentType,
    mime_type: mimeType,
    object_key: objectKey,
    approved_at: approvedAt.toISOString(),
    outcome,
    reason,
    archive_path: archivePath,
    file: archivePath === null ? null : `${archiveDir}/${archivePath}`,
    size_bytes: sizeBytes,
    sha256,
  }
}

/** Linux refuses a variable of 128 KiB; a text that was cut is whole in the JSON. */
const LONGEST_VALUE_BYTES = 8_192

/** No zero byte, which no variable can hold; null is no variable. */
export function variablesOf(context: HookContext): Record<string, string> {
  const flat = Object.entries(context).flatMap(([name, value]) =>
    value !== null && typeof value === 'object'
      ? Object.entries(value).map(([inner, count]) => [`${name}_${inner}`, count] as const)
      : [[name, value] as const],
  )
  const variables = flat.flatMap(([name, value]) =>
    value === null ? [] : [[`STRONGROOM_${name.toUpperCase()}`, textOf(`${value}`)] as const],
  )
  return Object.fromEntries(variables)
}

function textOf(text: string): string {
  const bytes = Buffer.from(text.replaceAll('\0', ''))
  if (bytes.length <= LONGEST_VALUE_BYTES) return bytes.toString()
  let end = LONGEST_VALUE_BYTES
  while (((bytes[end] ?? 0) & 0xc0) === 0x80) end -= 1
  return bytes.toString('utf8', 0, end)
}
