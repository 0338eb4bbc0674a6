import { basename, dirname } from 'node:path'
import type { SecondCopy } from '../db/second.ts'
import { AppError, isAppError } from '../errors.ts'
import type { Intent, Item } from '../media.ts'
import { readAsideFolder } from '../set-aside.ts'
import { sidecarPathOf } from '../sidecar.ts'
import type { Bucket, ObjectFacts } from '../storage/bucket.ts'
import { quarantine } from './aside.ts'
import { isUnreadable } from './damage.ts'
import { fetchVersion } from './download.ts'
import type { Parts } from './parts.ts'
import { putFinal } from './publish.ts'
import { writeSidecar } from './sidecar-file.ts'
import { discardPart } from './temporaries.ts'
import { QUARANTINE_FOLDER, WITHDRAWN_FOLDER } from './volume.ts'

export type HealParts = Pick<
  Parts,
  'disk' | 'folders' | 'bucket' | 'items' | 'volume' | 'leases' | 'policy' | 'log'
> & {
  second: SecondSource | null
  /** Part of the archive could not be looked at: a file that is gone may lie there, and is not called lost. */
  unseen?: boolean
}

/** The second bucket, where what was moved once stays when it is brought back. */
export interface SecondSource {
  bucket: Bucket
  copyOf: (item: number) => Promise<Pick<SecondCopy, 'key' | 'sizeBytes'> | null>
}

interface Patient {
  item: Item
  intent: Intent
  /** Of {@link findDamage}. */
  damage: AppError
}

/**
 * The archived copy is damaged, unreadable or gone. If its bytes lie in quarantine, or the bucket still has the archived
 * version, or the second bucket a copy, they are put in its place, and what was there goes to quarantine. Otherwise what was
 * read and is wrong goes to quarantine too, so that nobody is served it. The source is never deleted here, and the item is the
 * caller's to settle.
 *
 * @returns `lost`: there is no other copy; `unreadable`: nor is there, but it {@link mayComeBack}; `elsewhere`: its source was
 *   never released, and is in a bucket that is not the configured one
 * @throws LEASE_LOST, TRANSFER_*, BUCKET_*, DISK_*, VOLUME_*
 */
export async function heal(
  parts: HealParts,
  { item, intent, damage }: Patient,
  signal: AbortSignal,
): Promise<'healed' | 'lost' | 'unreadable' | 'elsewhere'> {
  const { bucket, log } = parts
  const told = { item: item.id, path: intent.archivePath }
  log.error({ ...told, error: damage }, 'an archived file is damaged')
  // It may be whole, and a file of somebody else's cannot be moved aside either: that is for a person.
  if (damage.code === 'DISK_DENIED') return 'unreadable'
  if ((await bringBack(parts, { item, intent, damage }, signal)) !== null) return 'healed'
  const { key } = intent.source
  const isWithinReach = intent.source.bucket === bucket.name
  const facts = isWithinReach ? await bucket.head(key, signal) : null
  if (facts === null || facts.etag !== intent.source.etag) {
    if (await healFromSecond(parts, { item, intent, damage }, signal)) return 'healed'
    if (await mayComeBack(parts, { archivePath: intent.archivePath, damage })) return 'unreadable'
    await setAside(parts, item, { archivePath: intent.archivePath, damage })
    return isWithinReach || item.state === 'released' ? 'lost' : 'elsewhere'
  }
  if (!(await fetchInPlace(parts, { item, intent, damage }, { key, facts, signal })))
    throw new AppError('TRANSFER_CORRUPT', `"${key}" came back with other bytes than archived`)
  log.warn(told, 'the archived file was fetched again')
  return 'healed'
}

/**
 * Puts the archived bytes back in their place from the second bucket.
 *
 * @returns false when they are not there, and then nothing was changed
 * @throws LEASE_LOST, TRANSFER_*, BUCKET_*, DISK_*, VOLUME_*
 */
async function healFromSecond(
  parts: HealParts,
  patient: Patient,
  signal: AbortSignal,
): Promise<boolean> {
  const { second, log } = parts
  const { item, intent } = patient
  const copy = (await second?.copyOf(item.id)) ?? null
  if (second === null || copy === null) return false
  const { key, sizeBytes } = copy
  const told = { item: item.id, path: intent.archivePath, key }
  const facts = await second.bucket.head(key, signal)
  const from = { ...parts, bucket: second.bucket }
  const isWhole =
    facts?.sizeBytes === sizeBytes && (await fetchInPlace(from, patient, { key, facts, signal }))
  if (isWhole) log.warn(told, 'the archived file was fetched from the second bucket')
  else log.error(told, 'the second bucket does not have what was archived either')
  return isWhole
}

