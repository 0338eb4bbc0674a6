import type { Sidecar } from '../sidecar.ts'
import type { Representation } from './range.ts'

/** What every answer of the file server carries, errors too. */
export const commonHeaders = {
  'X-Content-Type-Options': 'nosniff',
  'Referrer-Policy': 'no-referrer',
  'Content-Security-Policy': "sandbox; default-src 'none'",
  'Cross-Origin-Resource-Policy': 'same-site',
} as const

/** Without a header of ours, shared caches keep errors and files for minutes to hours, tokens and all. */
export const neverStored = {
  'Cache-Control': 'no-store',
  'Cloudflare-CDN-Cache-Control': 'no-store',
} as const

const longestCachingSeconds = 3600

/** Names and values in turn, as `writeHead` takes them at the least cost. */
export type HeaderList = readonly string[]

/**
 * @param visit.embeddable other sites may show the file in their pages
 * @returns what 200, 206 and 304 have in common, and what only an answer with a body says, but for its type and length
 *   (RFC 9110 15.4.5: a 304 repeats no more than caches need)
 */
export function fileHeaders(
  sidecar: Sidecar,
  visit: { expiresAt: number; now: Date; inline: boolean; embeddable: boolean },
): { ofCaching: HeaderList; ofFile: HeaderList } {
  const rest = Math.floor(visit.expiresAt - visit.now.getTime() / 1000)
  const maxAge = Math.max(0, Math.min(rest, longestCachingSeconds))
  const of = lastingOf(sidecar)
  return {
    ofCaching: [
      ...(visit.embeddable ? of.embeddable : of.caching),
      ...(isFiled(of, visit.now) ? of.dated : []),
      'Cache-Control',
      `private, max-age=${maxAge}, no-transform`,
    ],
    ofFile: visit.inline ? of.inline : of.attached,
  }
}

/** What the conditions and ranges of a request are judged by. */
export function representationOf(sidecar: Sidecar, now: Date): Representation {
  const of = lastingOf(sidecar)
  return isFiled(of, now) ? of.representation : { ...of.representation, lastModified: null }
}

/** RFC 9110 8.8.2.1: what was filed by a clock that is ahead was not modified yet. Our own time would be another with each answer. */
function isFiled({ filedAt }: Lasting, now: Date): boolean {
  return filedAt <= now
}

/** A value that is no media type would be a header of the uploader's making. */
export function mediaTypeOf(sidecar: Sidecar): string {
  return lastingOf(sidecar).mediaType
}

interface Lasting {
  filedAt: Date
  representation: Representation
  mediaType: string
  dated: HeaderList
  caching: HeaderList
  embeddable: HeaderList
  inline: HeaderList
  attached: HeaderList
}

const lasting = new WeakMap<Sidecar, Lasting>()

/** What depends on the file alone, put together once for as long as its sidecar is in memory. */
function lastingOf(sidecar: Sidecar): Lasting {
  const known = lasting.get(sidecar)
  if (known !== undefined) return known
  // Strong: equal tags mean equal bytes, on every node and after every restore.
  const etag = `"${sidecar.sha256}"`
  const filedAt = new Date(sidecar.filed_at)
  const mediaType = safeMediaType(sidecar)
  const ofCaching = (policy: string) =>
    Object.entries({
      ...commonHeaders,
      'Cross-Origin-Resource-Policy': policy,
      ETag: etag,
      'Cloudflare-CDN-Cache-Control': 'no-store',
    }).flat()
  const ofFile = (inline: boolean) => [
    'Content-Disposition',
    contentDisposition(sidecar, inline),
    'Accept-Ranges',
    'bytes',
    'Repr-Digest',
    digestOf(sidecar),
  ]
  const made = {
    filedAt,
    representation: { sizeBytes: sidecar.bytes, etag, lastModified: filedAt },
    mediaType,
    dated: ['Last-Modified', filedAt.toUTCString()],
    caching: ofCaching(commonHeaders['Cross-Origin-Resource-Policy']),
    embeddable: ofCaching('cross-origin'),
    inline: ofFile(true),
    attached: ofFile(false),
  }
  lasting.set(sidecar, made)
  return made
}

/** Of the whole file, whatever part is sent, so that a client can check what it put together (RFC 9530 3). */
function digestOf(sidecar: Sidecar): string {
  return `sha-256=:${Buffer.from(sidecar.sha256, 'hex').toString('base64')}:`
}

/**
 * Names the file as its uploader did (RFC 6266, RFC 8187); what a browser could run is never shown in place.
 *
 * @param inline what the link asked for; heeded only for video, audio and raster images
 */
export function contentDisposition(sidecar: Sidecar, inline: boolean): string {
  const type = safeMediaType(sidecar).toLowerCase()
  const raster = /^image\/(?:apng|avif|bmp|gif|hei[cf]|jpeg|jxl|png|tiff|webp)$/
  const shown = inline && (/^(?:video|audio)\//.test(type) || raster.test(type))
  const name = downloadName(sidecar)
  const ascii = name.replace(/[^\x20-\x7e]/gu, '_').replace(/["\\%]/g, '_')
  const disposition = `${shown ? 'inline' : 'attachment'}; filename="${ascii}"`
  return ascii === name ? disposition : `${disposition}; filename*=UTF-8''${encode8187(name)}`
}

function safeMediaType({ mime_type: stored }: Sidecar): string {
  const type = /^[a-z0-9][a-z0-9!#$&^_.+-]{0,126}\/[a-z0-9][a-z0-9!#$&^_.+-]{0,126}$/i
  return type.test(stored) ? stored : 'application/octet-stream'
}

function downloadName(sidecar: Sidecar): string {
  return safeName(sidecar.filename ?? '') || safeName(sidecar.archive_path) || 'download'
}

/** The last part of a path, without what controls terminals, text direction or hidden files; at most 200 characters. */
function safeName(raw: string): string {
  const last = raw.split(/[/\\]/).at(-1) ?? ''
  // No name needs more, and each request pays for it.
  const short = last.length > 4096 ? last.slice(0, 2048) + last.slice(-64) : last
  const visible = short.toWellFormed().replace(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu, '')
  // Without the look back each dot of a long row of them would be a new beginning.
  const plain = visible.replace(/^[.\s]+|(?<![.\s])[.\s]+$/gu, '')
  const points = [...plain]
  if (points.length <= 200) return plain
  const extension = /\.[A-Za-z0-9]{1,12}$/.exec(plain)?.[0] ?? ''
  return points.slice(0, 200 - extension.length).join('') + extension
}

/** RFC 8187's attr-char is narrower than what encodeURIComponent leaves alone. */
function encode8187(name: string): string {
  const percent = (char: string) => `%${char.charCodeAt(0).toString(16).toUpperCase()}`
  return encodeURIComponent(name).replace(/['()*]/g, percent)
}
