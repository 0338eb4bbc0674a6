import { AppError } from './errors.ts'
import type { MediaRow } from './media.ts'

/** What Strongroom keeps for itself inside the archive; nothing in it is ever served. */
export const PRIVATE_FOLDER = '.strongroom'
/** The archive's identity; without it a folder is no archive, but perhaps the place where one is to be mounted. */
export const MARKER_PATH = `${PRIVATE_FOLDER}/archive.json`
/** What a test folder of shadow mode has in its place: it is no archive. */
export const SHADOW_MARKER_PATH = `${PRIVATE_FOLDER}/shadow.json`

export const defaultLayout = '{year}/{month}/{media_id}/{filename}'

/** What `{token}` in a layout may be, and the most bytes it can become. */
const tokenBytes = {
  media_id: 16,
  user_id: 16,
  content_type: 7,
  year: 7,
  month: 7,
  day: 7,
  stem: 200,
  ext: 12,
  filename: 200,
  sha256: 64,
  sha256_2: 2,
} as const
type Token = keyof typeof tokenBytes
type TokenValues = Record<Token, string>

/** 200 leaves room in 255 for the sidecar's `.json` on every file system. */
const maxSegmentBytes = 200
const maxPathBytes = 1024

const tokenPattern = /\{([^{}]*)\}/g
const distinctTokens: readonly string[] = ['media_id', 'sha256', 'filename', 'stem']

/**
 * Says what is wrong with an ARCHIVE_LAYOUT.
 *
 * @returns one clause per problem, to be read after the setting's name; empty when it may be used
 */
export function checkLayout(template: string): string[] {
  const problems = new Set<string>()
  if (template === '') return ['must not be empty']
  if (template.startsWith('/')) problems.add('must be relative to ARCHIVE_DIR, without a leading /')
  else if (template.split('/').includes('')) problems.add('must not contain an empty folder name')
  for (const [, token = ''] of template.matchAll(tokenPattern)) {
    if (!Object.hasOwn(tokenBytes, token)) {
      problems.add(`has an unknown token; known are ${Object.keys(tokenBytes).join(', ')}`)
    }
  }
  const withoutTokens = template.replace(tokenPattern, 'x')
  if (/[{}]/.test(withoutTokens)) problems.add('has a brace that opens or closes no token')
  for (const segment of withoutTokens.split('/')) {
    if (segment !== '' && safeName(segment) !== segment) {
      problems.add(
        'has a part that is no safe name (leading dot or dash, trailing dot or space, .json, over 200 bytes …)',
      )
    }
  }
  if (!distinctTokens.some((token) => template.includes(`{${token}}`))) {
    problems.add(
      'must contain {filename}, {stem}, {media_id} or {sha256}, or all names would collide',
    )
  }
  if (longestBytes(template) > maxPathBytes) {
    problems.add(`can become longer than ${maxPathBytes} bytes; use fewer parts`)
  }
  return [...problems]
}

/** The last part counts in full, because a suffix may fill it up. */
function longestBytes(template: string): number {
  const folders = template.split('/').slice(0, -1)
  const longest = folders.map((folder) => {
    const tokens = [...folder.matchAll(tokenPattern)].map(([, name = '']) => name as Token)
    const literal = byteLength(folder.replace(tokenPattern, ''))
    const filled = tokens.reduce((sum, token) => sum + (tokenBytes[token] ?? 0), literal)
    return Math.min(filled, maxSegmentBytes) + 1
  })
  return longest.reduce((sum, bytes) => sum + bytes, maxSegmentBytes)
}

export interface NamingFacts {
  media: MediaRow
  /** Hex. */
  sha256: string
  /** Without a dot; used only where the file's own name has none. */
  extension?: string | null
}

/**
 * Renders where a file is filed, relative to ARCHIVE_DIR; the result satisfies {@link isArchivePath} whatever the
 * names from outside contain.
 *
 * @param layout has passed {@link checkLayout}
 * @throws PATH_UNSAFE when the layout has not, and the result is no archive path
 */