/** @returns false when the bucket has other bytes than were archived, and then nothing was changed */
async function fetchInPlace(
  parts: Omit<HealParts, 'second'>,
  { item, intent, damage }: Patient,
  { key, facts, signal }: { key: string; facts: ObjectFacts; signal: AbortSignal },
): Promise<boolean> {
  const wanted = { ...item, media: { ...item.media, objectKey: key } }
  const { part, sha256 } = await fetchVersion(parts, wanted, { facts, signal })
  try {
    if (sha256 !== intent.sha256) return false
    await part.seal(parts.policy.fileMode)
    await replace(parts, { item, intent, damage, from: part.path })
    return true
  } finally {
    await discardPart(parts, part)
  }
}

/**
 * Puts the archived bytes back in their place, if they lie in quarantine, or in one of `places` in the archive.
 *
 * @returns where they lay; null when they lie nowhere, and then nothing was changed
 * @throws LEASE_LOST, DISK_*, VOLUME_*
 */
export async function bringBack(
  parts: Omit<HealParts, 'bucket' | 'second'>,
  { places = [], ...patient }: Patient & { places?: readonly string[] },
  signal: AbortSignal,
): Promise<string | null> {
  const { item, intent } = patient
  const from = await findBytes(parts, { item, archived: intent, places }, signal)
  if (from === null) return null
  await replace(parts, { ...patient, from })
  parts.log.warn({ item: item.id, path: intent.archivePath, from }, 'the archived file is back')
  return from
}

/** The disk may get well, a person may let us read the file, or may find it where we could not look. */
export async function mayComeBack(
  { disk, log, unseen = false }: Pick<HealParts, 'disk' | 'log' | 'unseen'>,
  { archivePath: path, damage }: { archivePath: string; damage: AppError },
): Promise<boolean> {
  if (isUnreadable(damage)) return true
  if (!unseen || (await disk.stat(path)) !== null) return false
  log.warn(
    { path },
    'not called lost: it may lie in the archive where it cannot be looked at, or is taken for another medium’s',
  )
  return true
}

/** What an item is called lost for, and what the log says of it. */
export function lostError(damage: AppError): AppError {
  return new AppError(
    'FILE_MISSING',
    `${damage.message}, and the bucket no longer has the version`,
    { hint: 'restore the file from a backup of the archive' },
  )
}

/** Whatever lies at an archived path, file and sidecar, goes to quarantine: nobody is served it any more. */
export async function setAside(
  parts: Pick<Parts, 'disk' | 'folders' | 'leases' | 'volume'>,
  item: Pick<Item, 'id' | 'epoch'>,
  { archivePath, damage }: { archivePath: string; damage: AppError },
): Promise<void> {
  await parts.volume.verify()
  // What was read and is wrong must not come back, even when our lease is over before it is away.
  const undo = isUnreadable(damage) ? 'always' : 'replaced'
  await quarantine(parts, item, { paths: [archivePath, sidecarPathOf(archivePath)], undo })
}

const SHELVES = [
  ['quarantine', QUARANTINE_FOLDER],
  ['withdrawn', WITHDRAWN_FOLDER],
] as const

/**
 * A disk or a cable that gave wrong bytes once may give the right ones now: looks for the archived bytes in quarantine, among
 * what was withdrawn, and in `places`.
 *
 * @returns where they lie, durable; null when nowhere
 */
export async function findBytes(
  { disk }: Pick<Parts, 'disk'>,
  {
    item,
    archived: { archivePath, sha256 },
    places = [],
  }: {
    item: Pick<Item, 'id'>
    archived: Pick<Intent, 'archivePath' | 'sha256'>
    places?: readonly string[]
  },
  signal: AbortSignal,
): Promise<string | null> {
  const aside: string[] = []
  for (const [area, shelf] of SHELVES)
    for (const name of await disk.list(shelf))
      if (readAsideFolder(area, name) === item.id)
        aside.push(`${shelf}/${name}/${basename(archivePath)}`)
  for (const path of [...aside, ...places]) {
    if (!(await hasBytes(disk, { path, sha256 }, signal))) continue
    await disk.syncFile(path)
    return path
  }
  return null
}

async function hasBytes(
  disk: Parts['disk'],
  { path, sha256 }: { path: string; sha256: string },
  signal: AbortSignal,
): Promise<boolean> {
  try {
    return (await disk.hash(path, signal)).sha256 === sha256
  } catch (error) {
    if (isUnreadable(error) || isAppError(error, 'FILE_MISSING', 'PATH_UNSAFE')) return false
    throw error
  }
}

async function replace(
  parts: Omit<HealParts, 'bucket' | 'second'>,
  { item, intent, damage, from }: Patient & { from: string },
): Promise<void> {
  const { disk, folders, leases } = parts
  const path = intent.archivePath
  await setAside(parts, item, { archivePath: path, damage })
  await folders.ensureAnew(dirname(path))
  const sidecar = await writeSidecar(parts, item, intent)
  try {
    leases.assertAlive(item)
    await putFinal(parts, sidecar, sidecarPathOf(path))
    await putFinal(parts, from, path)
    await disk.syncFolder(dirname(path))
  } finally {
    await disk.unlink(sidecar)
  }
}
