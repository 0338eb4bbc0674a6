import { randomUUID } from 'node:crypto'
import { PRIVATE_FOLDER } from '../archive-path.ts'
import type { ArchiveRow, Archives } from '../db/archives.ts'
import { AppError, isAppError } from '../errors.ts'
import type { Disk } from '../storage/disk.ts'
import type { DurableFolders } from '../storage/folders.ts'
import { readMarker, verifyMarker, writeMarker } from './marker.ts'
import { inSharedTurns } from './shared-turns.ts'

export const TEMPORARY_FOLDER = `${PRIVATE_FOLDER}/tmp`
export const WITHDRAWN_FOLDER = `${PRIVATE_FOLDER}/withdrawn`
export const QUARANTINE_FOLDER = `${PRIVATE_FOLDER}/quarantine`

/** The archive volume, known by the id in its marker file. */
export interface Volume {
  readonly id: string
  /** False where the file system refuses hard links: publishing then renames. */
  readonly canLink: boolean
  /**
   * Reads the marker now; one reading that begins after several asked is for all of them.
   *
   * @returns the device it lies on, for comparison with a stored file's
   * @throws VOLUME_MISSING, VOLUME_FOREIGN
   */
  verify(): Promise<{ device: number }>
  /**
   * Told of every write to the archive, and of what recovery reads there: null when it went well. The second failure in a row
   * is latched in the database.
   *
   * @throws DISK_SICK when this latched it
   */
  noteWrite(failure: AppError | null): Promise<void>
}

export interface VolumeParts {
  disk: Disk
  folders: DurableFolders
  archives: Archives
  /** `memory` file systems (tmpfs, overlay …) are never taken for a new archive by themselves. */
  fileSystem: 'disk' | 'memory'
}

/**
 * Opens the archive that the database knows, and makes one on the very first start.
 *
 * The database row comes first and decides between nodes that start together; the marker file follows under the row's id.
 *
 * @throws VOLUME_MISSING, VOLUME_FOREIGN, VOLUME_UNCLAIMED (marker without a row), VOLUME_EPHEMERAL, DISK_SICK
 */
export async function openVolume(parts: VolumeParts): Promise<Volume> {
  const row = await parts.archives.find()
  if (row?.initialised !== true) await initialise(parts, { evenInMemory: false })
  const known = await parts.archives.find()
  if (known === null) throw new AppError('INTERNAL', 'the archive row vanished while it was made')
  if (known.sick !== null)
    throw new AppError('DISK_SICK', `the archive disk failed: ${known.sick.reason}`, {
      hint: 'check the disk, then run "strongroom accept-volume" to go on',
    })
  const { disk, archives } = parts
  await verifyMarker(disk, known.id)
  await ensurePrivateFolders(parts)
  const verify = inSharedTurns((id) => verifyMarker(disk, id))
  return {
    id: known.id,
    canLink: await probeLinks(disk),
    verify: () => verify(known.id),
    noteWrite: createWriteJudge(archives),
  }
}

export function noArchiveYet(): AppError {
  return new AppError('VOLUME_UNCLAIMED', 'there is no archive in this database yet', {
    hint: 'run "strongroom sync --once" or "strongroom init-volume" first',
  })
}

/**
 * The archive that the database knows, for those who write nothing to it.
 *
 * @throws VOLUME_MISSING, VOLUME_FOREIGN, VOLUME_UNCLAIMED (marker without a row, or neither)
 */
export async function openVolumeToRead({
  disk,
  archives,
}: Pick<VolumeParts, 'disk' | 'archives'>): Promise<Pick<Volume, 'id' | 'verify'>> {
  const row = await archives.find()
  if (row?.initialised !== true) {
    const marker = await readMarker(disk)
    throw marker === null || marker.id === row?.id ? noArchiveYet() : unclaimed(disk, marker.id)
  }
  await verifyMarker(disk, row.id)
  return { id: row.id, verify: () => verifyMarker(disk, row.id) }
}

/**
 * Opens the archive by its marker alone, for what needs no database; whose archive it is cannot be told then.
 *
 * @throws VOLUME_MISSING, VOLUME_FOREIGN (a marker that cannot be read)
 */
export async function openVolumeAlone(
  parts: Pick<VolumeParts, 'disk' | 'folders'>,
): Promise<Pick<Volume, 'id' | 'verify'>> {
  const marker = await readMarker(parts.disk)
  if (marker === null)
    throw new AppError('VOLUME_MISSING', `${parts.disk.root} holds no archive: it has no marker`, {
      hint: 'mount the archive at ARCHIVE_DIR; a new one is made by the first sync, or by "strongroom init-volume" (--no-database where there is none)',
    })
  await ensurePrivateFolders(parts)
  return { id: marker.id, verify: () => verifyMarker(parts.disk, marker.id) }
}

/**
 * `strongroom init-volume --no-database`: an archive for a file server that stands alone. One that has an identity keeps it.
 *
 * @returns its id
 */
