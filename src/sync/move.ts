import { dirname } from 'node:path'
import type { ArchivedFile } from '../db/archived.ts'
import type { SecondCopy } from '../db/second.ts'
import type { MovableFile, MovedFile } from '../db/second-files.ts'
import { AppError, toAppError } from '../errors.ts'
import type { Intent, Item } from '../media.ts'
import { ofOneKey } from '../storage/one-key.ts'
import { removeSeen, type SeenFile, seeFile } from '../storage/removal.ts'
import { quarantine } from './aside.ts'
import { findDamage, isUnreadable } from './damage.ts'
import { copyAndProve, type SecondParts, withTaken } from './second-copy.ts'
import { sidecarTrouble } from './verify.ts'

/** `kept`: the file stays in the archive, with the reason; `doubt`: it may be an outage after all, if others meet it too. */
export type MoveOutcome = { bytes: number } | { kept: string; doubt?: AppError }

const IN_HAND = 'a worker has it in hand, or another version of the medium may need it'

/**
 * Moves an archived file whose source is gone to the second bucket, under its item's lease. The order is the guarantee: the
 * file is read and is what was archived; file and sidecar are uploaded; both are read back and are the same; the database
 * says so; only then the file goes, if it is still the one that was read. Its sidecar stays.
 *
 * @throws outages (BUCKET_*, DB_*, VOLUME_*, DISK_SICK) and CANCELLED: then the file is still here, or the copy is proven and
 *   {@link finishMove} removes what is left
 */
export function moveFile(
  parts: SecondParts,
  file: MovableFile,
  signal: AbortSignal,
): Promise<MoveOutcome> {
  return keptUnlessOutage(parts, file, async () => {
    const outcome = await withTaken(
      parts,
      { item: file.item, as: 'released' },
      signal,
      ({ item }, mine) => moveTaken(parts, item, mine),
    )
    return outcome ?? { kept: IN_HAND }
  })
}

async function moveTaken(
  parts: SecondParts,
  item: Item,
  signal: AbortSignal,
): Promise<MoveOutcome> {
  const { disk, second, reached } = parts
  const { intent } = item
  const keep = async (kept: string, damage: string | null = null) => {
    await second.giveBack(item, damage)
    return { kept }
  }
  if (intent === null) return keep('nothing is known of its source')
  const seen = await seeFile(disk.root, intent.archivePath)
  if (seen !== null && seen.links > 1)
    return keep('it has another name elsewhere: without this one nothing would be freed')
  const trouble = await troubleOf(parts, { item, intent }, signal)
  if (seen === null || trouble !== null)
    return keep(`its archived file is not whole: ${trouble}`, trouble)
  const copy = await copyAndProve(parts, { item, intent }, signal)
  if (!(await second.moved(item, copy))) throw lost(item)
  await reached('moved', item)
  return removeLocal(parts, item, { seen, copy })
}

/**
 * Ends a move that was cut off after the database knew of it. The copy must still be the one that was proven. Where it is
 * not, the file that is here counts again. If that is not what was archived it is set aside.
 *
 * @throws as {@link moveFile}
 */
export function finishMove(
  parts: SecondParts,
  file: MovedFile,
  signal: AbortSignal,
): Promise<MoveOutcome> {
  return keptUnlessOutage(parts, file, async () => {
    const outcome = await withTaken(
      parts,
      { item: file.item, as: 'moved' },
      signal,
      async ({ item, copy, removed }, mine) => {
        if (copy !== null && !removed) return finishTaken(parts, { item, copy }, mine)
        await parts.second.giveBack(item)
        return { bytes: 0 }
      },
    )
    return outcome ?? { kept: IN_HAND }
  })
}