export function renderArchivePath(layout: string, facts: NamingFacts): string {
  const values = tokenValues(facts)
  const path = layout
    .split('/')
    .map((segment) => renderSegment(segment, values) || `media-${facts.media.mediaId}`)
    .join('/')
  if (!isArchivePath(path) || byteLength(path) > maxPathBytes) {
    throw new AppError('PATH_UNSAFE', 'ARCHIVE_LAYOUT renders to a path that is not safe to use', {
      hint: `use a layout such as ${defaultLayout}`,
    })
  }
  return path
}

/**
 * Inserts `~suffix` before the extension, for a name that is taken.
 *
 * @throws PATH_UNSAFE when `suffix` has other characters than letters, digits, dots and dashes
 */
export function withSuffix(path: string, suffix: string): string {
  const slash = path.lastIndexOf('/') + 1
  const { stem, extension } = splitName(path.slice(slash))
  const tail = `~${suffix}${extension}`
  const name = cutBytes(stem, maxSegmentBytes - byteLength(tail)) + tail
  const suffixed = path.slice(0, slash) + name
  if (!/^[A-Za-z0-9][A-Za-z0-9.-]{0,79}$/.test(suffix) || !isArchivePath(suffixed)) {
    throw new AppError('PATH_UNSAFE', 'the suffix for a taken name is not safe in a file name')
  }
  return suffixed
}

/**
 * True for what a rendered path always is: relative, NFC, no empty or dot segment, none that starts with a dot or
 * is the link form's `-`, no control or separator characters, and not the name of a sidecar.
 */
export function isArchivePath(path: string): boolean {
  return whyNoArchivePath(path) === null
}

/** @returns a clause to be read after the path; null when {@link isArchivePath} is true */
export function whyNoArchivePath(path: string): string | null {
  if (path !== path.normalize('NFC')) {
    return 'is not in the composed form of Unicode (NFC), in which every link is read'
  }
  if (unwanted.test(path)) {
    return 'has a backslash, or a character that controls lines or the direction of text'
  }
  if (/^$|^\/|\/\/|\/$/.test(path)) return 'has an empty part'
  if (/(?:^|\/)-(?:\/|$)/.test(path)) return 'has a part that is a single dash, which ends links'
  if (/(?:^|\/)\./.test(path)) {
    return 'has a part that begins with a dot; such files are never served'
  }
  return sidecarName.test(path) ? 'ends in .json, as only sidecars do' : null
}

/**
 * A path that another service wrote into its row, relative to the archive: such services wrote whole paths, or relative ones
 * with a dot or a slash before them.
 *
 * @param roots absolute spellings of ARCHIVE_DIR
 */
export function relativePath(roots: readonly string[], text: string): string {
  const root = roots.find((one) => text.startsWith(`${one}/`))
  return (root === undefined ? text : text.slice(root.length)).replace(/^(?:\.?\/)+/, '')
}

/** All texts that {@link relativePath} takes for one of these paths, as far as services write them. */
export function spellingsOf(roots: readonly string[], paths: readonly string[]): string[] {
  const starts = ['', '/', './', ...roots.map((root) => `${root}/`)]
  return paths.flatMap((path) => starts.map((start) => start + path))
}

function tokenValues({ media, sha256, extension }: NamingFacts): TokenValues {
  const { stem, extension: dotted } = splitName(fileName(media, extension ?? null))
  const approved = Number.isNaN(media.approvedAt.getTime()) ? null : media.approvedAt
  const padded = (value: number, width: number) => String(value).padStart(width, '0')
  return {
    media_id: String(media.mediaId),
    user_id: String(media.userId ?? 'unknown'),
    content_type: media.contentType ?? 'unknown',
    year: approved ? padded(approved.getUTCFullYear(), 4) : 'unknown',
    month: approved ? padded(approved.getUTCMonth() + 1, 2) : 'unknown',
    day: approved ? padded(approved.getUTCDate(), 2) : 'unknown',
    stem,
    ext: dotted.slice(1),
    filename: stem + dotted,
    sha256: strip(sha256),
    sha256_2: strip(sha256).slice(0, 2),
  }
}

