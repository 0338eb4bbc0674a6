/** An archive as years of use leave it, made at once: true sidecars beside files that hold nothing. */
import { mkdir, truncate, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { buildSidecar, renderSidecar, sidecarPathOf } from '../../src/sidecar.ts'

const GIB = 1024 ** 3
const AT_ONCE = 16

export interface MadeFile {
  mediaId: number
  archivePath: string
  etag: string
  approvedAt: Date
}

/** Of the file of media `id`; each is a gibibyte of nothing, so that whoever reads them is noticed. */
export function madeFile(id: number): MadeFile {
  const approvedAt = new Date(Date.UTC(2020, 0, 1) + id * 60_000)
  const [year, month] = approvedAt.toISOString().split('-')
  return {
    mediaId: id,
    archivePath: `${year}/${month}/${id}/film ${id}.mp4`,
    etag: id.toString(16).padStart(32, '0'),
    approvedAt,
  }
}

export async function makeArchive(archiveDir: string, count: number): Promise<void> {
  let next = 1
  const lane = async () => {
    for (let id = next++; id <= count; id = next++) await makeOne(archiveDir, madeFile(id))
  }
  await Promise.all(Array.from({ length: AT_ONCE }, lane))
}

async function makeOne(archiveDir: string, made: MadeFile): Promise<void> {
  const path = join(archiveDir, made.archivePath)
  await mkdir(dirname(path), { recursive: true })
  await writeFile(path, '')
  await truncate(path, GIB)
  await writeFile(sidecarPathOf(path), renderSidecar(sidecarOf(made)))
}

export function sidecarOf({ mediaId, archivePath, etag, approvedAt }: MadeFile) {
  const filename = `film ${mediaId}.mp4`
  return buildSidecar({
    version: '0.0.0-test',
    media: {
      mediaId,
      userId: 7,
      title: `Title ${mediaId}`,
      filename,
      contentType: 'video',
      mimeType: 'video/mp4',
      declaredBytes: GIB,
      objectKey: `uploads/${mediaId}.mp4`,
      approvedAt,
    },
    intent: {
      archivePath,
      sha256: mediaId.toString(16).padStart(64, '0'),
      source: {
        bucket: 'uploads',
        key: `uploads/${mediaId}.mp4`,
        etag,
        versionId: null,
        lastModified: approvedAt,
        sizeBytes: GIB,
      },
      probe: {
        container: 'mp4',
        mimeType: 'video/mp4',
        kind: 'video',
        durationSeconds: 60,
        streams: [
          {
            type: 'video',
            codec: 'h264',
            width: 1920,
            height: 1080,
            frameRate: 25,
            channels: null,
            sampleRate: null,
            attachedPicture: false,
          },
        ],
      },
      proof: { kind: 'md5', value: etag },
      filedAt: new Date(approvedAt.getTime() + 3_600_000),
    },
  })
}
