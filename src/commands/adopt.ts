import { realpath } from 'node:fs/promises'
import { basename, isAbsolute, relative, resolve } from 'node:path'
import { safeName } from '../archive-path.ts'
import type { Config } from '../config.ts'
import { AppError, isAppError } from '../errors.ts'
import type { Host, Session } from '../host.ts'
import type { AdoptedMedia } from '../media.ts'
import { openAdoption } from '../open.ts'
import { requireArchive } from '../serve/locate.ts'
import { type PinnedFile, pinFile } from '../storage/pinned-file.ts'
import { type Adopted, adoptCopy, adoptInPlace } from '../sync/adopt.ts'
import { sweepAdoptions } from '../sync/adopt-sidecar.ts'
import { bytesText } from '../units.ts'
import { requireLive } from './require-live.ts'

export interface AdoptWish {
  files: readonly string[]
  mediaId: number
  userId: number
  /** Where a file from outside goes: a path in the archive, or a folder in it that ends with a slash. */
  into: string | null
  strict: boolean
}

/** As the command line has them. */
export interface AdoptOptions {
  mediaId?: number
  userId?: number
  into?: string
  strict?: boolean
  fromDatabase?: boolean
  dryRun?: boolean
  json?: boolean
}

/** @returns which of the two ways to adopt is meant; @throws USAGE for a mixture */
export function fromDatabase(files: readonly string[], options: AdoptOptions): boolean {
  const { fromDatabase: all = false, dryRun, json, ...ofFile } = options
  if (all && files.length + Object.keys(ofFile).length > 0)
    throw new AppError('USAGE', '--from-database adopts all files, and takes everything from there')
  if (!all && (dryRun ?? json))
    throw new AppError('USAGE', '--dry-run and --json go with --from-database only')
  return all
}

/** @throws USAGE when an id is missing */
export function wishOf(files: readonly string[], options: AdoptOptions): AdoptWish {
  const { mediaId, userId, into = null, strict = false } = options
  if (mediaId !== undefined && userId !== undefined) return { files, mediaId, userId, into, strict }
  throw new AppError('USAGE', 'whose file is it? --media-id and --user-id are needed', {
    hint: 'or --from-database, for all that another service archived',
  })
}

/** `strongroom adopt FILE`: gives one existing file its sidecar, without a database. */
export async function adoptCommand(
  host: Host,
  config: Config,
  run: Pick<Session, 'program' | 'drain'> & AdoptWish,
): Promise<void> {
  requireLive(config, 'adopting writes a sidecar')
  const pinned = await pinNamed(run.files)
  try {
    await requireArchive(config.archive.dir)
    const parts = await openAdoption(config, run.program)
    for (const path of await sweepAdoptions(parts, new Date()))
      run.program.log.info({ path }, 'removed what a killed adoption left')
    const place = await placeOf(config, pinned, run.into)
    const order = {
      media: byHand(run, basename(pinned.realPath)),
      archivePath: place.archivePath,
      strict: run.strict,
      signal: run.drain,
    }
    const adopted = place.inside
      ? await adoptInPlace(parts, order)
      : await adoptCopy(parts, { ...order, from: pinned })
    tell(host, adopted, order.media)
  } finally {
    await pinned.close()
  }
}

async function pinNamed(files: readonly string[]): Promise<PinnedFile> {
  const [path, another] = files
  if (path === undefined) throw new AppError('USAGE', 'which file is to be adopted?')
  if (another !== undefined)
    throw new AppError('USAGE', 'several files cannot have one media id', {
      hint: 'a token opens the one file of its media id: adopt each file under an id of its own',
    })
  try {
    return await pinFile(resolve(path))
  } catch (error) {
    if (!isAppError(error, 'FILE_MISSING', 'PATH_UNSAFE')) throw error
    const missing = error.code === 'FILE_MISSING'
    const wrong = missing ? 'does not exist' : 'is a link, a folder or a device'
    throw new AppError(error.code, `${path} ${wrong}`, {
      cause: error,
      hint: missing ? 'check its path' : 'only regular files are adopted; name the file itself',
    })
  }
}

/** @throws USAGE when --into is missing, or makes no sense */
async function placeOf(
  { archive }: Config,
  { realPath }: PinnedFile,
  into: string | null,
): Promise<{ archivePath: string; inside: boolean }> {
  const root = await realpath(archive.dir)
  const inside = inFolder(root, realPath)
  if (inside !== null) {
    if (into === null) return { archivePath: inside, inside: true }
    throw new AppError('USAGE', `${inside} lies in the archive already`, {
      hint: 'leave out --into: it is adopted where it is',
    })
  }
  if (into === null)
    throw new AppError('USAGE', `${realPath} lies outside ARCHIVE_DIR (${root})`, {
      hint: 'say with --into PATH where in the archive it is to be copied to',
    })
  const wanted = into.endsWith('/') ? `${into}${safeName(basename(realPath))}` : into
  const archivePath = isAbsolute(wanted)
    ? (inFolder(root, wanted) ?? inFolder(resolve(archive.dir), wanted))
    : wanted
  if (archivePath !== null) return { archivePath: archivePath.normalize('NFC'), inside: false }
  throw new AppError('USAGE', `--into ${into} lies outside ARCHIVE_DIR (${root})`, {
    hint: 'give a path in the archive, for example 2026/11/holiday.mp4',
  })
}

/** @returns the path relative to `folder`, null when it lies elsewhere */
function inFolder(folder: string, path: string): string | null {
  const rest = relative(folder, path)
  return rest === '' || rest === '..' || rest.startsWith('../') ? null : rest
}

function byHand({ mediaId, userId }: AdoptWish, filename: string): AdoptedMedia {
  const unknown = { title: null, contentType: null, mimeType: null, declaredBytes: null }
  return { mediaId, userId, filename, ...unknown, objectKey: null, approvedAt: null }
}

function tell(host: Host, { outcome, file, unknown }: Adopted, { mediaId }: AdoptedMedia): void {
  const { archivePath, mimeType, sizeBytes } = file
  if (outcome === 'already') {
    host.out(`${archivePath} is media ${mediaId} already; nothing to do\n`)
    return
  }
  const size = bytesText(sizeBytes)
  host.out(`${archivePath} is media ${mediaId} now (${mimeType}, ${size})\n`)
  if (unknown === null) return
  host.err(`strongroom: warning: ${archivePath} is served as ${mimeType}: ${unknown}\n`)
}
