import { createHash } from 'node:crypto'
import type { Items } from '../db/items.ts'
import { isAppError, toAppError } from '../errors.ts'
import type { ItemState } from '../item-states.ts'
import type { Item } from '../media.ts'
import type { Disk } from '../storage/disk.ts'
import type { NewFile } from '../storage/new-file.ts'
import type { Parts } from './parts.ts'
import { isLinkProbe, TEMPORARY_FOLDER } from './volume.ts'
import { isWriteProbe } from './write-probe.ts'

/** A file in the temporary folder, as its name tells it. */
export interface Temporary {
  path: string
  item: number
  epoch: number
  /** Which object version a download is of; null for a sidecar. */
  version: string | null
}

/**
 * The name of a download says whose it is and of which object version, and it is given before the first byte is written.
 * So a prefix that a crash left needs no other record of where it came from, and none can get lost or contradict it.
 */
export function partPath({ id, epoch }: Pick<Item, 'id' | 'epoch'>, version: string): string {
  return `${TEMPORARY_FOLDER}/${id}.${epoch}.${version}.part`
}

/** Names one version of one object in 16 characters that any file system takes. */
export function versionMark(
  bucketId: string,
  source: { key: string; etag: string; sizeBytes: number },
): string {
  const { key, etag, sizeBytes } = source
  const facts = JSON.stringify([bucketId, key, etag, sizeBytes])
  return createHash('sha256').update(facts).digest('hex').slice(0, 16)
}

export async function listTemporaries(disk: Pick<Disk, 'list'>): Promise<Temporary[]> {
  const names = await disk.list(TEMPORARY_FOLDER)
  return names.flatMap((name) => {
    const match = /^(\d{1,15})\.(\d{1,9})\.(?:json|(?:([0-9a-f]{16})\.)?part)$/.exec(name)
    if (match === null) return []
    const [, item, epoch, version = null] = match
    const path = `${TEMPORARY_FOLDER}/${name}`
    return [{ path, item: Number(item), epoch: Number(epoch), version }]
  })
}

/** Closes and removes a temporary that nobody will publish. */
export async function discardPart({ disk }: Pick<Parts, 'disk'>, part: NewFile): Promise<void> {
  await part.close()
  await disk.unlink(part.path)
}

/**
 * Closes a download that came to nothing. If its bytes are as good as before and only the way, the bucket, the database
 * or this worker's time ended, it stays: the item's next epoch goes on from there. After anything else it is removed.
 */
export async function letGo(
  parts: Pick<Parts, 'disk'>,
  part: NewFile,
  error: unknown,
): Promise<void> {
  if (part.sizeBytes > 0 && isWorthKeeping(error)) await part.close()
  else await discardPart(parts, part)
}

function isWorthKeeping(error: unknown): boolean {
  const { code, retry } = toAppError(error)
  // What a failing disk holds is not what it was given.
  if (code.startsWith('DISK_')) return false
  return (
    retry === 'outage' || isAppError(error, 'TRANSFER_BROKEN', 'TRANSFER_STALLED', 'LEASE_LOST')
  )
}

/** The next claim of an item in one of these states downloads its object. */
const DOWNLOADED_NEXT: readonly ItemState[] = ['claimed', 'waiting']

/**
 * Temporaries of no use. Those of live workers are of use, and, unless `space` is short, so are the downloads that the
 * next claim of their item can go on from.
 */
export async function uselessTemporaries(
  { disk, items }: { disk: Pick<Disk, 'list'>; items: Pick<Items, 'current'> },
  { spaceIsShort = false } = {},
): Promise<Temporary[]> {
  const temporaries = await listTemporaries(disk)
  if (temporaries.length === 0) return []
  const current = await items.current([...new Set(temporaries.map(({ item }) => item))])
  return temporaries.filter(({ item, epoch, version }) => {
    const now = current.get(item)
    const live = now !== undefined && now.epoch === epoch && now.leased
    const next = now !== undefined && DOWNLOADED_NEXT.includes(now.state) && now.epoch >= epoch
    return !live && !(next && version !== null && !spaceIsShort)
  })
}

/** Removes {@link uselessTemporaries} and what killed starts left. @returns how many there were */
export async function sweepTemporaries(
  { disk, items, log }: Pick<Parts, 'disk' | 'log'> & { items: Pick<Items, 'current'> },
  options: { spaceIsShort?: boolean } = {},
): Promise<number> {
  const useless = await uselessTemporaries({ disk, items }, options)
  const paths = [...useless.map(({ path }) => path), ...(await listProbes(disk))]
  for (const path of paths) await disk.unlink(path)
  if (paths.length > 0) log.info({ removed: paths.length }, 'removed temporaries of earlier runs')
  return paths.length
}

/** Files by which others found out about this disk; one that is at it just now tries again. */
async function listProbes(disk: Pick<Disk, 'list'>): Promise<string[]> {
  const names = await disk.list(TEMPORARY_FOLDER)
  return names
    .filter((name) => isLinkProbe(name) || isWriteProbe(name))
    .map((name) => `${TEMPORARY_FOLDER}/${name}`)
}
