import { z } from 'zod'
import { PRIVATE_FOLDER, SHADOW_MARKER_PATH } from '../archive-path.ts'
import { AppError } from '../errors.ts'
import type { Disk } from '../storage/disk.ts'
import type { DurableFolders } from '../storage/folders.ts'
import { RECORD_FOLDER } from './records.ts'

const markerSchema = z.object({
  schema_version: z.literal(1),
  started_at: z.iso.datetime(),
  started_at_here: z.iso.datetime(),
  database: z.string(),
  bucket: z.string(),
})

/** Since when, and beside what, a SHADOW_DIR has been filled. */
export interface Shadow {
  /** By the database's clock: rows and audit rows from then on are compared. */
  startedAt: Date
  /** By this machine's clock: files from then on are compared. */
  startedHere: Date
}

/** What the comparison is of; another database or bucket needs another SHADOW_DIR. */
export interface Beside {
  /** `host:port/name` */
  database: string
  /** {@link Bucket.id} */
  bucket: string
}

/**
 * Opens SHADOW_DIR, and begins it when it is empty.
 *
 * @throws VOLUME_FOREIGN for a folder with other files in it, or of another database or bucket
 */
export async function openShadow(
  { disk, folders }: { disk: Disk; folders: DurableFolders },
  beside: Beside,
  begin: { databaseTime: () => Promise<Date> },
): Promise<Shadow> {
  const found = await findShadow(disk, beside)
  await folders.ensure(`${PRIVATE_FOLDER}/tmp`)
  await folders.ensure(RECORD_FOLDER)
  if (found !== null) return found
  const startedAt = await begin.databaseTime()
  const shadow: Shadow = { startedAt, startedHere: new Date() }
  await writeMarker(disk, shadow, beside)
  return shadow
}

/** @returns null for a folder that is empty, as far as can be told; @throws VOLUME_FOREIGN */
export async function findShadow(
  disk: Pick<Disk, 'root' | 'read' | 'list'>,
  beside: Beside,
): Promise<Shadow | null> {
  const text = await disk.read(SHADOW_MARKER_PATH, 4096)
  if (text === null) {
    await requireEmpty(disk)
    return null
  }
  const marker = parseMarker(disk, text.toString('utf8'))
  for (const part of ['database', 'bucket'] as const)
    if (marker[part] !== beside[part])
      throw new AppError(
        'VOLUME_FOREIGN',
        `SHADOW_DIR ${disk.root} is of the ${part} ${marker[part]}, not of ${beside[part]}`,
        { hint: 'use an empty folder for each database and bucket that is shadowed' },
      )
  return {
    startedAt: new Date(marker.started_at),
    startedHere: new Date(marker.started_at_here),
  }
}

function parseMarker({ root }: Pick<Disk, 'root'>, text: string): z.infer<typeof markerSchema> {
  try {
    return markerSchema.parse(JSON.parse(text))
  } catch (cause) {
    throw new AppError('VOLUME_FOREIGN', `${root}/${SHADOW_MARKER_PATH} is damaged`, {
      cause,
      hint: 'begin again with an empty SHADOW_DIR',
    })
  }
}

/** An archive, or anything else that somebody wants to keep, is no place for a test. */
async function requireEmpty(disk: Pick<Disk, 'root' | 'list'>): Promise<void> {
  const unmarked = (await disk.list(PRIVATE_FOLDER)).filter(
    (name) => name !== 'tmp' && name !== 'records',
  )
  const others = (await disk.list('')).filter(
    (name) => name !== PRIVATE_FOLDER && name !== 'lost+found',
  )
  const [first] = [...unmarked, ...others]
  if (first === undefined) return
  throw new AppError('VOLUME_FOREIGN', `SHADOW_DIR ${disk.root} is not empty: it has ${first}`, {
    hint: 'give shadow mode an empty folder of its own',
  })
}

async function writeMarker(disk: Disk, shadow: Shadow, beside: Beside): Promise<void> {
  const marker: z.infer<typeof markerSchema> = {
    schema_version: 1,
    started_at: shadow.startedAt.toISOString(),
    started_at_here: shadow.startedHere.toISOString(),
    ...beside,
  }
  const file = await disk.create(SHADOW_MARKER_PATH)
  try {
    await file.write(Buffer.from(`${JSON.stringify(marker, null, 2)}\n`))
    await file.seal(0o644)
    await disk.syncFolder(PRIVATE_FOLDER)
  } finally {
    await file.close()
  }
}
