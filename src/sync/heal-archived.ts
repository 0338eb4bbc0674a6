import { dirname } from 'node:path'
import type { ArchivedFile } from '../db/archived.ts'
import type { HealVerdict } from '../db/items.ts'
import { AppError, isAppError, toAppError } from '../errors.ts'
import type { Item } from '../media.ts'
import { sidecarPathOf } from '../sidecar.ts'
import { adoptInPlace } from './adopt.ts'
import { findDamage } from './damage.ts'
import { clearAway, makeDurable } from './filed.ts'
import { type FiledOutcome, underLease } from './filed-lease.ts'
import { findBytes, type HealParts, heal, lostError, mayComeBack, setAside } from './heal.ts'
import type { Parts } from './parts.ts'
import { putFinal } from './publish.ts'
import { readSidecar } from './sidecar-file.ts'

export type HealArchivedParts = HealParts & Pick<Parts, 'validate'>

/**
 * Puts right what a scrub or an inspection found wrong with one archived file, under its item's lease: file and sidecar are
 * looked at again, a sidecar that does not describe the file is written anew, and a file that is not what was archived is
 * healed as {@link heal} tells. What cannot be put right now stays as it is, and stays noted.
 *
 * @throws CANCELLED, DB_*, VOLUME_* and other outages; the item is given back, or its lease runs out
 */
export async function healArchived(
  parts: HealArchivedParts,
  file: ArchivedFile,
  signal: AbortSignal,
): Promise<FiledOutcome> {
  try {
    return await underLease(parts, file, signal, {
      work: (item, mine) => attempt(parts, { item, file }, mine),
      blame: (reason) => `it may be damaged: ${reason}`,
    })
  } catch (error) {
    const reason = toAppError(error)
    if (reason.retry === 'outage' || reason.code === 'CANCELLED') throw reason
    parts.log.warn({ item: file.item, error: reason }, 'an archived file could not be healed yet')
    return 'damaged'
  }
}

async function attempt(
  parts: HealArchivedParts,
  { item, file }: { item: Item; file: ArchivedFile },
  signal: AbortSignal,
): Promise<HealVerdict> {
  const damage = await findDamage(parts, file, signal)
  const { intent } = item
  if (intent === null) return attemptLegacy(parts, { item, file, damage }, signal)
  if (damage === null) {
    await makeDurable(parts, item, intent)
    return { outcome: 'whole' }
  }
  const healed = await heal(parts, { item, intent, damage }, signal)
  if (healed === 'healed') return { outcome: 'whole' }
  if (healed === 'elsewhere')
    parts.log.error(
      { item: item.id, error: damage },
      `the source of an archived file is in bucket "${intent.source.bucket}"`,
    )
  if (healed !== 'lost') return { outcome: 'damaged', damage: damage.message }
  const error = lostError(damage)
  parts.log.error({ item: item.id, error }, 'an archived file is lost')
  return { outcome: 'lost', damage: error.message, error }
}

interface Legacy {
  item: Item
  file: ArchivedFile
}

/** A file that an older service archived: what its source is nobody knows, and its sidecar is written as "adopt" does. */
async function attemptLegacy(
  parts: HealArchivedParts,
  { item, file, damage }: Legacy & { damage: AppError | null },
  signal: AbortSignal,
): Promise<HealVerdict> {
  if (damage === null || (await bringLegacyBack(parts, { item, file, damage }, signal))) {
    await describeAgain(parts, item, file)
    return { outcome: 'whole' }
  }
  const { archivePath } = file
  if (await mayComeBack(parts, { archivePath, damage }))
    return { outcome: 'damaged', damage: damage.message }
  await setAside(parts, item, { archivePath, damage })
  const error = new AppError(
    'FILE_MISSING',
    `${damage.message}; an older service archived it, and its source is not known`,
    { hint: 'restore the file from a backup of the archive, or from the bucket' },
  )
  parts.log.error({ item: item.id, error }, 'an archived file is lost')
  return { outcome: 'lost', damage: error.message, error }
}

/** @returns false when its bytes do not lie in quarantine, and then nothing was changed */
async function bringLegacyBack(
  parts: HealArchivedParts,
  { item, file, damage }: Legacy & { damage: AppError },
  signal: AbortSignal,
): Promise<boolean> {
  const { disk, folders, leases, log } = parts
  const { archivePath } = file
  // What cannot be read may be whole, and somebody else's.
  if (damage.code === 'DISK_DENIED') return false
  const from = await findBytes(parts, { item, archived: file }, signal)
  if (from === null) return false
  await setAside(parts, item, { archivePath, damage })
  await folders.ensureAnew(dirname(archivePath))
  await leases.confirm(item)
  await putFinal(parts, from, archivePath)
  await disk.syncFolder(dirname(archivePath))
  log.warn({ item: item.id, path: archivePath, from }, 'the archived file is back')
  return true
}

async function describeAgain(
  parts: HealArchivedParts,
  { media, ...item }: Item,
  { archivePath, sha256, sizeBytes }: ArchivedFile,
): Promise<void> {
  const sidecar = sidecarPathOf(archivePath)
  const sound = await readSidecar(parts, archivePath).catch((error: unknown) => {
    // A link, or too large for a sidecar.
    if (isAppError(error, 'PATH_UNSAFE')) return null
    throw error
  })
  if (sound === null) await clearAway(parts, item, sidecar)
  // None was ever known for what was adopted by hand.
  const objectKey = media.objectKey === '' ? null : media.objectKey
  await adoptInPlace(parts, {
    media: { ...media, objectKey },
    archivePath,
    strict: false,
    expected: { sha256, sizeBytes },
  })
}