export async function finishTaken(
  parts: SecondParts,
  { item, copy }: { item: Item; copy: SecondCopy },
  signal: AbortSignal,
): Promise<MoveOutcome> {
  const { disk, bucket, volume, second, log } = parts
  const { intent } = item
  const keep = async (kept: string) => {
    await second.giveBack(item)
    return { kept }
  }
  if (intent === null) return keep('nothing is known of its source')
  if (copy.bucketId !== bucket.id) return keep(`its copy is in ${copy.bucketId}`)
  await volume.verify()
  const seen = await seeFile(disk.root, intent.archivePath)
  if (seen === null) {
    await disk.syncFolder(dirname(intent.archivePath))
    return (await second.removed(item)) ? { bytes: 0 } : keep(IN_HAND)
  }
  const damage = await findDamage(parts, intent, signal)
  const facts = await bucket.head(copy.key, signal)
  const isThere = facts?.etag === copy.etag && facts.sizeBytes === copy.sizeBytes
  if (isThere && damage === null) return removeLocal(parts, item, { seen, copy })
  if (damage !== null && !isUnreadable(damage)) await setAside(parts, { item, intent }, damage)
  else if (isThere && damage !== null) return keep(damage.message)
  if (isThere) return (await second.removed(item)) ? { bytes: 0 } : keep(IN_HAND)
  const told = { item: item.id, path: intent.archivePath, bucket: bucket.id, key: copy.key }
  log.error(told, 'the second copy of an archived file is gone, or another object')
  if (damage !== null) return keep('neither it nor its second copy is what was archived')
  return (await second.recalled(item))
    ? { kept: 'its second copy is gone: the file counts as before' }
    : keep(IN_HAND)
}

/** What lies in the place of a moved file and was read and is wrong goes to quarantine; its sidecar stays. */
export async function setAside(
  parts: Pick<SecondParts, 'disk' | 'folders' | 'leases' | 'volume' | 'log'>,
  { item, intent: { archivePath } }: { item: Item; intent: Intent },
  error: AppError,
): Promise<void> {
  parts.log.error({ item: item.id, path: archivePath, error }, 'a moved file left bad bytes here')
  await quarantine(parts, item, { paths: [archivePath], undo: 'replaced' })
}

/** @returns why file or sidecar is not as it was archived; null for nothing */
async function troubleOf(
  parts: SecondParts,
  { item, intent }: { item: Item; intent: Intent },
  signal: AbortSignal,
): Promise<string | null> {
  const { archivePath, sha256, source } = intent
  const file: ArchivedFile = {
    item: item.id,
    epoch: item.epoch,
    mediaId: item.media.mediaId,
    archivePath,
    sha256,
    sizeBytes: source.sizeBytes,
    leased: true,
    damaged: false,
  }
  const damage = await findDamage(parts, intent, signal)
  if (damage !== null) return damage.message
  const trouble = await sidecarTrouble(parts.disk, file)
  return trouble?.reason ?? null
}

/** Removes the file if it is the one that was read, durably and entered before; the copy is known to the database. */
async function removeLocal(
  { disk, volume, leases, second, reached, begin, end, ...parts }: SecondParts,
  item: Item,
  { seen, copy }: { seen: SeenFile; copy: SecondCopy },
): Promise<MoveOutcome> {
  const { path, sizeBytes } = seen
  const { mediaId } = item.media
  const reason = `${copy.bucketId} has it under ${copy.key}, read back and equal`
  const entry = { area: 'archived', path, sizeBytes, item: item.id, mediaId, reason } as const
  const id = await begin({ ...entry, node: parts.node })
  await reached('removal-begun', item)
  await volume.verify()
  await leases.confirm(item)
  const outcome = await removeSeen(disk.root, seen)
  await reached('local-removed', item)
  await disk.syncFolder(dirname(path))
  await reached('removal-synced', item)
  await end(id, outcome)
  if (outcome === 'changed') {
    await second.giveBack(item)
    return { kept: 'somebody wrote to it meanwhile' }
  }
  if (!(await second.removed(item))) throw lost(item)
  parts.log.info({ ...entry, media: mediaId }, 'moved to the second bucket to make room')
  return { bytes: outcome === 'removed' ? sizeBytes : 0 }
}

/** What fails for one file alone is a reason for it to stay. */
async function keptUnlessOutage(
  { bucket, log }: Pick<SecondParts, 'bucket' | 'log'>,
  { archivePath: path }: { archivePath: string },
  work: () => Promise<MoveOutcome>,
): Promise<MoveOutcome> {
  try {
    return await work()
  } catch (thrown) {
    const reason = toAppError(thrown)
    const error = await ofOneKey(bucket, path, reason)
    const isOutage = error.retry === 'outage' && error.code !== 'OBJECT_LOCKED'
    if (isOutage || ['CANCELLED', 'INTERNAL'].includes(error.code)) throw error
    log.warn({ path, error }, 'an archived file could not be moved to the second bucket')
    return error === reason ? { kept: error.message } : { kept: error.message, doubt: reason }
  }
}

function lost(item: Item): AppError {
  return new AppError('LEASE_LOST', `another worker took item ${item.id}`)
}
