import { basename } from 'node:path'
import { AppError } from '../errors.ts'
import type { Intent, Item } from '../media.ts'
import { sidecarPathOf } from '../sidecar.ts'
import type { FileFacts } from '../storage/file-io.ts'
import { moveAside } from './aside.ts'
import type { Parts } from './parts.ts'
import { WITHDRAWN_FOLDER } from './volume.ts'

export type RecordParts = Pick<
  Parts,
  'disk' | 'folders' | 'items' | 'volume' | 'leases' | 'reached' | 'log'
>

/**
 * Says in the database that the item is archived. The file must lie on the marker's own device at this very moment: an
 * unmount between publishing and recording would have left it in a folder under the mount point.
 *
 * @returns `withdrawn` when the media row is no longer the approved row that was claimed; the copy is set aside then
 * @throws LEASE_LOST, VOLUME_MISSING, VOLUME_FOREIGN, FILE_MISSING, DISK_SICK (latched by whatever node), DB_*
 */
export async function record(
  parts: RecordParts,
  item: Item,
  { intent }: { intent: Intent },
): Promise<'archived' | 'withdrawn'> {
  await assertOnVolume(parts, intent.archivePath)
  parts.leases.assertAlive(item)
  const outcome = await parts.items.record(item)
  if (outcome === 'stale') throw new AppError('LEASE_LOST', `another worker took item ${item.id}`)
  if (outcome === 'sick') throw latchedSick(item)
  if (outcome === 'archived') {
    await parts.reached('recorded', item)
    return 'archived'
  }
  await parts.reached('withdrawing', item)
  await withdraw(parts, item, intent.archivePath)
  return 'withdrawn'
}

/** With a cause, as every failure that is latched already: it is no new one. */
function latchedSick(item: Item): AppError {
  const cause = new AppError('DISK_SICK', 'the database says that the archive disk failed')
  return new AppError('DISK_SICK', `item ${item.id} is not recorded: the archive disk failed`, {
    cause,
    hint: 'check the disk, mount it anew, then run "strongroom accept-volume"',
  })
}

/** Moves the copy of an item in state `withdrawing` aside, durably, before anyone may claim the row again. */
export async function withdraw(parts: RecordParts, item: Item, archivePath: string): Promise<void> {
  const to = await moveAside(parts, {
    item,
    paths: [archivePath, sidecarPathOf(archivePath)],
    to: `${WITHDRAWN_FOLDER}/${item.id}`,
    undo: 'replaced',
  })
  await parts.reached('moved-aside', item)
  const mine = await parts.items.finishWithdrawal(item, `${to}/${basename(archivePath)}`)
  if (!mine) throw new AppError('LEASE_LOST', `another worker took item ${item.id}`)
  parts.log.warn(
    { item: item.id, media: item.media.mediaId, path: `${to}/${basename(archivePath)}` },
    'the media row changed while it was archived; the copy was set aside and the source kept',
  )
}

/** @throws VOLUME_MISSING, VOLUME_FOREIGN, FILE_MISSING */
export async function assertOnVolume(
  { disk, volume }: Pick<Parts, 'disk' | 'volume'>,
  path: string,
): Promise<FileFacts> {
  const { device } = await volume.verify()
  const facts = await disk.stat(path)
  if (facts === null) throw new AppError('FILE_MISSING', `${disk.root}/${path} is not there`)
  if (facts.device !== device)
    throw new AppError(
      'VOLUME_MISSING',
      `${disk.root}/${path} is not on the archive volume ${volume.id}`,
      {
        hint: `mount the volume of archive ${volume.id} at ARCHIVE_DIR`,
      },
    )
  return facts
}
