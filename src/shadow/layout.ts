import { checkLayout, renderArchivePath } from '../archive-path.ts'
import type { MediaRow } from '../media.ts'

/** A path that the other service chose, with what a layout may name of its medium. */
export interface ChosenPath {
  path: string
  media: MediaRow
  /** Hex. */
  sha256: string
}

const tokens = [
  'filename',
  'media_id',
  'user_id',
  'content_type',
  'year',
  'month',
  'day',
  'stem',
  'ext',
  'sha256',
  'sha256_2',
] as const

/** Spellings of one path that are tried. */
const MAX_SPELLINGS = 400

/**
 * Finds the ARCHIVE_LAYOUT that gives most of these paths.
 *
 * @returns the layout and which paths it gives; null when no layout gives three of them
 */
export function inferLayout(
  chosen: readonly ChosenPath[],
): { layout: string; gives: ReadonlySet<ChosenPath> } | null {
  let best: { layout: string; gives: ReadonlySet<ChosenPath> } | null = null
  // One that follows the layout is soon met, although the first ones may be odd.
  for (const sample of chosen.slice(0, 8)) {
    for (const layout of spellings(sample)) {
      const gives = new Set(chosen.filter((one) => rendered(layout, one) === one.path))
      if (gives.size > (best?.gives.size ?? 2)) best = { layout, gives }
    }
  }
  return best
}

function rendered(layout: string, { media, sha256 }: ChosenPath): string | null {
  try {
    return renderArchivePath(layout, { media, sha256 })
  } catch {
    // A layout that gives no safe path for it does not give this one.
    return null
  }
}

/** All layouts that give this path, those with the most tokens first. */
function spellings(sample: ChosenPath): string[] {
  const values = tokens.flatMap((token) => {
    const value = rendered(`{media_id}/{${token}}x`, sample)?.split('/')[1]?.slice(0, -1) ?? ''
    return value === '' ? [] : [[token, value] as const]
  })
  let paths = ['']
  for (const [index, segment] of sample.path.split('/').entries()) {
    const ways = waysOf(segment, values)
    paths = paths.flatMap((path) => ways.map((way) => (index === 0 ? way : `${path}/${way}`)))
    paths = paths.slice(0, MAX_SPELLINGS)
  }
  return paths.filter((layout) => checkLayout(layout).length === 0)
}

type TokenValue = readonly [token: (typeof tokens)[number], value: string]

/** How one folder or file name may have come about, most likely first. */
function waysOf(text: string, values: readonly TokenValue[]): string[] {
  const ways: string[] = []
  for (const [token, value] of values) {
    const at = wordAt(text, value)
    if (at === -1) continue
    const before = text.slice(0, at)
    const after = text.slice(at + value.length)
    // What stands before it may hold another one: 17-film.mp4.
    const heads = before === '' ? [''] : waysOf(before, values)
    const tails = after === '' ? [''] : waysOf(after, values)
    for (const head of heads.slice(0, 3))
      for (const tail of tails.slice(0, 3)) ways.push(`${head}{${token}}${tail}`)
  }
  const literal = /[{}]/.test(text) ? [] : [text]
  return [...new Set([...ways, ...literal])].slice(0, 12)
}

/** Short ones not within a longer word or number: an id of one digit is found in many places. */
function wordAt(text: string, value: string): number {
  const at = text.indexOf(value)
  if (at === -1 || value.length >= 4) return at
  const isWord = (char: string) => /[\p{L}\p{N}]/u.test(char)
  const before = text.charAt(at - 1)
  const after = text.charAt(at + value.length)
  const cuts = (outer: string, inner: string) => isWord(outer) && isWord(inner)
  if (cuts(before, value.charAt(0)) || cuts(after, value.charAt(value.length - 1))) return -1
  return at
}