/** The row's file name, else the last part of its object key, else its id; with an extension where one is known. */
function fileName(media: MediaRow, extension: string | null): string {
  const fromKey = media.objectKey.split('/').findLast((part) => safeName(part) !== '') ?? ''
  const name = safeName(media.filename ?? '') || safeName(fromKey) || `media-${media.mediaId}`
  if (extension === null || splitName(name).extension !== '') return name
  return safeName(`${cutBytes(name, maxSegmentBytes - byteLength(extension) - 1)}.${extension}`)
}

/** Shortens the name's own part first, so that ids and hashes beside it survive the cut. */
function renderSegment(template: string, values: TokenValues): string {
  const fill = (tokens: TokenValues) =>
    template.replace(tokenPattern, (whole, token: string) =>
      Object.hasOwn(tokens, token) ? tokens[token as Token] : whole,
    )
  const overflow = byteLength(fill(values)) - maxSegmentBytes
  const names = template.match(/\{(?:stem|filename)\}/g)?.length ?? 0
  if (overflow <= 0 || names === 0) return safeName(fill(values))
  const room = Math.max(byteLength(values.stem) - Math.ceil(overflow / names), 0)
  const stem = cutBytes(values.stem, room)
  const dotted = values.ext === '' ? '' : `.${values.ext}`
  return safeName(fill({ ...values, stem, filename: stem + dotted }))
}

/** One path segment that every file system and shell takes as it is; empty when nothing usable is left. */
export function safeName(raw: string): string {
  // No name needs more, and the loops below stay cheap for a hostile one.
  let name = strip(raw.length > 4096 ? raw.slice(0, 2048) + raw.slice(-64) : raw)
  for (;;) {
    const safer = cutName(guardName(trimName(name)))
    if (safer === name) return name
    name = safer
  }
}

/**
 * Control, line-separator and direction-changing characters, lone surrogates and both slashes go before NFC, which
 * could otherwise be undone by their removal.
 */
function strip(raw: string): string {
  return raw.replace(everyUnwanted, '').normalize('NFC')
}

const unwanted = /[\p{Cc}\p{Cs}\p{Zl}\p{Zp}\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\ufeff\\]/u
const everyUnwanted = new RegExp(`${unwanted.source}|/`, 'gu')

function trimName(name: string): string {
  return name.replace(/^[.\s]+/u, '').replace(/[.\s]+$/u, '')
}

const sidecarName = /\.json$/iu
const windowsDevice =
  /^(?:con|prn|aux|nul|conin\$|conout\$|com[0-9\u00b9\u00b2\u00b3]|lpt[0-9\u00b9\u00b2\u00b3])\s*(?:\.|$)/iu

function guardName(name: string): string {
  const harmless = sidecarName.test(name) ? `${name}.bin` : name
  return harmless.startsWith('-') || windowsDevice.test(harmless) ? `_${harmless}` : harmless
}

function cutName(name: string): string {
  if (byteLength(name) <= maxSegmentBytes) return name
  const { stem, extension } = splitName(name)
  return trimName(cutBytes(stem, maxSegmentBytes - byteLength(extension))) + extension
}

/** `extension` includes its dot; empty when what follows the last dot does not look like one. */
function splitName(name: string): { stem: string; extension: string } {
  const extension = /(?<=.)\.[A-Za-z0-9]{1,12}$/su.exec(name)?.[0] ?? ''
  return { stem: name.slice(0, name.length - extension.length), extension }
}

/** The longest start of `text` of at most `maxBytes` of UTF-8, by whole code points. */
function cutBytes(text: string, maxBytes: number): string {
  let bytes = 0
  let end = 0
  for (const point of text) {
    bytes += byteLength(point)
    if (bytes > maxBytes) break
    end += point.length
  }
  return text.slice(0, end)
}

function byteLength(text: string): number {
  return Buffer.byteLength(text)
}
