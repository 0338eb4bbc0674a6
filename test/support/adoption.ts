import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { lstat, mkdir, readdir, readFile, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { parseSidecar, type Sidecar } from '../../src/sidecar.ts'
import { type Disk, openDisk } from '../../src/storage/disk.ts'
import { createDurableFolders } from '../../src/storage/folders.ts'
import type { AdoptOrder } from '../../src/sync/adopt.ts'
import type { AdoptParts } from '../../src/sync/adopt-sidecar.ts'
import { type Validate, validate } from '../../src/sync/validate.ts'
import { initVolumeAlone, openVolumeAlone } from '../../src/sync/volume.ts'
import { createProbe } from '../../src/tools/ffprobe.ts'
import { mediaFile } from './media-files.ts'
import { type Scope, withFolder } from './scopes.ts'

/** Real media, as small as they come. */
export const film = readFileSync(await mediaFile('mp4'))
export const otherFilm = readFileSync(await mediaFile('webm'))
export const sound = readFileSync(await mediaFile('mp3'))
export const picture = readFileSync(await mediaFile('jpeg'))

const probe = createProbe({ path: 'ffprobe' })
export const realValidate: Validate = (file) => validate({ ...file, probe })

export interface Rig {
  root: string
  parts: AdoptParts
  put(path: string, bytes: Buffer | string): Promise<void>
  sidecar(path: string): Promise<Sidecar>
}

/** An archive that stands alone, and what adopting into it takes. */
export async function withArchive(t: Scope, root?: string): Promise<Rig> {
  const place = root ?? (await withFolder(t))
  await initVolumeAlone(await partsOn(place, { opening: true }))
  const parts = await partsOn(place, {})
  return {
    root: place,
    parts,
    async put(path, bytes) {
      await mkdir(dirname(join(place, path)), { recursive: true })
      await writeFile(join(place, path), bytes)
    },
    sidecar: async (path) => parseSidecar(await readFile(join(place, `${path}.json`))),
  }
}

export async function partsOn(
  root: string,
  { opening = false, wrap = (disk: Disk) => disk },
): Promise<AdoptParts> {
  const disk = wrap(await openDisk(root))
  const folders = createDurableFolders(disk)
  const volume = opening
    ? { verify: async () => ({ device: 0 }) }
    : await openVolumeAlone({ disk, folders })
  return {
    disk,
    folders,
    volume,
    validate: realValidate,
    policy: { fileMode: 0o640, version: 'v' },
  }
}

export function order(archivePath: string, more: Partial<AdoptOrder> = {}): AdoptOrder {
  const media = { mediaId: 42, userId: 7, title: null, filename: 'original.mp4', contentType: null }
  const unknown = { mimeType: null, declaredBytes: null, objectKey: null, approvedAt: null }
  return { media: { ...media, ...unknown }, archivePath, strict: false, ...more }
}

export const sha256 = (bytes: Buffer | string) => createHash('sha256').update(bytes).digest('hex')

/** All that lies in the archive, temporaries too, with what tells that a file was touched. */
export async function tree(root: string): Promise<Record<string, string>> {
  const entries = await readdir(root, { recursive: true, withFileTypes: true })
  const files = entries.filter((entry) => !entry.isDirectory())
  const listed = files.map(async (entry) => {
    const path = join(entry.parentPath, entry.name)
    const { ino, mtimeMs, mode, size } = await lstat(path)
    return [path.slice(root.length + 1), `${ino} ${mtimeMs} ${mode} ${size}`] as const
  })
  return Object.fromEntries(await Promise.all(listed))
}
