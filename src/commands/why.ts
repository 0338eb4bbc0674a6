import type { Config } from '../config.ts'
import { openBackend } from '../db/backend.ts'
import { findHistory, type ItemHistory, type MediaStatus } from '../db/history.ts'
import { assertMigrated } from '../db/migrate.ts'
import { AppError, ERRORS } from '../errors.ts'
import type { Host } from '../host.ts'
import { ITEM_STATES, isOpen } from '../item-states.ts'
import { openDatabaseOnly, type Program } from '../open.ts'
import { things } from './summary.ts'
import { bytesText } from './units.ts'

interface Order {
  program: Program
  mediaId: number
  json: boolean
}

interface History {
  row: MediaStatus | null
  items: ItemHistory[]
}

/** `strongroom why`: what became of one medium, why, and what a person can do, in one line. */
export async function whyCommand(host: Host, config: Config, order: Order): Promise<void> {
  const { mediaId, json } = order
  const history = await historyOf(config, order)
  const { status } = config.backend
  const line = whyLine(history, status.approved)
  const [newest] = history.items
  host.out(
    json
      ? `${JSON.stringify({ media_id: mediaId, state: newest?.state ?? null, why: line })}\n`
      : `media ${mediaId}: ${line}\n`,
  )
}

/** `strongroom show`: the proof that each version of one medium was archived, or how far it came. */
export async function showCommand(host: Host, config: Config, order: Order): Promise<void> {
  const { mediaId, json } = order
  const { row, items } = await historyOf(config, order)
  if (json) {
    host.out(`${JSON.stringify({ media_id: mediaId, row, items })}\n`)
    return
  }
  host.out(`media ${mediaId}: ${rowText(row)}\n`)
  if (items.length === 0) host.out('  nothing of it was begun\n')
  for (const item of items) {
    host.out(`  version ${item.generation}: ${item.state}\n`)
    for (const [name, value] of factsOf(item)) host.out(`    ${name.padEnd(14)} ${value}\n`)
  }
}

async function historyOf(config: Config, { program, mediaId }: Order): Promise<History> {
  const database = openDatabaseOnly(config, program)
  await assertMigrated(database)
  const backend = await openBackend(database, config.backend)
  const history = await findHistory(database, backend, mediaId)
  if (history.row !== null || history.items.length > 0) return history
  throw new AppError('NOT_FOUND', `there is no media row ${mediaId}, and never was an item of it`, {
    hint: `ids are those of ${backend.mapping.mediaTable}.${backend.mapping.mediaColumns.id}`,
  })
}

/** @param approved what the backend writes into `status` for it */
export function whyLine({ row, items }: History, approved: string): string {
  const [newest] = items
  const waiting = isWaiting(row, approved)
  if (newest === undefined) return waiting ? nextRun : rowText(row)
  const again = waiting && !newest.current && !isOpen(newest.state)
  return [
    `${newest.state}. ${ITEM_STATES[newest.state].sentence}`,
    ...reasonOf(newest),
    ...timesOf(newest),
    ...(again ? ['The row was approved again since: the next run makes a new version.'] : []),
  ].join(' ')
}

const nextRun = 'approved, and not begun yet. The next run takes it, the oldest approval first.'

/** Whether a run would take it, if it were new. */
function isWaiting(row: MediaStatus | null, approved: string): boolean {
  return row?.status === approved && !row.deleted && row.hasKey && row.hasApproval
}

function rowText(row: MediaStatus | null): string {
  if (row === null) return 'its media row is gone.'
  const lacks = [
    ...(row.deleted ? ['is deleted'] : []),
    ...(row.hasKey ? [] : ['has no object key']),
    ...(row.hasApproval ? [] : ['has no time of approval']),
  ]
  return `its media row has the status ${row.status}${lacks.map((text) => ` and ${text}`).join('')}.`
}

function reasonOf({ errorCode, errorMessage, damage }: ItemHistory): string[] {
  const next = Object.entries(ERRORS).find(([code]) => code === errorCode)?.[1].next
  const reason = errorMessage === null ? [] : [`Reason: ${errorMessage} (${errorCode}).`]
  const found = damage === null ? [] : [`Its file is not as it was archived: ${damage}.`]
  return [...reason, ...(next === undefined ? [] : [`What now: ${next}.`]), ...found]
}

function timesOf(item: ItemHistory): string[] {
  const { state, attempts, leaseOwner, nextAttemptAt, releaseDue } = item
  const tried = attempts === 0 ? '' : `, after ${things(attempts, 'attempt')}`
  if (leaseOwner !== null) return [`${leaseOwner} works on it now.`]
  if (state === 'waiting' || state === 'missing')
    return [`Next try ${nextAttemptAt.toISOString()}${tried}.`]
  if (state === 'archived' && releaseDue !== null)
    return [`The source may go from ${releaseDue.toISOString()} on.`]
  return []
}

function factsOf(item: ItemHistory): [string, string][] {
  const { proof, sizeBytes, releasedAt, damage } = item
  const facts: [string, string | null][] = [
    ['source', item.bucket === null ? item.objectKey : `${item.bucket}/${item.objectKey}`],
    ['ETag', item.etag],
    ['archive path', item.archivePath],
    ['size', sizeBytes === null ? null : `${bytesText(sizeBytes)} (${sizeBytes} bytes)`],
    ['SHA-256', item.sha256],
    ['proof', proof && [proof.kind, proof.value].filter((part) => part !== null).join(' ')],
    ['archived', timeText(item.archivedAt)],
    ['read again', timeText(item.verifiedAt)],
    ['source deleted', timeText(releasedAt)],
    ['due', releasedAt === null ? timeText(item.releaseDue) : null],
    ['attempts', String(item.attempts)],
    ['damage', damage],
    ['reason', item.errorMessage && `${item.errorMessage} (${item.errorCode})`],
  ]
  return facts.flatMap(([name, value]) => (value === null ? [] : [[name, value]]))
}

function timeText(time: Date | null): string | null {
  return time?.toISOString() ?? null
}
