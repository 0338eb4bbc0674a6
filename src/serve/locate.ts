import { type BigIntStats, constants, lstat } from 'node:fs'
import { access, type FileHandle, open, readlink, realpath } from 'node:fs/promises'
import { join } from 'node:path'
import { isArchivePath, MARKER_PATH } from '../archive-path.ts'
import { AppError, type ErrorCode, systemCode } from '../errors.ts'
import { parseSidecar, SIDECAR_MAX_BYTES, type Sidecar, sidecarPathOf } from '../sidecar.ts'

/** An open file of the archive and what its sidecar says; whoever gets it closes it. */
export interface Located {
  file: FileHandle
  sidecar: Sidecar
  /** Of the file and its sidecar as they were opened; see {@link Locator.stampOf}. */
  stamp: string
}

export interface Locator {
  /**
   * Opens a file only where its sidecar agrees that it is the token's.
   *
   * @throws NOT_FOUND, TOKEN_FOR_ANOTHER_FILE, ARCHIVE_DAMAGED, and VOLUME_MISSING, DISK_DENIED, DISK_SICK or
   *   ARCHIVE_UNREADABLE when the archive cannot be judged
   */
  locate(archivePath: string, mediaId: number): Promise<Located>
  /**
   * What would be found at this path now: another text when file or sidecar was replaced, moved or written to, or when
   * another archive is mounted. @returns null when one of them is not there
   */
  stampOf(archivePath: string): Promise<string | null>
  /**
   * What a sidecar says whose file is not there, asked after {@link Locator.locate} found none.
   *
   * @returns null where there is no such sidecar either, or something lies in the file's place
   */
  fileless(archivePath: string, mediaId: number): Promise<Sidecar | null>
}

/**
 * Reads the path of a link, in either form, once and strictly: what would need cleaning (empty or dot segments) is
 * no link of ours, while every link of ours is its own cleaned form, so a proxy that cleans paths changes nothing.
 *
 * @param rawPath as it came over the wire, percent-encoded, without the query
 * @returns null when it cannot name a file of the archive
 */
export function archivePathOf(rawPath: string, pathPrefix: string): string | null {
  return createPathReader(pathPrefix)(rawPath)
}

/** The same for many paths under one prefix; see {@link archivePathOf}. */
export function createPathReader(pathPrefix: string): (rawPath: string) => string | null {
  const prefix = segmentsOf(pathPrefix)
    .map((segment) => `${segment}/`)
    .join('')
  return (rawPath) => {
    const decoded = rawPath.startsWith('/') ? decodePath(rawPath.slice(1)) : null
    if (!decoded?.startsWith(prefix)) return null
    const wanted = decoded.slice(prefix.length).normalize('NFC')
    const path = wanted.endsWith('/-') ? wanted.slice(0, -2) : wanted
    return isArchivePath(path) ? path : null
  }
}

/** The path of a link; its last part has no extension, because caches that go by extension would keep it. */
export function linkPathOf(archivePath: string, pathPrefix: string): string {
  const segments = [...segmentsOf(pathPrefix), ...archivePath.split('/'), '-']
  return `/${segments.map(encodeURIComponent).join('/')}`
}

/** Makes the finder of archived files. */
export function createLocator(place: {
  archiveDir: string
  /** Told of a sidecar that cannot be believed; the visitor only learns that there is no such file. */
  onInvalidSidecar: (archivePath: string, error: unknown) => void
}): Locator {
  const believed = (root: string, archivePath: string) =>
    readSidecar(root, archivePath).catch((error: unknown) => {
      if (!(error instanceof AppError) || error.code !== 'SIDECAR_INVALID') throw error
      place.onInvalidSidecar(archivePath, error)
      return null
    })
  return {
    async locate(archivePath, mediaId) {
      const root = await rootOf(place.archiveDir)
      const read = await believed(root, archivePath)
      if (!read) throw await absent(root)
      const { sidecar } = read
      if (sidecar.media_id !== mediaId) {
        throw new AppError('TOKEN_FOR_ANOTHER_FILE', 'the token is for another file')
      }
      if (sidecar.archive_path !== archivePath) {
        throw damaged(archivePath, 'its sidecar describes another path')
      }
      const { file, facts } = await openWhole(root, sidecar)
      return { file, sidecar, stamp: stampFrom(facts, read.facts) }
    },
    async fileless(archivePath, mediaId) {
      const root = await rootOf(place.archiveDir)
      const sidecar = (await believed(root, archivePath))?.sidecar
      if (sidecar?.media_id !== mediaId || sidecar.archive_path !== archivePath) return null
      return (await factsOf(join(root, archivePath))) === null ? sidecar : null
    },
    async stampOf(archivePath) {
      const facts = await factsOf(join(place.archiveDir, archivePath))
      if (facts === null) return null
      const ofSidecar = await factsOf(join(place.archiveDir, sidecarPathOf(archivePath)))
      return ofSidecar && stampFrom(facts, ofSidecar)
    },
  }
}

/** The same file at the same place has the same one, and so has its sidecar, for as long as nobody writes to either. */
function stampFrom(...facts: BigIntStats[]): string {
  return facts
    .map(({ dev, ino, size, mtimeNs, ctimeNs }) => `${dev}:${ino}:${size}:${mtimeNs}:${ctimeNs}`)
    .join(' ')
}

