import { dirname } from 'node:path'
import { isAppError } from '../errors.ts'
import type { Intent, Item } from '../media.ts'
import { sidecarPathOf } from '../sidecar.ts'
import { quarantine } from './aside.ts'
import { isUnreadable } from './damage.ts'
import type { Parts } from './parts.ts'
import { putFinal } from './publish.ts'
import { describesIntent, readSidecar, writeSidecar } from './sidecar-file.ts'

type FiledParts = Pick<Parts, 'disk' | 'folders' | 'volume' | 'leases' | 'policy'>

/**
 * Makes a file that lies whole at its intent's path as safe as publishing does: its sidecar beside it, and contents and names
 * durable. Whoever left it may have died before the last fsync, and what can be read need not outlive a power cut.
 *
 * @throws LEASE_LOST, DISK_*
 */
export async function makeDurable(parts: FiledParts, item: Item, intent: Intent): Promise<void> {
  const { disk, folders } = parts
  const path = intent.archivePath
  await folders.ensure(dirname(path))
  const sidecar = await readSidecar(parts, path).catch(async (error: unknown) => {
    // As a torn one: the item knows all that it says.
    if (isUnreadable(error)) return null
    if (!isAppError(error, 'PATH_UNSAFE')) throw error
    // A link, or too large for one of ours.
    await clearAway(parts, item, sidecarPathOf(path))
    return null
  })
  if (!describesIntent(sidecar, { media: item.media, intent }))
    await renewSidecar(parts, item, intent)
  await disk.syncFile(path)
  await disk.syncFile(sidecarPathOf(path))
  await disk.syncFolder(dirname(path))
}

/** Sets aside what is in a sidecar's place and is none. A link has no bytes of its own, and goes. @throws LEASE_LOST, DISK_* */
export async function clearAway(
  parts: Pick<Parts, 'disk' | 'folders' | 'volume' | 'leases'>,
  item: Pick<Item, 'id' | 'epoch'>,
  path: string,
): Promise<void> {
  const { disk, leases } = parts
  if ((await disk.stat(path))?.kind === 'file') return quarantine(parts, item, { paths: [path] })
  await leases.confirm(item)
  await disk.unlink(path)
}

/** A missing sidecar is written, one that is torn or cannot be read is replaced atomically. */
async function renewSidecar(parts: FiledParts, item: Item, intent: Intent): Promise<void> {
  const { disk, leases } = parts
  const target = sidecarPathOf(intent.archivePath)
  const temporary = await writeSidecar(parts, item, intent)
  try {
    await leases.confirm(item)
    if ((await disk.stat(target)) === null) await putFinal(parts, temporary, target)
    else await disk.rename(temporary, target)
  } finally {
    await disk.unlink(temporary)
  }
}
