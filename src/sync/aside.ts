import { basename, dirname } from 'node:path'
import { isAppError } from '../errors.ts'
import type { Item } from '../media.ts'
import type { Parts } from './parts.ts'
import { putFinal } from './publish.ts'
import { QUARANTINE_FOLDER } from './volume.ts'

type AsideParts = Pick<Parts, 'disk' | 'folders' | 'leases' | 'volume'>
type Holder = Pick<Item, 'id' | 'epoch'>

/** Moves those of the item's own files that are there and no good out of sight, never deletes them. */
export async function quarantine(
  parts: AsideParts,
  item: Holder,
  paths: readonly string[],
): Promise<void> {
  const to = `${QUARANTINE_FOLDER}/${item.id}.${item.epoch}`
  // What we could not read the next holder may have read, and may rely on.
  await moveAside(parts, { item, paths, to, undo: 'always' })
}

/**
 * Moves files of one folder, those that are there, into the folder `to` inside the archive. May be repeated.
 *
 * @param undo what goes back when the lease was over before a move: anything, or only what had come in the file's place
 * @throws LEASE_LOST, and then nothing of another worker's has moved
 */
export async function moveAside(
  parts: AsideParts,
  move: { item: Holder; paths: readonly string[]; to: string; undo: 'always' | 'replaced' },
): Promise<void> {
  const { item, paths, to, undo } = move
  const { disk, folders, leases } = parts
  await folders.ensure(to)
  for (const from of paths) {
    const meant = await disk.stat(from)
    if (meant === null) continue
    leases.assertAlive(item)
    const target = `${to}/${basename(from)}`
    await disk.rename(from, target)
    await undoIfLate(parts, item, { from, target, meant: undo === 'always' ? null : meant.inode })
    // A crash during an earlier try may have kept both names, and renaming one file to itself does nothing (POSIX).
    const left = await disk.stat(from)
    if (left?.inode === meant.inode) await disk.unlink(from)
  }
  await disk.syncFolder(to)
  for (const folder of new Set(paths.map(dirname)))
    if ((await disk.stat(folder)) !== null) await disk.syncFolder(folder)
}

/**
 * Nothing can bind a rename to a lease: a worker that was stopped just before it may have taken away what another one
 * filed under the name since, or found good. That goes back.
 *
 * @param meant the inode of what stays away all the same; null for none
 */
async function undoIfLate(
  parts: AsideParts,
  item: Holder,
  { from, target, meant }: { from: string; target: string; meant: number | null },
): Promise<void> {
  const { disk, leases } = parts
  try {
    leases.assertAlive(item)
  } catch (late) {
    const moved = await disk.stat(target)
    if (moved !== null && moved.inode !== meant) await putBack(parts, target, from)
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
