import { type AppError, isAppError, toAppError } from '../errors.ts'
import type { Item } from '../media.ts'
import { DOUBTS_ALLOWED } from '../storage/one-key.ts'
import { type Claimed, claim } from './claim.ts'
import { type Downloaded, download } from './download.ts'
import { assertMayTry, type Settled, settleFailure } from './failure.ts'
import { createFeed } from './feed.ts'
import { assertUsable } from './media-row.ts'
import type { Parts } from './parts.ts'
import { publish } from './publish.ts'
import { record } from './record.ts'
import { setAside } from './reject.ts'
import { type ItemReport, type Outcome, reportOf, summaryOf } from './report.ts'
import type { Space } from './space.ts'
import { letGo } from './temporaries.ts'
import type { Verdict } from './validate.ts'
import { type Watch, watchedSpace } from './watch.ts'

export interface SyncRun {
  reports: Record<Outcome, number>
  bytes: number
  /** The outage that ended the run early; null when nothing more was claimable. */
  stoppedBy: AppError | null
}

export type SyncParts = Omit<Parts, 'archives'> & {
  space: Space
  /** Of ERROR_DIR; the same one where that is on the archive's disk. */
  errorSpace: Pick<Space, 'reserveCopy'>
  watch: Watch
}

/**
 * Archives batch after batch until nothing is claimable, an outage stops it, or `signal` asks to stop: then no more is
 * claimed, and what is in hand is finished (`signal`) or abandoned safely (`abort`).
 */
export async function runSync(
  parts: SyncParts,
  signals: { drain: AbortSignal; abort: AbortSignal },
): Promise<SyncRun> {
  const run: SyncRun = {
    reports: { archived: 0, rejected: 0, withdrawn: 0, held: 0, missing: 0, waiting: 0, left: 0 },
    bytes: 0,
    stoppedBy: null,
  }
  const tally = (report: ItemReport) => {
    run.reports[report.outcome] += 1
    if (report.outcome === 'archived') run.bytes += report.sizeBytes ?? 0
    parts.watch.settled(report)
  }
  const stop = (outage: AppError | null) => {
    run.stoppedBy ??= outage
  }
  const isOver = () => run.stoppedBy !== null || signals.drain.aborted || signals.abort.aborted
  const feed = createFeed(() => claimBatch(parts, stop), isOver)
  const unfit: Unfit[] = []
  let doubts = 0
  const lane = async () => {
    for (let next = await feed(); next !== undefined; next = await feed()) {
      const { item, lost } = next
      if (isOver()) {
        tally(await giveBack(parts, item))
        continue
      }
      const signal = AbortSignal.any([lost, signals.abort])
      const settled = await settleItem(parts, item, { signal, unfit })
      if (settled === null) continue
      doubts = settled.doubt === null ? 0 : doubts + 1
      stop(settled.outage ?? (doubts < DOUBTS_ALLOWED ? null : settled.doubt))
      tally(settled.report)
    }
  }
  await Promise.all(Array.from({ length: parts.policy.concurrency }, lane))
  for (const { item, error } of unfit) {
    const { outage, report } = await settleFailure(parts, item, error)
    parts.leases.drop(item)
    stop(outage)
    tally(report)
  }
  return run
}

/** There is room, but not for this one. It stays in hand until the run ends, so that all others have their turn. */
interface Unfit {
  item: Item
  error: unknown
}

/** So many in hand that do not fit are no longer the exception. */
const UNFIT_ALLOWED = 100

/** @returns nothing, and tells `stop` why, when there is no room or no claim can be made */
async function claimBatch(
  parts: SyncParts,
  stop: (outage: AppError) => void,
): Promise<readonly Claimed[]> {
  try {
    await parts.space.assertRoom()
    const batch = await claim(parts, parts.policy.batchSize)
    if (batch.length > 0) parts.watch.claimed(batch.map(({ item }) => item))
    return batch
  } catch (error) {
    stop(toAppError(error))
    return []
  }
}

/**
 * Runs one item to an outcome; whatever goes wrong is this item's alone unless it is an outage.
 *
 * @returns null for one that was added to `unfit`
 */
async function settleItem(
  parts: SyncParts,
  item: Item,
  { signal, unfit }: { signal: AbortSignal; unfit: Unfit[] },
): Promise<Settled | null> {
  let settled: Settled | null = null
  try {
    settled = { report: await archiveOne(parts, item, signal), outage: null, doubt: null }
  } catch (error) {
    // Awaited here: until it is put back it is in hand, or another lane would claim it again.
    if (unfit.length < UNFIT_ALLOWED && (await isUnfit(parts, error))) unfit.push({ item, error })
    else settled = await settleFailure(parts, item, error)
  }
  if (settled !== null) parts.leases.drop(item)
  return settled
}

async function isUnfit({ space }: SyncParts, error: unknown): Promise<boolean> {
  if (!isAppError(error, 'DISK_LOW')) return false
  return space.assertRoom().then(
    () => true,
    () => false,
  )
}

async function giveBack(parts: SyncParts, item: Item): Promise<ItemReport> {
  parts.leases.drop(item)
  await parts.items
    .putBack(item, { state: 'waiting', error: null, delayMs: 0, burn: false })
    .catch((error: unknown) => {
      parts.log.warn(
        { item: item.id, error: toAppError(error) },
        'the lease could not be given back; it runs out',
      )
    })
  return reportOf(item, 'left')
}

/** The order is the guarantee: a row says archived only after file and sidecar are durable; the source goes later, in release. */
async function archiveOne(parts: SyncParts, item: Item, signal: AbortSignal): Promise<ItemReport> {
  assertMayTry(item)
  assertUsable(item.media)
  const space = watchedSpace(parts.space, item, parts.watch)
  const downloaded = await download({ ...parts, space }, item, signal)
  try {
    await parts.reached('downloaded', item)
    const judged = await judge(parts, { item, downloaded }, signal)
    await parts.reached('validated', item)
    if (!judged.valid) return await setAside(parts, item, { downloaded, ...judged })
    signal.throwIfAborted()
    const published = await publish(parts, item, { ...downloaded, facts: judged.facts })
    await parts.reached('published', item)
    const outcome = await record(parts, item, published)
    await parts.volume.noteWrite(null)
    return {
      ...reportOf(item, outcome),
      ...summaryOf(downloaded),
      archivePath: published.intent.archivePath,
    }
  } catch (error) {
    // A failure to remove it is the sweep's business.
    await letGo(parts, downloaded.part, error).catch(() => {})
    throw error
  }
}

function judge(
  { validate, disk }: SyncParts,
  { item, downloaded }: { item: Item; downloaded: Downloaded },
  signal: AbortSignal,
): Promise<Verdict> {
  return validate({
    absolutePath: `${disk.root}/${downloaded.part.path}`,
    kind: item.media.contentType,
    sizeBytes: downloaded.source.sizeBytes,
    signal,
  })
}
