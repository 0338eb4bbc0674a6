import { dirname } from 'node:path'
import { isAppError, toAppError } from '../errors.ts'
import type { Item } from '../media.ts'
import { sidecarPathOf } from '../sidecar.ts'
import { quarantine } from './aside.ts'
import { makeDurable } from './filed.ts'
import { databaseTime, giveBack } from './leases.ts'
import type { Parts } from './parts.ts'
import { record, withdraw } from './record.ts'
import { reportOf, summaryOf } from './report.ts'
import { readSidecar } from './sidecar-file.ts'
import { sweepTemporaries } from './temporaries.ts'
import type { Watch } from './watch.ts'

export type ReconcileParts = Pick<
  Parts,
  'disk' | 'folders' | 'items' | 'volume' | 'leases' | 'policy' | 'reached' | 'log'
> & {
  /** Told of what is recorded as of any file that is archived. */
  watch?: Pick<Watch, 'settled'>
}

export interface Reconciled {
  /** Published before the crash, recorded now. */
  recorded: number
  /** Not whole on disk: fetched again by the next claim. */
  restarted: number
  withdrawn: number
  /** Media rows approved again although this version is archived. */
  reapproved: number
  temporariesRemoved: number
  /** Left for the next pass. */
  failed: number
}

const BATCH = 50
const RETRY_MS = 30_000

/**
 * Finishes or undoes what a crash left, always under the item's lease: the database's intent and state say what was going
 * on, never a guess from the disk. Safe to run at any time, beside any number of workers.
 *
 * @throws VOLUME_*, DB_* outages
 */
export async function reconcile(parts: ReconcileParts, signal: AbortSignal): Promise<Reconciled> {
  const found: Reconciled = {
    recorded: 0,
    restarted: 0,
    withdrawn: 0,
    reapproved: 0,
    temporariesRemoved: 0,
    failed: 0,
  }
  await parts.volume.verify()
  const begunAt = await databaseTime(parts)
  while (!signal.aborted) {
    const abandoned = await parts.items.claimAbandoned(BATCH, parts.leases.held(), begunAt)
    if (abandoned.length === 0) break
    for (const item of abandoned) parts.leases.hold(item)
    try {
      for (const item of abandoned) {
        if (signal.aborted) break
        found[await recoverItem(parts, item)] += 1
        parts.leases.drop(item)
      }
    } finally {
      await giveBack(parts, abandoned)
    }
  }
  found.withdrawn += (await parts.items.closeUnapproved()).length
  const again = [await parts.items.markReapproved(), await parts.items.markReleasedBefore()]
  found.reapproved = again.flat().length
  found.temporariesRemoved = await sweepTemporaries(parts)
  return found
}

type Recovery = 'recorded' | 'restarted' | 'withdrawn' | 'failed'

async function recoverItem(parts: ReconcileParts, item: Item): Promise<Recovery> {
  try {
    const recovery = await recover(parts, item)
    parts.log.info({ item: item.id, media: item.media.mediaId, recovery }, 'recovered')
    return recovery
  } catch (error) {
    const reason = toAppError(error)
    if (reason.code === 'LEASE_LOST') return 'failed'
    if (!reason.code.startsWith('DB_')) {
      await parts.items.yield(item, { error: reason, delayMs: RETRY_MS })
      // Given back as it is to stay, reason and all.
      parts.leases.drop(item)
    }
    // A wrong owner of one file must not hold up all others; one of the whole archive is met here.
    if (reason.code === 'DISK_DENIED') await parts.volume.verify()
    else if (reason.retry === 'outage') throw reason
    parts.log.warn({ item: item.id, error: reason }, 'recovery failed, it is tried again')
    return 'failed'
  }
}

async function recover(parts: ReconcileParts, item: Item): Promise<Recovery> {
  const { items } = parts
  const { intent } = item
  if (intent === null) throw new Error(`item ${item.id} is ${item.state} without an intent`)
  const path = intent.archivePath
  if (item.state === 'withdrawing') {
    await withdraw(parts, item, path)
    return 'withdrawn'
  }
  await parts.volume.verify()
  const sha256 = await hashIfThere(parts, path)
  if (sha256 !== intent.sha256) {
    await quarantineOwn(parts, item, { path, sha256 })
    await syncIfThere(parts, dirname(path))
    await items.restart(item)
    return 'restarted'
  }
  await makeDurable(parts, item, intent)
  if ((await record(parts, item, { intent })) !== 'archived') return 'withdrawn'
  parts.watch?.settled({ ...reportOf(item, 'archived'), archivePath: path, ...summaryOf(intent) })
  return 'recorded'
}

/**
 * What the disk does not give is not whole either: its source is there. The second such file in a row is the disk's trouble.
 *
 * @returns null for a file that is gone or cannot be read
 * @throws DISK_SICK (latched), VOLUME_*
 */
async function hashIfThere(
  { disk, volume, log }: ReconcileParts,
  path: string,
): Promise<string | null> {
  try {
    const { sha256 } = await disk.hash(path)
    await volume.noteWrite(null)
    return sha256
  } catch (error) {
    if (isAppError(error, 'FILE_MISSING')) return null
    if (!isAppError(error, 'DISK_SICK')) throw error
    await volume.verify()
    await volume.noteWrite(error)
    log.error({ path, error }, 'a file cannot be read and is fetched again')
    return null
  }
}

/**
 * The worker that crashed may have taken names away here. After `restart` nobody looks for them any more, so they must not
 * come back with a power cut.
 */
async function syncIfThere({ disk }: ReconcileParts, folder: string): Promise<void> {
  if ((await disk.stat(folder)) !== null) await disk.syncFolder(folder)
}

/**
 * A sidecar that names this media id is ours to move, and so is the file that it describes. Any other file came from
 * elsewhere, perhaps in the moment between our two links, and is never moved.
 */
async function quarantineOwn(
  parts: ReconcileParts,
  item: Item,
  { path, sha256 }: { path: string; sha256: string | null },
): Promise<void> {
  const sidecar = await readSidecar(parts, path)
  if (sidecar?.media_id !== item.media.mediaId) return
  const isForeign = sha256 !== null && sha256 !== sidecar.sha256
  const own = isForeign ? [sidecarPathOf(path)] : [path, sidecarPathOf(path)]
  await quarantine(parts, item, { paths: own })
}
