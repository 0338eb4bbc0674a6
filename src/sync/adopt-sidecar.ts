import { randomBytes } from 'node:crypto'
import { dirname } from 'node:path'
import { whyNoArchivePath } from '../archive-path.ts'
import { AppError, isAppError } from '../errors.ts'
import type { AdoptedFile, AdoptedMedia } from '../media.ts'
import {
  buildAdoptedSidecar,
  parseSidecar,
  SIDECAR_MAX_BYTES,
  type Sidecar,
  sidecarPathOf,
} from '../sidecar.ts'
import { placeExclusively } from '../storage/disk.ts'
import { lastWritten } from '../storage/file-io.ts'
import type { Parts } from './parts.ts'
import { writeSidecarAt } from './sidecar-file.ts'
import { TEMPORARY_FOLDER, type Volume } from './volume.ts'

export type AdoptParts = Pick<Parts, 'disk' | 'folders' | 'validate'> & {
  volume: Pick<Volume, 'verify'>
  policy: Pick<Parts['policy'], 'fileMode' | 'version'>
}

/** Which file is whose. */
export interface Binding {
  media: AdoptedMedia
  /** Relative to ARCHIVE_DIR. */
  archivePath: string
}

/** @throws PATH_UNSAFE for a path that no link can name */
export function requireServable(archivePath: string): void {
  const unfit = whyNoArchivePath(archivePath)
  if (unfit === null) return
  throw new AppError('PATH_UNSAFE', `${archivePath} ${unfit}`, {
    hint: 'nothing is renamed here: give the file another name yourself, then adopt it',
  })
}

/**
 * @returns null when there is nothing under the sidecar's name
 * @throws NAME_TAKEN when what is there is no sidecar, or says other ids
 */
export async function readOwnSidecar(
  { disk }: Pick<AdoptParts, 'disk'>,
  { archivePath, media }: Binding,
): Promise<Sidecar | null> {
  const path = sidecarPathOf(archivePath)
  const bytes = await disk.read(path, SIDECAR_MAX_BYTES)
  if (bytes === null) return null
  const sidecar = parseOrRefuse(bytes, path)
  const { media_id: mediaId, user_id: userId, archive_path: describes } = sidecar
  if (mediaId === media.mediaId && userId === media.userId && describes === archivePath)
    return sidecar
  const owner = `media ${mediaId} of user ${userId ?? 'unknown'}`
  throw taken(`${path} says already that ${describes} is ${owner}`)
}

function parseOrRefuse(bytes: Buffer, path: string): Sidecar {
  try {
    return parseSidecar(bytes)
  } catch (cause) {
    throw taken(`${path} is there already and is no sidecar, or a damaged one`, cause)
  }
}

/** @throws NAME_TAKEN unless the sidecar describes these bytes */
export function requireSameBytes(
  sidecar: Sidecar,
  found: { sha256: string; sizeBytes: number },
): void {
  if (sidecar.sha256 === found.sha256 && sidecar.bytes === found.sizeBytes) return
  throw taken(`${sidecarPathOf(sidecar.archive_path)} is there already and describes other bytes`)
}

function taken(message: string, cause?: unknown): AppError {
  return new AppError('NAME_TAKEN', message, {
    cause,
    hint: 'nothing was changed; if it is wrong, move it away and adopt the file again',
  })
}

/** Makes a sidecar under its final name; what has that name already is not touched. @throws NAME_TAKEN */
export async function placeSidecar(
  parts: AdoptParts,
  { media, file }: { media: AdoptedMedia; file: AdoptedFile },
): Promise<void> {
  const { disk, policy } = parts
  const temporary = newTemporary('json')
  const sidecar = buildAdoptedSidecar({ media, file, version: policy.version })
  await writeSidecarAt(parts, temporary, sidecar)
  try {
    await placeExclusively(disk, temporary, sidecarPathOf(file.archivePath))
  } catch (error) {
    // Somebody was faster: what it says is the better message.
    if (isAppError(error, 'NAME_TAKEN')) await readOwnSidecar(parts, { media, ...file })
    throw error
  } finally {
    await disk.unlink(temporary)
  }
}

/** Makes file, sidecar and their names durable, whoever wrote them. */
export async function makeBothDurable(
  { disk, folders }: Pick<AdoptParts, 'disk' | 'folders'>,
  archivePath: string,
): Promise<void> {
  const folder = dirname(archivePath)
  await folders.ensure(folder)
  await disk.syncFile(archivePath)
  await disk.syncFile(sidecarPathOf(archivePath))
  await disk.syncFolder(folder)
}

const TEMPORARY_NAME = /^adopt-[0-9a-f]{16}\.(?:json|part)$/
/** No copy is read back for so long after its last byte was written. */
export const ABANDONED_AFTER_MS = 24 * 3_600_000

export function newTemporary(extension: 'json' | 'part'): string {
  return `${TEMPORARY_FOLDER}/adopt-${randomBytes(8).toString('hex')}.${extension}`
}

/** What adoptions left that were killed. No item owns these files, so only their age tells that nobody writes them. */
export async function abandonedAdoptions(
  { disk }: { disk: Pick<AdoptParts['disk'], 'root' | 'list'> },
  now: Date,
): Promise<string[]> {
  const found: string[] = []
  for (const name of await disk.list(TEMPORARY_FOLDER)) {
    if (!TEMPORARY_NAME.test(name)) continue
    const path = `${TEMPORARY_FOLDER}/${name}`
    const written = await lastWritten(disk.root, path)
    if (written === null || now.getTime() - written.getTime() < ABANDONED_AFTER_MS) continue
    found.push(path)
  }
  return found
}

/** Removes {@link abandonedAdoptions}. @returns their paths */
export async function sweepAdoptions(
  { disk }: Pick<AdoptParts, 'disk'>,
  now: Date,
): Promise<string[]> {
  const abandoned = await abandonedAdoptions({ disk }, now)
  for (const path of abandoned) await disk.unlink(path)
  return abandoned
}
