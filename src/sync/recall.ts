import { dirname } from 'node:path'
import type { SecondCopy, TakenItem } from '../db/second.ts'
import type { MovedFile } from '../db/second-files.ts'
import { AppError, toAppError } from '../errors.ts'
import type { Intent, Item } from '../media.ts'
import type { ObjectFacts } from '../storage/bucket.ts'
import type { NewFile } from '../storage/new-file.ts'
import { ofOneKey } from '../storage/one-key.ts'
import { seeFile, touchFile } from '../storage/removal.ts'
import { findDamage, isUnreadable } from './damage.ts'
import { makeDurable } from './filed.ts'
import { setAside } from './move.ts'
import { putFinal } from './publish.ts'
import { type SecondParts, withTaken } from './second-copy.ts'
import type { Space } from './space.ts'
import { discardPart, partPath, versionMark } from './temporaries.ts'
import { receive } from './transfer.ts'

export type RecallParts = SecondParts & { space: Pick<Space, 'reserve'> }

/** `refused`: why the file stays in the second bucket alone. */
export type RecallOutcome = { bytes: number } | { refused: string }

/**
 * Brings a moved file back to its path, under its item's lease: room is reserved, the copy is downloaded and has the archived
 * SHA-256, the file appears under its name without replacing anything (what lies there and is not what was archived is set
 * aside first), is made durable with its sidecar, and only then the database says so. The copy stays in the bucket.
 *
 * @throws outages (BUCKET_*, DB_*, VOLUME_*, DISK_*) and CANCELLED; the item is `moved` as before
 */
export async function recallFile(
  parts: RecallParts,
  file: MovedFile,
  signal: AbortSignal,
): Promise<RecallOutcome> {
  try {
    const outcome = await withTaken(
      parts,
      { item: file.item, as: 'recalled' },
      signal,
      async (taken, mine) => {
        const done = await recallTaken(parts, taken, mine)
        if ('refused' in done) await parts.second.giveBack(taken.item)
        return done
      },
    )
    return outcome ?? { refused: 'a worker has it in hand, or it is not moved any more' }
  } catch (thrown) {
    const error = await ofOneKey(parts.bucket, file.copy.key, toAppError(thrown))
    if (error.retry === 'outage' || ['CANCELLED', 'INTERNAL'].includes(error.code)) throw error
    parts.log.warn({ path: file.archivePath, error }, 'a moved file could not be brought back')
    return { refused: error.message }
  }
}

async function recallTaken(
  parts: RecallParts,
  { item, copy }: TakenItem,
  signal: AbortSignal,
): Promise<RecallOutcome> {
  const { disk, bucket, volume, second, reached, log } = parts
  const { intent } = item
  if (intent === null || copy === null) return { refused: 'nothing is known of its copy' }
  if (copy.bucketId !== bucket.id)
    return { refused: `its copy is in ${copy.bucketId}, and SECOND_BUCKET is another one` }
  await volume.verify()
  await reached('recall-taken', item)
  const isHere = (await seeFile(disk.root, intent.archivePath)) !== null
  const damage = isHere ? await findDamage(parts, intent, signal) : null
  if (damage !== null && isUnreadable(damage)) return { refused: damage.message }
  if (damage !== null) await setAside(parts, { item, intent }, damage)
  if (isHere && damage === null) {
    // Whoever was about to remove it and sleeps does not know it again.
    await touchFile(disk.root, intent.archivePath)
  } else {
    const facts = await bucket.head(copy.key, signal)
    if (facts?.sizeBytes !== copy.sizeBytes) {
      const error = gone(bucket.id, copy)
      log.error({ item: item.id, path: intent.archivePath, error }, 'a second copy is missing')
      return { refused: error.message }
    }
    await fetchBack(parts, { item, intent, copy, facts }, signal)
  }
  await makeDurable(parts, item, intent)
  if (!(await second.recalled(item)))
    throw new AppError('LEASE_LOST', `another worker took item ${item.id}`)
  const { mediaId } = item.media
  log.info({ item: item.id, media: mediaId, path: intent.archivePath }, 'a moved file is back')
  return { bytes: copy.sizeBytes }
}

interface Fetch {
  item: Item
  intent: Intent
  copy: SecondCopy
  /** Of the object as it is now; an ETag may have changed with a copy of the bucket, a SHA-256 cannot. */
  facts: ObjectFacts
}

async function fetchBack(
  parts: RecallParts,
  { item, intent, copy, facts }: Fetch,
  signal: AbortSignal,
): Promise<void> {
  const { disk, folders, volume, leases, space, bucket, policy, reached } = parts
  const { key } = copy
  const reservation = await space.reserve(facts.sizeBytes)
  let part: NewFile | null = null
  try {
    const path = partPath(item, versionMark(bucket.id, { key, ...facts }))
    await disk.unlink(path)
    const file = await disk.create(path)
    part = file
    const take = async (chunk: Uint8Array) => {
      await file.write(chunk)
      await reservation.wrote(chunk.byteLength)
    }
    await receive(parts, { item: item.id, key, facts, from: 0, signal }, { take })
    await file.seal(policy.fileMode)
    // What is in the file counts, not what arrived.
    if ((await disk.hash(file.path, signal)).sha256 !== intent.sha256)
      throw new AppError('TRANSFER_CORRUPT', `${bucket.id} has other bytes under "${key}"`, {
        hint: 'look at that object; the file has to come from another backup',
      })
    await reached('recall-fetched', item)
    await volume.verify()
    await folders.ensureAnew(dirname(intent.archivePath))
    await leases.confirm(item)
    await putFinal(parts, file.path, intent.archivePath)
    await reached('recall-placed', item)
  } finally {
    reservation.end()
    if (part !== null) await discardPart(parts, part)
  }
}

function gone(bucketId: string, { key }: SecondCopy): AppError {
  return new AppError('OBJECT_MISSING', `${bucketId} has no such object any more: "${key}"`, {
    hint: 'look for its versions or a backup of that bucket',
  })
}
