import { createHash } from 'node:crypto'
import { dirname, join } from 'node:path'
import { AppError, isAppError } from '../errors.ts'
import type { AdoptedFile } from '../media.ts'
import { adoptedFileOf, sidecarPathOf } from '../sidecar.ts'
import { placeExclusively } from '../storage/disk.ts'
import type { NewFile } from '../storage/new-file.ts'
import { type PinnedFile, pinInside } from '../storage/pinned-file.ts'
import {
  type AdoptParts,
  type Binding,
  makeBothDurable,
  newTemporary,
  placeSidecar,
  readOwnSidecar,
  requireSameBytes,
  requireServable,
} from './adopt-sidecar.ts'
import { type FoundType, findType } from './adopt-type.ts'

export interface AdoptOrder extends Binding {
  /** Refuses what the probe does not know as media. */
  strict: boolean
  /** What the file must be, as far as somebody knows. */
  expected?: { sha256: string | null; sizeBytes: number | null }
  signal?: AbortSignal
}

export interface Adopted {
  /** `already`: a sidecar says exactly this of exactly these bytes. */
  outcome: 'adopted' | 'already'
  file: AdoptedFile
  /** Why the probe does not know it; null when it does, or was not asked. */
  unknown: string | null
}

/**
 * Gives a file that lies in the archive its sidecar. The file is read and synced, never written to, moved or renamed.
 *
 * @throws PATH_UNSAFE, FILE_MISSING, FILE_CHANGED, NAME_TAKEN (a sidecar that says something else), ARCHIVE_DAMAGED (not
 *   what was expected), ARCHIVE_UNREADABLE (the disk does not give it), MEDIA_INVALID (strict), PROBE_MISSING, VOLUME_*,
 *   DISK_*, CANCELLED
 */
export async function adoptInPlace(parts: AdoptParts, order: AdoptOrder): Promise<Adopted> {
  const { archivePath, media } = order
  requireServable(archivePath)
  const pinned = await pinInside(parts.disk.root, archivePath)
  try {
    const sidecar = await readOwnSidecar(parts, order)
    const { sizeBytes } = pinned
    const sha256 = await digestOf(pinned, order)
    requireExpected(order, { sha256, sizeBytes })
    if (sidecar) {
      requireSameBytes(sidecar, { sha256, sizeBytes })
      await makeBothDurable(parts, archivePath)
      return { outcome: 'already', file: adoptedFileOf(sidecar), unknown: null }
    }
    const type = await requireType(parts, order, { path: pinned.neutralPath, sizeBytes })
    await requireUnchanged(pinned)
    const file = describe(order, { sha256, sizeBytes, type })
    await parts.volume.verify()
    // Whoever put it there need not have synced it.
    await parts.disk.syncFile(archivePath)
    await parts.folders.ensure(dirname(archivePath))
    await placeSidecar(parts, { media, file })
    await parts.disk.syncFolder(dirname(archivePath))
    return { outcome: 'adopted', file, unknown: type.unknown }
  } finally {
    await pinned.close()
  }
}

/**
 * Copies a file into the archive under a name of its own, as safely as publishing does: the copy is synced and read again,
 * its sidecar appears, then the copy itself. The original stays as it is, and nothing in the archive is overwritten.
 *
 * @throws what {@link adoptInPlace} does; DISK_FULL; NAME_TAKEN also for another file at that place
 */
export async function adoptCopy(
  parts: AdoptParts,
  order: AdoptOrder & { from: PinnedFile },
): Promise<Adopted> {
  const { archivePath, from } = order
  const { disk } = parts
  requireServable(archivePath)
  const sidecar = await readOwnSidecar(parts, order)
  if ((await disk.stat(archivePath)) !== null) {
    if (sidecar === null)
      throw new AppError('NAME_TAKEN', `${archivePath} is there already, and is nobody's`)
    requireSameBytes(sidecar, { sha256: await digestOf(from, order), sizeBytes: from.sizeBytes })
    return adoptInPlace(parts, order)
  }
  await requireRoom(parts, from.sizeBytes)
  const part = newTemporary('part')
  try {
    const sha256 = await copyTo(parts, part, order)
    if (sidecar) requireSameBytes(sidecar, { sha256, sizeBytes: from.sizeBytes })
    const found = { sha256, sizeBytes: from.sizeBytes }
    const type = await requireType(parts, order, { ...found, path: join(disk.root, part) })
    const file = sidecar ? adoptedFileOf(sidecar) : describe(order, { ...found, type })
    await publishCopy(parts, { ...order, part, file, describes: sidecar !== null })
    return { outcome: 'adopted', file, unknown: type.unknown }
  } finally {
    await disk.unlink(part)
  }
}

