import { basename, dirname } from 'node:path'
import { isAppError } from '../errors.ts'
import type { Item } from '../media.ts'
import { asideFolder } from '../set-aside.ts'
import type { Disk } from '../storage/disk.ts'
import type { Parts } from './parts.ts'
import { putFinal } from './publish.ts'
import { QUARANTINE_FOLDER } from './volume.ts'

type AsideParts = Pick<Parts, 'disk' | 'folders' | 'leases' | 'volume'>
type Holder = Pick<Item, 'id' | 'epoch'>

/**
 * Moves those of the item's own files that are there and no good out of sight, never deletes them.
 *
 * @param undo by default `always`: what we could not read the next holder may have read, and may rely on
 */
export async function quarantine(
  parts: AsideParts,
  item: Holder,
  { paths, undo = 'always' }: { paths: readonly string[]; undo?: Move['undo'] },
): Promise<void> {
  const to = `${QUARANTINE_FOLDER}/${item.id}.${item.epoch}`
  await moveAside(parts, { item, paths, to, undo })
}

interface Move {
  item: Holder
  paths: readonly string[]
  /** A folder inside the archive; where another file has one of the names, the next one takes its place. */
  to: string
  /** What goes back when the lease was over before a move: anything, or only what had come in the file's place. */
  undo: 'always' | 'replaced'
}

/**
 * Moves files of one folder, those that are there, into another one. May be repeated.
 *
 * @returns the folder that took them
 * @throws LEASE_LOST or DB_*, and then nothing of another worker's has moved
 */
export async function moveAside(parts: AsideParts, move: Move): Promise<string> {
  const { disk, folders } = parts
  const { paths } = move
  const to = await freeFolder(disk, move)
  await folders.ensure(to)
  for (const from of paths) await moveOne(parts, from, { ...move, to })
  await disk.syncFolder(to)
  for (const folder of new Set(paths.map(dirname)))
    if ((await disk.stat(folder)) !== null) await disk.syncFolder(folder)
  return to
}

/** A try that came halfway is gone on with in the folder that it chose, which was the last one. */
async function freeFolder(disk: Disk, move: Move): Promise<string> {
  let n = 1
  while ((await disk.stat(asideFolder(move.to, n + 1))) !== null) n += 1
  const last = asideFolder(move.to, n)
  return (await isTaken(disk, last, move)) ? asideFolder(move.to, n + 1) : last
}

/** True when a file has a name there that one of those to be moved needs: it may be the last copy of something. */
async function isTaken(disk: Disk, folder: string, { item, paths }: Move): Promise<boolean> {
  for (const from of paths) {
    const meant = await disk.stat(from)
    if (meant === null) continue
    const kept = `${folder}/${basename(from)}`
    const there = await disk.stat(kept)
    if (there !== null && there.inode !== meant.inode) return true
    if ((await disk.stat(`${kept}.${item.epoch}`)) !== null) return true
  }
  return false
}

/**
 * A rename that a power cut catches unsynced may leave neither name, so the new one is made durable first. The old one
 * then goes by way of a third: one name of a file cannot be renamed to another (POSIX does nothing), and an unlink of
 * what a later worker has filed there could not be undone. The third one carries the epoch: no crash has left it.
 */
async function moveOne(parts: AsideParts, from: string, { item, to, undo }: Move): Promise<void> {
  const { disk, leases, volume } = parts
  const meant = await disk.stat(from)
  if (meant === null) return
  await leases.confirm(item)
  const kept = `${to}/${basename(from)}`
  // Without links the name itself carries an epoch: no later worker files anything else there.
  const leaving = volume.canLink ? `${kept}.${item.epoch}` : kept
  if (volume.canLink) await keepName(disk, { from, to, kept })
  await disk.rename(from, leaving)
  const stays = undo === 'always' ? null : meant.inode
  await undoIfLate(parts, item, { from, leaving, kept, stays })
  if (leaving === kept) return
  const there = await disk.stat(kept)
  if (there?.inode === meant.inode) await disk.unlink(leaving)
  else if (there === null) await disk.rename(leaving, kept)
}

async function keepName(
  disk: Disk,
  { from, to, kept }: { from: string; to: string; kept: string },
): Promise<void> {
  try {
    await disk.link(from, kept)
  } catch (error) {
    // An earlier try came this far.
    if (!isAppError(error, 'NAME_TAKEN')) throw error
  }
  await disk.syncFolder(to)
}

/**
 * Nothing can bind a rename to a lease: a worker that was stopped just before it may have taken away what another one
 * filed under the name since, or found good. That goes back.
 *
 * @param stays the inode of what stays away all the same; null for none
 */
async function undoIfLate(
  parts: AsideParts,
  item: Holder,
  names: { from: string; leaving: string; kept: string; stays: number | null },
): Promise<void> {
  const { disk, leases } = parts
  const { from, leaving, kept, stays } = names
  try {
    await leases.confirm(item)
  } catch (late) {
    const moved = await disk.stat(leaving)
    if (moved !== null && moved.inode !== stays) {
      await putBack(parts, leaving, from)
      if ((await disk.stat(kept))?.inode === moved.inode) await disk.unlink(kept)
    }
    throw late
  }
}

async function putBack(parts: AsideParts, target: string, from: string): Promise<void> {
  const { disk } = parts
  try {
    await putFinal(parts, target, from)
  } catch (error) {
    // It has been missed already, and filed again.
    if (!isAppError(error, 'NAME_TAKEN')) throw error
    return
  }
  await disk.syncFolder(dirname(from))
  await disk.unlink(target)
}
