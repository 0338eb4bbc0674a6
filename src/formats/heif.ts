import { type Box, bodyOf, topBoxes } from './boxes.ts'
import { Damage, type FileBytes } from './file-bytes.ts'
import { type HeifItems, type Item, readItems } from './heif-items.ts'

/** The picture that a HEIF file (HEIC, AVIF) shows, as the file describes it. */
export interface HeifPicture {
  /** As ffprobe calls it. */
  codec: string
  width: number
  height: number
}

interface Coding {
  codec: string
  /** The property without which nothing can be decoded. */
  configuration: string
  /** Where that property says how many bytes the length of a NAL unit takes; null when there are no NAL units. */
  nalLengthAt: number | null
}

const codings: Readonly<Record<string, Coding>> = {
  hvc1: { codec: 'hevc', configuration: 'hvcC', nalLengthAt: 21 },
  avc1: { codec: 'h264', configuration: 'avcC', nalLengthAt: 4 },
  av01: { codec: 'av1', configuration: 'av1C', nalLengthAt: null },
}

/** Images made of others: tiles, overlays, the same one once more, one with its tone map. */
const madeOfOthers = new Set(['grid', 'iovl', 'iden', 'tmap'])
const DEEPEST = 4

/**
 * Checks that all that a HEIF file describes is in it, and that each image of which its picture is made begins like
 * its coding. Nothing is decoded.
 *
 * @returns null when it holds no picture but a sequence, which ffprobe reads
 * @throws Damage
 * @see ISO/IEC 23008-12, https://aomediacodec.github.io/av1-avif/
 */
export async function readHeif(file: FileBytes): Promise<HeifPicture | null> {
  let meta: Box | null = null
  let hasSequence = false
  for await (const box of topBoxes(file)) {
    if (box.type === 'meta') meta ??= box
    if (box.type === 'moov') hasSequence = true
  }
  const items = meta && (await readItems(file, meta))
  if (items === null && hasSequence) return null
  if (items === null) throw new Damage('describes no picture')
  for (const item of items.all.values()) assertInside(item)
  const { primary } = items
  if (!primary) throw new Damage('does not say which picture it shows')
  const codec = await codecOf({ file, items, known: new Map() }, primary, 0)
  return { codec, ...(await dimensionsOf(file, primary)) }
}

function assertInside({ extents }: Item): void {
  for (const { at, end, limit } of extents) {
    if (at > end || end > limit) throw new Damage('is cut off: what it describes is not in it')
  }
}

interface Search {
  file: FileBytes
  items: HeifItems
  /** Codecs of the items that were looked at: a hostile file uses one a million times. */
  known: Map<Item, string>
}

/** Follows a picture to the coded images of which it is made, and looks at each once. */
async function codecOf(search: Search, item: Item, depth: number): Promise<string> {
  const coding = codings[item.type]
  if (coding) await assertCoded(search.file, item, coding)
  const codec = coding?.codec ?? (await codecOfParts(search, item, depth))
  search.known.set(item, codec)
  return codec
}

async function codecOfParts(search: Search, item: Item, depth: number): Promise<string> {
  if (!madeOfOthers.has(item.type)) throw new Damage('shows a picture of an unknown kind')
  let codec: string | null = null
  for (const id of item.madeOf) {
    const part = search.items.all.get(id)
    if (!part || depth === DEEPEST) throw new Damage('lacks a part of its picture')
    const found = search.known.get(part) ?? (await codecOf(search, part, depth + 1))
    codec ??= found
  }
  if (codec === null) throw new Damage('lacks the parts of its picture')
  return codec
}

/** An upload that was never finished may have its full length, filled with zeros. */
async function assertCoded(file: FileBytes, item: Item, coding: Coding): Promise<void> {
  const property = item.properties.find(({ type }) => type === coding.configuration)
  const [first] = item.extents
  if (!property || !first) throw new Damage('shows a picture that nothing can decode')
  const lengthBytes =
    coding.nalLengthAt === null
      ? 1
      : 1 + ((await file.read(property.bodyAt + coding.nalLengthAt, 1)).readUInt8() & 3)
  const bytes = item.extents.reduce((sum, { at, end }) => sum + end - at, 0)
  if (bytes > lengthBytes) {
    const start = (await file.read(first.at, lengthBytes)).readUIntBE(0, lengthBytes)
    if (start > 0 && (coding.nalLengthAt === null || start <= bytes - lengthBytes)) return
  }
  throw new Damage('has a picture without contents')
}

async function dimensionsOf(
  file: FileBytes,
  { properties }: Item,
): Promise<{ width: number; height: number }> {
  const property = properties.find(({ type }) => type === 'ispe')
  const body = property ? await bodyOf(file, property) : Buffer.alloc(0)
  if (body.length < 12) throw new Damage('does not say how large its picture is')
  return { width: body.readUInt32BE(4), height: body.readUInt32BE(8) }
}