/** Asked every few seconds for every file in use, where the callback form costs half of the promise form. */
function factsOf(path: string): Promise<BigIntStats | null> {
  return new Promise((resolve, reject) => {
    lstat(path, { bigint: true }, (error, facts) => {
      if (error === null) resolve(facts)
      else if (isAbsent(error)) resolve(null)
      else reject(unreadable(error))
    })
  })
}

/** @throws VOLUME_MISSING unless there is an archive at `archiveDir` now */
export async function requireArchive(archiveDir: string): Promise<void> {
  await requireMarker(await rootOf(archiveDir))
}

/** The archive is looked up anew each time: it may be mounted, or taken away, at any moment. */
async function rootOf(archiveDir: string): Promise<string> {
  try {
    return await realpath(archiveDir)
  } catch (cause) {
    throw new AppError('VOLUME_MISSING', 'ARCHIVE_DIR is not there or cannot be read', {
      cause,
      hint: 'Check that the disk is mounted and that this user may read it.',
    })
  }
}

interface Opened {
  file: FileHandle
  facts: BigIntStats
}

async function readSidecar(
  root: string,
  archivePath: string,
): Promise<{ sidecar: Sidecar; facts: BigIntStats } | null> {
  const opened = await openConfined(root, sidecarPathOf(archivePath))
  if (!opened) return null
  const { file, facts } = opened
  const sizeBytes = Number(facts.size)
  try {
    if (sizeBytes > SIDECAR_MAX_BYTES) {
      throw new AppError('SIDECAR_INVALID', 'the sidecar is not valid: it is too large')
    }
    const bytes = Buffer.alloc(sizeBytes)
    const { bytesRead } = await file.read(bytes, 0, sizeBytes, 0)
    return { sidecar: parseSidecar(bytes.subarray(0, bytesRead)), facts }
  } catch (error) {
    throw error instanceof AppError ? error : unreadable(error)
  } finally {
    await file.close()
  }
}

async function openWhole(root: string, sidecar: Sidecar): Promise<Opened> {
  const opened = await openConfined(root, sidecar.archive_path)
  if (!opened) throw await absent(root)
  if (Number(opened.facts.size) === sidecar.bytes) return opened
  await opened.file.close()
  throw damaged(sidecar.archive_path, 'its size is not the one in its sidecar')
}

/**
 * Opens a regular file that lies at exactly this place, whatever is renamed or linked meanwhile: not the path is
 * checked but the descriptor, so a link in any of the folders is as good as no file.
 */
async function openConfined(root: string, path: string): Promise<Opened | null> {
  const wanted = join(root, path)
  const file = await openWithoutFollowing(wanted)
  if (!file) return null
  try {
    const facts = await file.stat({ bigint: true })
    const actual = await readlink(`/proc/self/fd/${file.fd}`)
    if (facts.isFile() && actual === wanted) return { file, facts }
  } catch (error) {
    await file.close()
    throw unreadable(error)
  }
  await file.close()
  return null
}

/** Non-blocking, so that a named pipe cannot hold a thread. */
async function openWithoutFollowing(path: string): Promise<FileHandle | null> {
  const { O_RDONLY, O_NOFOLLOW, O_NONBLOCK, O_NOCTTY } = constants
  try {
    return await open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY)
  } catch (error) {
    if (isAbsent(error)) return null
    throw unreadable(error)
  }
}

function isAbsent(error: unknown): boolean {
  const absent = ['ENOENT', 'ENOTDIR', 'ELOOP', 'ENAMETOOLONG', 'ENXIO', 'ENODEV']
  return absent.includes(systemCode(error) ?? '')
}

/** Translates a failed read of the archive. */
export function unreadable(cause: unknown): AppError {
  const codes: Record<string, ErrorCode> = {
    EACCES: 'DISK_DENIED',
    EPERM: 'DISK_DENIED',
    EIO: 'DISK_SICK',
  }
  const code = systemCode(cause)
  if (code === null) throw cause
  return new AppError(
    codes[code] ?? 'ARCHIVE_UNREADABLE',
    `the archive could not be read (${code})`,
    {
      cause,
    },
  )
}

/** @returns null for a malformed escape, and for an encoded slash, of which some make a separator and some do not */
function decodePath(raw: string): string | null {
  if (!raw.includes('%')) return raw
  if (/%2f/i.test(raw)) return null
  try {
    return decodeURIComponent(raw)
  } catch {
    return null
  }
}

function segmentsOf(pathPrefix: string): string[] {
  return pathPrefix.split('/').filter((segment) => segment !== '')
}

/** Why there is no such file: an empty mount point would deny every file of the archive that belongs there. */
async function absent(root: string): Promise<AppError> {
  await requireMarker(root)
  return new AppError('NOT_FOUND', 'there is no such file')
}

async function requireMarker(root: string): Promise<void> {
  try {
    await access(join(root, MARKER_PATH))
  } catch (cause) {
    throw new AppError(
      'VOLUME_MISSING',
      `ARCHIVE_DIR holds no archive: ${MARKER_PATH} is not there`,
      {
        cause,
        hint: 'Mount the disk; a new archive is made by the first sync, or by `strongroom init-volume` (--no-database where there is none).',
      },
    )
  }
}

function damaged(archivePath: string, reason: string): AppError {
  return new AppError('ARCHIVE_DAMAGED', `${archivePath} is not served: ${reason}`, {
    hint: 'Run `strongroom verify`, and restore what is damaged from a backup.',
  })
}
