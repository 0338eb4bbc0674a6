import { createHash, createHmac, randomBytes } from 'node:crypto'
import { mkdir, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { MARKER_PATH } from '../../src/archive-path.ts'
import { renderSidecar, sidecarPathOf } from '../../src/sidecar.ts'
import { sidecarOf } from '../../test/support/file-server.ts'

const KIB = 1024
const MIB = 1024 * KIB

export const SECRET = randomBytes(32).toString('hex')

/** One file of the archive under test. */
export interface BenchFile {
  archivePath: string
  mediaId: number
  bytes: number
}

/** What is asked for: one large file, files of a few MiB, and small ones. */
export interface BenchFiles {
  large: BenchFile[]
  medium: BenchFile[]
  small: BenchFile[]
}

/** Fills `archiveDir` with random bytes and their sidecars, all still in the page cache afterwards. */
export async function makeArchive(archiveDir: string, largeMib: number): Promise<BenchFiles> {
  await mkdir(join(archiveDir, dirname(MARKER_PATH)), { recursive: true })
  await writeFile(join(archiveDir, MARKER_PATH), '{}\n')
  const block = randomBytes(4 * MIB)
  let mediaId = 0
  const make = async (count: number, bytes: number, folder: string) => {
    const files: BenchFile[] = []
    for (let index = 0; index < count; index++) {
      mediaId += 1
      const archivePath = `${folder}/${String(index).padStart(4, '0')}.mp4`
      await writeOne(archiveDir, { archivePath, mediaId, bytes }, block)
      files.push({ archivePath, mediaId, bytes })
    }
    return files
  }
  return {
    large: await make(1, largeMib * MIB, 'large'),
    medium: await make(128, 4 * MIB, 'medium'),
    small: await make(1000, 16 * KIB, 'small'),
  }
}

async function writeOne(archiveDir: string, file: BenchFile, block: Buffer): Promise<void> {
  const place = join(archiveDir, file.archivePath)
  await mkdir(dirname(place), { recursive: true })
  const hash = createHash('sha256')
  async function* pieces() {
    for (let left = file.bytes; left > 0; left -= block.length) {
      const piece = block.subarray(0, Math.min(left, block.length))
      hash.update(piece)
      yield piece
    }
  }
  await writeFile(place, pieces())
  const sidecar = sidecarOf({
    archive_path: file.archivePath,
    media_id: file.mediaId,
    bytes: file.bytes,
    sha256: hash.digest('hex'),
  })
  await writeFile(sidecarPathOf(place), renderSidecar(sidecar))
}

/** A link as a backend would make it; each `serial` gives another token. */
export function strongroomTarget({ archivePath, mediaId }: BenchFile, serial = 0): string {
  const now = Math.floor(Date.now() / 1000)
  const claims = { media_id: mediaId, user_id: 1 + serial, iat: now, exp: now + 3600 }
  const part = (value: object) => Buffer.from(JSON.stringify(value)).toString('base64url')
  const text = `${part({ alg: 'HS256', typ: 'JWT' })}.${part(claims)}`
  const signature = createHmac('sha256', SECRET).update(text).digest('base64url')
  return `/${archivePath}?token=${text}.${signature}`
}

/** The same for nginx's secure_link, as its documentation has it. */
export function secureLinkTarget({ archivePath }: BenchFile): string {
  const expires = Math.floor(Date.now() / 1000) + 3600
  const text = `${expires}/${archivePath} ${SECRET}`
  return `/${archivePath}?md5=${createHash('md5').update(text).digest('base64url')}&expires=${expires}`
}

export function plainTarget({ archivePath }: BenchFile): string {
  return `/${archivePath}`
}
