import { randomUUID } from 'node:crypto'
import { z } from 'zod'
import { MARKER_PATH, PRIVATE_FOLDER, SHADOW_MARKER_PATH } from '../archive-path.ts'
import { AppError, isAppError } from '../errors.ts'
import type { Disk } from '../storage/disk.ts'
import type { DurableFolders } from '../storage/folders.ts'

const markerSchema = z.object({
  schema_version: z.literal(1),
  id: z.uuid(),
  created_at: z.string(),
})

/**
 * Which archive the volume carries.
 *
 * @returns null when it carries none
 * @throws VOLUME_FOREIGN for a marker that is torn, and in the test folder of shadow mode
 */
export async function readMarker(disk: Disk): Promise<{ id: string } | null> {
  const text = await disk.read(MARKER_PATH, 4096)
  if (text === null) return refuseTestFolder(disk)
  try {
    return markerSchema.parse(JSON.parse(text.toString('utf8')))
  } catch (cause) {
    throw new AppError(
      'VOLUME_FOREIGN',
      `${disk.root}/${MARKER_PATH} is not a marker of an archive`,
      {
        cause,
        hint: 'restore it from a backup of the archive, or mount the right volume',
      },
    )
  }
}

/** What lies in a SHADOW_DIR belongs to no item, and its copies may be gone. */
async function refuseTestFolder(disk: Disk): Promise<null> {
  if ((await disk.stat(SHADOW_MARKER_PATH)) === null) return null
  throw new AppError('VOLUME_FOREIGN', `${disk.root} is the test folder of a run in shadow mode`, {
    hint: 'set ARCHIVE_DIR to the archive itself; the test folder may be removed after the cut-over',
  })
}

/**
 * @returns the device that the marker of archive `id` lies on
 * @throws VOLUME_MISSING, VOLUME_FOREIGN
 */
export async function verifyMarker(disk: Disk, id: string): Promise<{ device: number }> {
  const marker = await readMarker(disk)
  if (marker === null)
    throw new AppError(
      'VOLUME_MISSING',
      `${disk.root} is not the archive: it has no marker (expected ${id})`,
      {
        hint: `mount the volume of archive ${id} at ARCHIVE_DIR; "strongroom doctor" shows what is there now`,
      },
    )
  if (marker.id !== id)
    throw new AppError(
      'VOLUME_FOREIGN',
      `${disk.root} carries archive ${marker.id}, expected ${id}`,
      {
        hint: `mount the volume of archive ${id} at ARCHIVE_DIR, or run "strongroom accept-volume" if this one is right`,
      },
    )
  const facts = await disk.stat(MARKER_PATH)
  if (facts === null)
    throw new AppError('VOLUME_MISSING', `${disk.root} went away just now (expected ${id})`)
  return { device: facts.device }
}

/** Writes the marker of archive `id`, whole or not at all. */
export async function writeMarker(
  { disk, folders }: { disk: Disk; folders: DurableFolders },
  id: string,
): Promise<void> {
  await folders.ensure(PRIVATE_FOLDER)
  const temporary = `${PRIVATE_FOLDER}/archive.${randomUUID()}.tmp`
  const file = await disk.create(temporary)
  try {
    const marker = { schema_version: 1, id, created_at: new Date().toISOString() }
    await file.write(Buffer.from(`${JSON.stringify(marker, null, 2)}\n`))
    await file.seal(0o644)
    await placeMarker(disk, temporary)
    await disk.syncFolder(PRIVATE_FOLDER)
  } finally {
    await file.close()
    await disk.unlink(temporary)
  }
}

async function placeMarker(disk: Disk, temporary: string): Promise<void> {
  try {
    await disk.link(temporary, MARKER_PATH)
  } catch (error) {
    // Another node was faster; it wrote the same id, because the row decided.
    if (isAppError(error, 'NAME_TAKEN')) return
    if (!isAppError(error, 'LINK_REFUSED')) throw error
    await disk.rename(temporary, MARKER_PATH)
  }
}