/** @returns the SHA-256 of what was read, once what was written has been read back with the same */
async function copyTo(
  { disk, policy }: AdoptParts,
  path: string,
  { from, signal }: Pick<AdoptOrder, 'signal'> & { from: PinnedFile },
): Promise<string> {
  const digest = createHash('sha256')
  const copy: NewFile = await disk.create(path)
  try {
    for await (const chunk of from.chunks(signal)) {
      digest.update(chunk)
      await copy.write(chunk)
    }
    await copy.seal(policy.fileMode)
  } catch (error) {
    await copy.close()
    throw error
  }
  await requireUnchanged(from)
  const sha256 = digest.digest('hex')
  const written = await disk.hash(path, signal)
  if (written.sha256 === sha256 && written.sizeBytes === from.sizeBytes) return sha256
  throw new AppError('DISK_SICK', 'the copy in the archive is not what was read from the original')
}

/** The sidecar first: without its file it is harmless, a file without its sidecar would be nobody's. */
async function publishCopy(
  parts: AdoptParts,
  copy: Binding & { part: string; file: AdoptedFile; describes: boolean },
): Promise<void> {
  const { disk, folders, volume } = parts
  const { archivePath, media, file } = copy
  await volume.verify()
  await folders.ensure(dirname(archivePath))
  if (!copy.describes) await placeSidecar(parts, { media, file })
  try {
    await placeExclusively(disk, copy.part, archivePath)
  } catch (error) {
    // A foreign file came between: our sidecar must not describe it.
    if (isAppError(error, 'NAME_TAKEN') && !copy.describes && !(await isOurs(disk, file))) {
      await disk.unlink(sidecarPathOf(archivePath))
      await disk.syncFolder(dirname(archivePath))
    }
    throw error
  }
  await disk.syncFolder(dirname(archivePath))
}

/** Whether what lies there has these bytes, or soon may: an empty file holds a name for whoever adopts without hard links. */
async function isOurs(
  disk: AdoptParts['disk'],
  { archivePath, sizeBytes, sha256 }: AdoptedFile,
): Promise<boolean> {
  const facts = await disk.stat(archivePath)
  if (facts?.kind !== 'file') return false
  if (facts.sizeBytes !== sizeBytes) return facts.sizeBytes === 0
  return (await disk.hash(archivePath)).sha256 === sha256
}

async function requireRoom({ disk }: AdoptParts, sizeBytes: number): Promise<void> {
  const { freeBytes } = await disk.room()
  if (freeBytes > sizeBytes) return
  throw new AppError(
    'DISK_FULL',
    `the copy needs ${sizeBytes} bytes, and ${disk.root} has only ${freeBytes} free`,
  )
}

async function requireType(
  { validate }: AdoptParts,
  { archivePath, strict, signal }: AdoptOrder,
  file: { path: string; sizeBytes: number },
): Promise<FoundType> {
  const { path: absolutePath, sizeBytes } = file
  const type = await findType({ absolutePath, sizeBytes, ...(signal && { signal }) }, validate)
  if (type.unknown === null || !strict) return type
  throw new AppError('MEDIA_INVALID', `${archivePath}: ${type.unknown}`, {
    hint: 'leave out --strict to adopt it all the same',
  })
}

function requireExpected(
  { archivePath, expected }: AdoptOrder,
  found: { sha256: string; sizeBytes: number },
): void {
  const wrong = (['sizeBytes', 'sha256'] as const).find(
    (fact) => (expected?.[fact] ?? found[fact]) !== found[fact],
  )
  if (wrong === undefined) return
  const name = { sizeBytes: 'size in bytes', sha256: 'SHA-256' }[wrong]
  throw new AppError(
    'ARCHIVE_DAMAGED',
    `the ${name} of ${archivePath} is ${found[wrong]}, and not ${expected?.[wrong]} as it was recorded`,
  )
}

async function requireUnchanged(file: PinnedFile): Promise<void> {
  if (await file.isUnchanged()) return
  throw new AppError('FILE_CHANGED', `${file.realPath} was changed while it was read`)
}

async function digestOf(file: PinnedFile, { signal }: Pick<AdoptOrder, 'signal'>): Promise<string> {
  const digest = createHash('sha256')
  try {
    for await (const chunk of file.chunks(signal)) digest.update(chunk)
  } catch (cause) {
    // One bad sector says nothing of the other files; a failed sync would.
    if (!isAppError(cause, 'DISK_SICK')) throw cause
    throw new AppError('ARCHIVE_UNREADABLE', cause.message, { cause })
  }
  return digest.digest('hex')
}

function describe(
  { archivePath }: Binding,
  { sha256, sizeBytes, type }: { sha256: string; sizeBytes: number; type: FoundType },
): AdoptedFile {
  const { mimeType, kind, probe } = type
  return { archivePath, sizeBytes, sha256, mimeType, kind, probe, adoptedAt: new Date() }
}
