import { dirname } from 'node:path'
import { isAppError, toAppError } from '../errors.ts'
import type { Item } from '../media.ts'
import { sidecarPathOf } from '../sidecar.ts'
import type { Parts } from './parts.ts'
import { putFinal, quarantine } from './publish.ts'
import { record, withdraw } from './record.ts'
import { describesIntent, readSidecar, writeSidecar } from './sidecar-file.ts'
import { TEMPORARY_FOLDER } from './volume.ts'

export type ReconcileParts = Pick<
  Parts,
  'disk' | 'folders' | 'items' | 'volume' | 'leases' | 'policy' | 'reached' | 'log'
>

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
  while (!signal.aborted) {
    const abandoned = await parts.items.claimAbandoned(BATCH, parts.leases.held())
    if (abandoned.length === 0) break
    for (const item of abandoned) parts.leases.hold(item)
    for (const item of abandoned) {
      if (signal.aborted) break
      found[await recoverItem(parts, item)] += 1
      parts.leases.drop(item)
    }
    for (const item of abandoned) parts.leases.drop(item)
  }
  found.reapproved = (await parts.items.markReapproved()).length
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
    if (!reason.code.startsWith('DB_')) await parts.items.yield(item, reason, RETRY_MS)
    if (reason.retry === 'outage') throw reason
    parts.log.warn({ item: item.id, error: reason }, 'recovery failed, it is tried again')
    return 'failed'
  }
}

async function recover(parts: ReconcileParts, item: Item): Promise<Recovery> {
  const { disk, folders, items } = parts
  const { intent } = item
  if (intent === null) throw new Error(`item ${item.id} is ${item.state} without an intent`)
  const path = intent.archivePath
  if (item.state === 'withdrawing') {
    await withdraw(parts, item, path)
    return 'withdrawn'
  }
  await parts.volume.verify()
  const sidecar = await readSidecar(parts, path)
  if (!(await isWhole(parts, item))) {
    // What names another media id, or nobody, is not ours to move.
    if (sidecar?.media_id === item.media.mediaId) await quarantine(parts, item, path)
    await items.restart(item)
    return 'restarted'
  }
  await folders.ensure(dirname(path))
  if (!describesIntent(sidecar, { media: item.media, intent })) await renewSidecar(parts, item)
  await disk.syncFile(path)
  await disk.syncFile(sidecarPathOf(path))
  await disk.syncFolder(dirname(path))
  return (await record(parts, item, { intent })) === 'archived' ? 'recorded' : 'withdrawn'
}

async function isWhole({ disk }: ReconcileParts, { intent }: Item): Promise<boolean> {
  if (intent === null) return false
  try {
    return (await disk.hash(intent.archivePath)).sha256 === intent.sha256
  } catch (error) {
    if (isAppError(error, 'FILE_MISSING')) return false
    throw error
  }
}

/** A missing sidecar is written, a torn one replaced atomically: the item knows all that it says. */
async function renewSidecar(parts: ReconcileParts, item: Item): Promise<void> {
  const { disk, leases } = parts
  if (item.intent === null) return
  const target = sidecarPathOf(item.intent.archivePath)
  const temporary = await writeSidecar(parts, item, item.intent)
  try {
    leases.assertAlive(item)
    if ((await disk.stat(target)) === null) await putFinal(parts, temporary, target)
    else await disk.rename(temporary, target)
  } finally {
    await disk.unlink(temporary)
  }
}

/** Removes temporaries whose epoch is over, or whose bytes have a final name too. Those of live workers stay. */
async function sweepTemporaries({ disk, items, log }: ReconcileParts): Promise<number> {
  const names = await disk.list(TEMPORARY_FOLDER)
  const temporaries = names.flatMap((name) => {
    const match = /^(\d{1,15})\.(\d{1,9})\.(?:part|json)$/.exec(name)
    return match === null ? [] : [{ name, id: Number(match[1]), epoch: Number(match[2]) }]
  })
  if (temporaries.length === 0) return 0
  const current = await items.current([...new Set(temporaries.map(({ id }) => id))])
  let removed = 0
  for (const { name, id, epoch } of temporaries) {
    const path = `${TEMPORARY_FOLDER}/${name}`
    const now = current.get(id)
    const live = now !== undefined && now.epoch === epoch && now.leased
    if (live) continue
    await disk.unlink(path)
    removed += 1
  }
  if (removed > 0) log.info({ removed }, 'removed temporaries of earlier runs')
  return removed
}
