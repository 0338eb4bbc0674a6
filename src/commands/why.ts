import type { Config } from '../config.ts'
import { openBackend } from '../db/backend.ts'
import { findHistory, type ItemHistory } from '../db/history.ts'
import { AppError } from '../errors.ts'
import type { Host } from '../host.ts'
import { openMigrated, type Program } from '../open.ts'
import { visible } from '../visible.ts'
import { type History, rowText, versionTexts, whyLine } from '../why.ts'

interface Order {
  program: Program
  mediaId: number
  json: boolean
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
      : `media ${mediaId}: ${visible(line)}\n`,
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
    for (const [name, value] of factsOf(item))
      host.out(`    ${name.padEnd(14)} ${visible(value)}\n`)
  }
}

async function historyOf(config: Config, { program, mediaId }: Order): Promise<History> {
  const database = await openMigrated(config, program)
  const backend = await openBackend(database, config.backend)
  const history = await findHistory(database, backend, mediaId)
  if (history.row !== null || history.items.length > 0) return history
  throw new AppError('NOT_FOUND', `there is no media row ${mediaId}, and never was an item of it`, {
    hint: `ids are those of ${backend.mapping.mediaTable}.${backend.mapping.mediaColumns.id}`,
  })
}

function factsOf(item: ItemHistory): [string, string][] {
  const { releasedAt, damage } = item
  const { source, size, proof, reason } = versionTexts(item)
  const facts: [string, string | null][] = [
    ['source', source],
    ['ETag', item.etag],
    ['archive path', item.archivePath],
    ['size', size],
    ['SHA-256', item.sha256],
    ['proof', proof],
    ['archived', timeText(item.archivedAt)],
    ['read again', timeText(item.verifiedAt)],
    ['source deleted', timeText(releasedAt)],
    ['due', releasedAt === null ? timeText(item.releaseDue) : null],
    ['attempts', String(item.attempts)],
    ['damage', damage],
    ['reason', reason],
  ]
  return facts.flatMap(([name, value]) => (value === null ? [] : [[name, value]]))
}

function timeText(time: Date | null): string | null {
  return time?.toISOString() ?? null
}
