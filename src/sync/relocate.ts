import { dirname } from 'node:path'
import type { ArchivedFile } from '../db/archived.ts'
import type { Item } from '../media.ts'
import { sidecarPathOf } from '../sidecar.ts'
import { findDamage } from './damage.ts'
import { makeDurable } from './filed.ts'
import { underLease } from './filed-lease.ts'
import { bringBack, type HealParts } from './heal.ts'
import { putFinal } from './publish.ts'
import { peekSidecar } from './sidecar-file.ts'

type RelocateParts = Omit<HealParts, 'bucket' | 'second'>

/**
 * `elsewhere`: it is in none of the places; `busy`: a worker has the item in hand, or healing is paused; `no_links`: this
 * file system has no hard links, and after a rename a power cut may leave neither name of what may be the only copy.
 */
export type RelocateOutcome = 'back' | 'elsewhere' | 'busy' | 'no_links'

/**
 * Brings a file that somebody moved by hand back to its path, under its item's lease. The file goes back, and not the path
 * after it: the links that were given out, the backend's own column and the sidecar all name that path, which is rendered
 * once and for all.
 *
 * @param moved.places where it may be, relative to ARCHIVE_DIR; what has other bytes than the archived ones is not touched
 * @throws CANCELLED, DB_*, VOLUME_*, DISK_*; the item is given back, or its lease runs out
 */
export async function relocate(
  parts: RelocateParts,
  moved: { file: ArchivedFile; places: readonly string[] },
  signal: AbortSignal,
): Promise<RelocateOutcome> {
  if (!parts.volume.canLink) return 'no_links'
  const outcome = await underLease(parts, moved.file, signal, {
    async work(item, mine) {
      const damage = await attempt(parts, { ...moved, item }, mine)
      return damage === null ? WHOLE : { outcome: 'damaged', damage }
    },
    blame: (reason) => `it may have been moved by hand: ${reason}`,
  })
  if (outcome === 'busy') return 'busy'
  return outcome === 'whole' ? 'back' : 'elsewhere'
}

const WHOLE = { outcome: 'whole' } as const

interface Moved {
  item: Item
  file: ArchivedFile
  places: readonly string[]
}

/** @returns what is still wrong; null when it is back */
async function attempt(
  parts: RelocateParts,
  moved: Moved,
  signal: AbortSignal,
): Promise<string | null> {
  const { item, file, places } = moved
  const { intent } = item
  const damage = await findDamage(parts, file, signal)
  if (damage !== null) {
    const from =
      intent === null
        ? await bringLegacyBack(parts, moved, signal)
        : await bringBack(parts, { item, intent, damage, places }, signal)
    if (from === null) return damage.message
  }
  if (intent !== null) await makeDurable(parts, item, intent)
  // Another run may have come so far that it lies in both places.
  for (const place of places) await forget(parts, moved, place)
  return null
}

/** What an older service archived has a sidecar and no more: the item could not write it anew. */
async function bringLegacyBack(
  parts: RelocateParts,
  { item, file, places }: Moved,
  signal: AbortSignal,
): Promise<string | null> {
  const { disk, folders, leases, volume } = parts
  const path = file.archivePath
  for (const from of places) {
    if ((await disk.stat(path)) !== null || !(await describes(parts, file, from))) continue
    if ((await disk.hash(from, signal)).sha256 !== file.sha256) continue
    await volume.verify()
    for (const name of [from, sidecarPathOf(from)]) await disk.syncFile(name)
    await folders.ensureAnew(dirname(path))
    await leases.confirm(item)
    if (!(await describes(parts, file, path)))
      await putFinal(parts, sidecarPathOf(from), sidecarPathOf(path))
    await putFinal(parts, from, path)
    await disk.syncFolder(dirname(path))
    return from
  }
  return null
}

/** Takes the moved name away, but only from the very file that has its own name again, and then its sidecar's. */
async function forget(parts: RelocateParts, { item, file }: Moved, place: string): Promise<void> {
  const { disk, leases } = parts
  const here = await disk.stat(place)
  const there = await disk.stat(file.archivePath)
  // An earlier run may have come as far as the sidecar.
  if (here !== null && here.inode !== there?.inode) return
  const hasSidecar = await describes(parts, file, place)
  await leases.confirm(item)
  if (here !== null) await disk.unlink(place)
  if (hasSidecar) await disk.unlink(sidecarPathOf(place))
  await disk.syncFolder(dirname(place))
}

/** True when the sidecar beside `place` is this file's own. */
async function describes(
  parts: Pick<RelocateParts, 'disk'>,
  { mediaId, archivePath, sha256 }: ArchivedFile,
  place: string,
): Promise<boolean> {
  const sidecar = await peekSidecar(parts, place)
  return (
    sidecar?.media_id === mediaId &&
    sidecar.archive_path === archivePath &&
    sidecar.sha256 === sha256
  )
}
