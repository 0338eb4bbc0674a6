import { createHash, randomBytes, randomInt } from 'node:crypto'
import type { AdoptedMedia } from '../media.ts'
import { doctorPathOf, isDoctorPath } from '../serve/doctor-echo.ts'
import { type Sidecar, sidecarPathOf } from '../sidecar.ts'
import { placeExclusively } from '../storage/disk.ts'
import { lastWritten } from '../storage/file-io.ts'
import { type AdoptParts, newTemporary, placeSidecar } from '../sync/adopt-sidecar.ts'
import { readSidecar } from '../sync/sidecar-file.ts'

/** A file that exists to be asked for through the public address, and for no longer. */
export interface EdgeProbe {
  mediaId: number
  userId: number
  archivePath: string
  bytes: Buffer
  /** With its quotes, as the file server sends it. */
  etag: string
  /** Puts it into the archive, sidecar first. */
  place(): Promise<void>
  /** Fine if it was never placed. */
  remove(): Promise<void>
}

/** Odd, larger than any buffer on the way, and small enough to be fetched a few times over any line. */
const SIZE_BYTES = 262_147
/** Far above what a table counts up to. */
const firstMediaId = 2 ** 52

/**
 * Plans the file; nothing is written yet. Its ids are no row's. It is named as
 * a video is, because caches go by the extension.
 */
export function createEdgeProbe(parts: AdoptParts): EdgeProbe {
  const { disk, policy, volume } = parts
  const mediaId = firstMediaId + randomInt(2 ** 47)
  const archivePath = doctorPathOf(randomBytes(8).toString('hex'))
  const bytes = randomBytes(SIZE_BYTES)
  const sha256 = createHash('sha256').update(bytes).digest('hex')
  return {
    mediaId,
    userId: mediaId,
    archivePath,
    bytes,
    etag: `"${sha256}"`,
    async place() {
      await volume.verify()
      const part = newTemporary('part')
      const file = await disk.create(part)
      try {
        await file.write(bytes)
        await file.seal(policy.fileMode)
        await placeSidecar(parts, { media: mediaOf(mediaId), file: fileOf(archivePath, sha256) })
        await placeExclusively(disk, part, archivePath)
      } finally {
        await file.close()
        await disk.unlink(part)
      }
    },
    remove: () => removeProbe(parts, archivePath),
  }
}

function mediaOf(mediaId: number): AdoptedMedia {
  const unknown = { title: null, filename: null, contentType: null, mimeType: null }
  return {
    mediaId,
    userId: mediaId,
    ...unknown,
    declaredBytes: null,
    objectKey: null,
    approvedAt: null,
  }
}

function fileOf(archivePath: string, sha256: string) {
  const type = { mimeType: 'video/mp4', kind: 'video', probe: null } as const
  return { archivePath, sizeBytes: SIZE_BYTES, sha256, ...type, adoptedAt: new Date() }
}

/** The file first: what has no sidecar could no longer be told from a stranger's. */
async function removeProbe({ disk }: AdoptParts, archivePath: string): Promise<void> {
  await disk.unlink(archivePath)
  await disk.unlink(sidecarPathOf(archivePath))
  await disk.syncFolder('')
}

/** No examination takes so long. */
const ABANDONED_AFTER_MS = 600_000

/**
 * Removes what examinations left that were killed. The name tells nothing: any uploader may have given it to his file. Only a
 * sidecar that says what no row can say is ours.
 */
export async function sweepProbes(parts: AdoptParts, now: Date): Promise<void> {
  const { disk } = parts
  for (const name of await disk.list('')) {
    const archivePath = name.replace(/\.json$/, '')
    if (name === archivePath || !isDoctorPath(archivePath)) continue
    const written = await lastWritten(disk.root, name)
    if (written === null || now.getTime() - written.getTime() < ABANDONED_AFTER_MS) continue
    const sidecar = await readSidecar(parts, archivePath)
    if (sidecar !== null && isOfProbe(sidecar, archivePath)) await removeProbe(parts, archivePath)
  }
}

function isOfProbe(sidecar: Sidecar, archivePath: string): boolean {
  return (
    sidecar.media_id >= firstMediaId &&
    sidecar.user_id === sidecar.media_id &&
    sidecar.archive_path === archivePath &&
    sidecar.bytes === SIZE_BYTES &&
    sidecar.source === null
  )
}
