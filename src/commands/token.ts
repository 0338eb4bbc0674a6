import type { Config } from '../config.ts'
import { findArchived } from '../db/lookup.ts'
import { AppError } from '../errors.ts'
import type { Host } from '../host.ts'
import { openDatabaseOnly, type Program } from '../open.ts'
import { linkPathOf } from '../serve/locate.ts'
import { mintToken } from '../serve/token.ts'

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
    mediaId,
    userId,
    ...limits
  }: {
    program: Program
    mediaId: number
    userId: number | null
  } & LinkLimits,
): Promise<void> {
  const found = await findArchived(openDatabaseOnly(config, program), mediaId)
  if (found === null)
    throw new AppError('NOT_FOUND', `media ${mediaId} is not in the archive`, {
      hint: 'only archived media have links; see its state in strongroom.items',
    })
  const link = await linkTo(config, {
    mediaId,
    userId: userId ?? found.userId ?? 1,
    archivePath: found.archivePath,
    ...limits,
    inline: false,
  })
  host.out(`${link}\n`)
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