export async function initVolumeAlone(
  parts: Pick<VolumeParts, 'disk' | 'folders'>,
): Promise<string> {
  if ((await readMarker(parts.disk)) === null) await writeMarker(parts, randomUUID())
  // Another one may have been faster, and no row decides whose id it is.
  const marker = await readMarker(parts.disk)
  if (marker !== null) return marker.id
  throw new AppError('VOLUME_MISSING', `${parts.disk.root} went away just now`)
}

/** `strongroom init-volume`: also where the file system looks like memory. @returns the archive's id */
export async function initVolume(parts: VolumeParts): Promise<string> {
  const row = await parts.archives.find()
  if (row?.initialised === true) {
    await verifyMarker(parts.disk, row.id)
    return row.id
  }
  return initialise(parts, { evenInMemory: true })
}

/** `strongroom accept-volume`: the marker on the volume becomes the database's; also clears a latched disk failure. */
export async function acceptVolume({ disk, archives }: VolumeParts): Promise<string> {
  const marker = await readMarker(disk)
  if (marker === null)
    throw new AppError(
      'VOLUME_MISSING',
      `there is no archive to accept: ${disk.root} has no marker`,
      {
        hint: 'mount the archive at ARCHIVE_DIR; for a new, empty archive run "strongroom init-volume"',
      },
    )
  await archives.accept(marker.id)
  await archives.clearSick()
  return marker.id
}

async function initialise(parts: VolumeParts, options: { evenInMemory: boolean }): Promise<string> {
  const { archives } = parts
  const marker = await refuseToInitialise(parts, await archives.find(), options)
  await archives.insert(randomUUID())
  const made = await archives.find()
  if (made === null) throw new AppError('INTERNAL', 'the archive row vanished while it was made')
  if (marker === null) await writeMarker(parts, made.id)
  await archives.markInitialised(made.id)
  return made.id
}

/**
 * @param row what the database knows of an archive that was never initialised
 * @returns the marker that is there already
 * @throws why none may be made here: VOLUME_UNCLAIMED, VOLUME_FOREIGN, VOLUME_EPHEMERAL
 */
export async function refuseToInitialise(
  { disk, fileSystem }: Pick<VolumeParts, 'disk' | 'fileSystem'>,
  row: Pick<ArchiveRow, 'id'> | null,
  options: { evenInMemory: boolean },
): Promise<Awaited<ReturnType<typeof readMarker>>> {
  const marker = await readMarker(disk)
  if (marker !== null && row?.id !== marker.id)
    throw unclaimed(disk, marker.id, row === null ? 'VOLUME_UNCLAIMED' : 'VOLUME_FOREIGN')
  if (marker === null && fileSystem === 'memory' && !options.evenInMemory)
    throw new AppError('VOLUME_EPHEMERAL', `${disk.root} looks like memory, not like a disk`, {
      hint: 'mount the archive at ARCHIVE_DIR; if it is meant to be there, run "strongroom init-volume"',
    })
  return marker
}

function unclaimed(
  { root }: Pick<Disk, 'root'>,
  id: string,
  code: 'VOLUME_UNCLAIMED' | 'VOLUME_FOREIGN' = 'VOLUME_UNCLAIMED',
): AppError {
  return new AppError(code, `${root} carries archive ${id}, which this database does not know`, {
    hint: 'if this is the right archive for this database, run "strongroom accept-volume"',
  })
}

async function ensurePrivateFolders({ folders }: Pick<VolumeParts, 'folders'>): Promise<void> {
  for (const folder of [TEMPORARY_FOLDER, WITHDRAWN_FOLDER, QUARANTINE_FOLDER])
    await folders.ensure(folder)
}

const PROBE_TRIES = 5

/** Whether this file system has hard links for us. */
export async function probeLinks(disk: Disk): Promise<boolean> {
  for (let tries = 1; ; tries++) {
    try {
      return await tryLink(disk, `${TEMPORARY_FOLDER}/link-probe.${randomUUID()}`)
    } catch (error) {
      // Another node's sweep took it for what a killed start left.
      if (!isAppError(error, 'FILE_MISSING') || tries === PROBE_TRIES) throw error
    }
  }
}

/** True for the name of a file that only shows whether links are possible. */
export function isLinkProbe(name: string): boolean {
  return /^link-probe\.[0-9a-f-]{36}(?:\.2)?$/.test(name)
}

/** With a file of our own: systems with protected_hardlinks refuse to link another user's, such as the marker may be. */
async function tryLink(disk: Disk, name: string): Promise<boolean> {
  const file = await disk.create(name)
  await file.close()
  try {
    await disk.link(name, `${name}.2`)
    return true
  } catch (error) {
    if (isAppError(error, 'LINK_REFUSED')) return false
    throw error
  } finally {
    await disk.unlink(name)
    await disk.unlink(`${name}.2`)
  }
}

function createWriteJudge(archives: Archives): Volume['noteWrite'] {
  let failures = 0
  return async (failure) => {
    if (failure === null) {
      failures = 0
      return
    }
    failures += 1
    if (failures < 2) return
    await archives.latchSick(failure.message)
    throw new AppError('DISK_SICK', `the archive disk failed twice in a row: ${failure.message}`, {
      cause: failure,
      hint: 'nothing is claimed, recorded or released until the disk is checked and "strongroom accept-volume" is run',
    })
  }
}
