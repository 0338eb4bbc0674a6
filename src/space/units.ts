import { isAppError } from '../errors.ts'
import {
  type Area,
  copyNameOf,
  isReportOf,
  readAsideFolder,
  readRejectedName,
  reportNameOf,
} from '../set-aside.ts'
import { parseSidecar, SIDECAR_MAX_BYTES, sidecarPathOf } from '../sidecar.ts'
import type { Disk } from '../storage/disk.ts'
import { lastWritten } from '../storage/file-io.ts'
import { type SeenFile, seeFile } from '../storage/removal.ts'

/** Where files of one area lie. */
export interface Shelf {
  area: Area
  disk: Pick<Disk, 'root' | 'list' | 'stat' | 'read'>
  /** Relative to the disk's root, '' for all of it. */
  folder: string
}

/** What was set aside together, and goes together: a copy with its report, or all of one folder. */
export interface Unit {
  shelf: Shelf
  /** Relative to the disk's root: the folder, or the copy. */
  path: string
  /** What its name says. */
  item: number
  /** What it is by its name, or by the sidecars beside all its files, which alone tell its bytes; null where they do not. */
  of: { mediaId: number; sha256: string | null } | null
  files: SeenFile[]
  bytes: number
  /** When the last of it came there. */
  since: Date
}

/** Of one file: it stays, and is no reason to make no room. */
const UNREADABLE = ['PATH_UNSAFE', 'DISK_DENIED', 'DISK_SICK'] as const

/** What lies there and is never touched. */
export interface Stranger {
  path: string
  reason: string
}

/** Lists what lies on a shelf; anything whose name Strongroom did not give is a stranger. */
export async function listShelf(shelf: Shelf): Promise<{ units: Unit[]; strangers: Stranger[] }> {
  const found = { units: [] as Unit[], strangers: [] as Stranger[] }
  const names = await shelf.disk.list(shelf.folder)
  const wholes =
    shelf.area === 'errors' ? [...new Set(names.map(copyNameOf))].sort() : names.toSorted()
  for (const name of wholes) {
    const unit =
      shelf.area === 'errors'
        ? await rejectedUnit(shelf, name, names)
        : await folderUnit(shelf, name)
    if (unit === null) continue
    if ('files' in unit) found.units.push(unit)
    else found.strangers.push(unit)
  }
  return found
}

async function rejectedUnit(
  shelf: Shelf,
  name: string,
  names: readonly string[],
): Promise<Unit | Stranger | null> {
  const says = readRejectedName(name)
  const report = reportNameOf(name)
  const own = [name, report].filter((file) => names.includes(file))
  if (says === null) return { path: own[0] ?? name, reason: 'Strongroom gives no such name' }
  // An uploader may choose such a name, and ERROR_DIR may be a folder that ARCHIVE_LAYOUT files into.
  if (!isReportOf(name, await readIfThere(shelf, report)))
    return { path: name, reason: 'no report of Strongroom’s lies beside it' }
  const { item, mediaId } = says
  return unitOf(shelf, { path: name, item, of: { mediaId, sha256: null } }, own)
}

/** @returns '' for what is gone, too large, unreadable or no file: then nothing is known of what lies beside it, which stays */
async function readIfThere({ disk }: Shelf, path: string): Promise<string> {
  try {
    return String((await disk.read(path, SIDECAR_MAX_BYTES)) ?? '')
  } catch (error) {
    if (isAppError(error, ...UNREADABLE)) return ''
    throw error
  }
}

async function folderUnit(shelf: Shelf, name: string): Promise<Unit | Stranger | null> {
  const path = `${shelf.folder}/${name}`
  const item = shelf.area === 'errors' ? null : readAsideFolder(shelf.area, name)
  const facts = await shelf.disk.stat(path)
  if (facts === null) return null
  if (item === null || facts.kind !== 'folder')
    return { path, reason: 'Strongroom gives no such name' }
  const inside = (await shelf.disk.list(path)).map((file) => `${path}/${file}`)
  const of = await describedBy(shelf, inside)
  const unit = await unitOf(shelf, { path, item, of }, inside)
  if (unit === null || !('files' in unit)) return unit
  const changedAt = await lastWritten(shelf.disk.root, path)
  return changedAt !== null && changedAt > unit.since ? { ...unit, since: changedAt } : unit
}

/** @returns null unless a good sidecar belongs to each file, and all say the same */
async function describedBy(shelf: Shelf, paths: readonly string[]): Promise<Unit['of']> {
  const [first, ...more] = new Set(paths.map((path) => path.replace(/\.json$/, '')))
  if (first === undefined) return null
  const of = await sidecarOf(shelf, first)
  for (const path of more) {
    const other = await sidecarOf(shelf, path)
    if (other?.mediaId !== of?.mediaId || other?.sha256 !== of?.sha256) return null
  }
  return of
}

async function sidecarOf(shelf: Shelf, path: string): Promise<Unit['of']> {
  try {
    const { media_id: mediaId, sha256 } = parseSidecar(
      await readIfThere(shelf, sidecarPathOf(path)),
    )
    return { mediaId, sha256 }
  } catch (error) {
    if (isAppError(error, 'SIDECAR_INVALID')) return null
    throw error
  }
}

async function unitOf(
  shelf: Shelf,
  { path, item, of }: Pick<Unit, 'path' | 'item' | 'of'>,
  paths: readonly string[],
): Promise<Unit | Stranger | null> {
  const files: SeenFile[] = []
  for (const one of paths) {
    try {
      const seen = await seeFile(shelf.disk.root, one)
      if (seen !== null) files.push(seen)
    } catch (error) {
      if (!isAppError(error, ...UNREADABLE)) throw error
      return { path: one, reason: 'it is no file, or may not be read' }
    }
  }
  const bytes = files.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0)
  const since = new Date(Math.max(0, ...files.map(({ modifiedAt }) => modifiedAt.getTime())))
  return { shelf, path, item, of, files, bytes, since }
}
