import { relative, resolve } from 'node:path'
import type { Config } from '../config.ts'
import type { Database } from '../db/connect.ts'
import { type ArchivedCopy, findArchived } from '../db/lookup.ts'
import { AppError } from '../errors.ts'
import type { Host } from '../host.ts'
import { openMigrated, type Program } from '../open.ts'
import { linkPathOf, requireArchive } from '../serve/locate.ts'
import { mintToken } from '../serve/token.ts'
import { parseSidecar, SIDECAR_MAX_BYTES, sidecarPathOf } from '../sidecar.ts'
import { openDisk } from '../storage/disk.ts'

interface LinkLimits {
  ttlSeconds: number
  /** The only address, or range of addresses, that it works from; null or absent for any. */
  ip?: string | null
  /** Null or absent for any number. */
  maxDownloads?: number | null
}

/** `strongroom token`: a link to one archived file, as the backend would mint it. */
export async function tokenCommand(
  host: Host,
  config: Config,
  {
    program,
    of,
    userId,
    ...limits
  }: {
    program: Program
    /** A media id, or a path in the archive, whose sidecar is asked instead of a database. */
    of: number | string
    userId: number | null
  } & LinkLimits,
): Promise<void> {
  const found =
    typeof of === 'string'
      ? await findFile(config, of)
      : await findMedia(await openMigrated(config, program), of)
  if (found.moved && config.second?.links !== 'redirect')
    host.err(
      `strongroom: the file is in the second bucket: the link answers 404 until "strongroom recall --media ${found.mediaId}", or with SECOND_LINKS=redirect\n`,
    )
  else if (found.damage !== null)
    host.err(
      `strongroom: the file was not as it was archived when it was last read: ${found.damage}; the link may bring damaged bytes, or none, until it is healed ("strongroom why ${found.mediaId}")\n`,
    )
  const link = await linkTo(config, {
    ...found,
    userId: userId ?? found.userId ?? 1,
    ...limits,
    inline: false,
  })
  host.out(`${link}\n`)
}

type Found = ArchivedCopy & { mediaId: number }

/** A link to what is archived of a medium. @throws NOT_FOUND, USAGE, CONFIG_INVALID */
export async function mintLink(
  config: Config,
  database: Database,
  {
    mediaId,
    userId,
    port,
    ...limits
  }: LinkLimits & {
    mediaId: number
    /** Null: the media row's. */
    userId: number | null
    /** Of the file server, where no PUBLIC_URL says how it is reached. */
    port: number
  },
): Promise<string> {
  const found = await findMedia(database, mediaId)
  const file = { ...found, userId: userId ?? found.userId ?? 1, ...limits, inline: false }
  return linkTo(config, file, port)
}

async function findMedia(database: Database, mediaId: number): Promise<Found> {
  const found = await findArchived(database, mediaId)
  if (found !== null) return { mediaId, ...found }
  throw new AppError('NOT_FOUND', `media ${mediaId} is not in the archive`, {
    hint: `only archived media have links; "strongroom why ${mediaId}" says what became of it`,
  })
}

/** @param path relative to ARCHIVE_DIR, or whole */
async function findFile({ archive }: Config, path: string): Promise<Found> {
  await requireArchive(archive.dir)
  const disk = await openDisk(archive.dir)
  const inside = relative(disk.root, resolve(disk.root, path))
  if (inside === '' || inside.split('/').includes('..'))
    throw new AppError('USAGE', `${path} is no file's path in ARCHIVE_DIR (${disk.root})`, {
      hint: 'give the path as "strongroom show ID" has it, for example 2026/11/42/holiday.mp4',
    })
  const bytes = await disk.read(sidecarPathOf(inside), SIDECAR_MAX_BYTES)
  if (bytes === null)
    throw new AppError('NOT_FOUND', `${inside} has no sidecar in the archive`, {
      hint: 'check its path in ARCHIVE_DIR; "strongroom adopt" gives an existing file its sidecar',
    })
  const { media_id: mediaId, user_id: userId, archive_path: archivePath } = parseSidecar(bytes)
  return { mediaId, userId, archivePath, moved: false, damage: null }
}

/** The link form without an extension, which no cache in front takes for a static file. */
export async function linkTo(
  { serve }: Config,
  file: {
    mediaId: number
    userId: number
    archivePath: string
    /** Shown in the browser rather than saved, where that is safe. */
    inline: boolean
  } & LinkLimits,
  port = serve.port,
): Promise<string> {
  if (serve.tokens === null) throw new AppError('CONFIG_INVALID', 'UNRAID_TUNNEL_SECRET is not set')
  const { archivePath, inline, ...claims } = file
  const token = await mintToken({ ...claims, tokens: serve.tokens, now: new Date() })
  const base = (serve.publicUrl ?? `http://127.0.0.1:${port}`).replace(/\/$/, '')
  return `${base}${linkPathOf(archivePath, serve.pathPrefix)}?token=${token}${inline ? '&disposition=inline' : ''}`
}
