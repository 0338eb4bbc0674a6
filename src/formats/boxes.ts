import { Damage, type FileBytes } from './file-bytes.ts'

/** A part of an MP4-like file. Positions are counted from the start of the file. */
export interface Box {
  /** Four printable letters. */
  type: string
  bodyAt: number
  end: number
}

const HEADER_BYTES = 8
const LARGE_HEADER_BYTES = 16

/**
 * The boxes at the top of a file. What follows the last one and cannot be a box is ignored, as every reader does:
 * cameras and editors leave padding or a line of text there.
 *
 * @throws Damage when a box ends behind the end of the file
 */
export async function* topBoxes(file: FileBytes): AsyncGenerator<Box> {
  let at = 0
  while (at + HEADER_BYTES <= file.sizeBytes) {
    const box = await boxAt(file, at, file.sizeBytes)
    if (box === null) return
    yield box
    at = box.end
  }
}

/** @throws Damage when the boxes do not fill the body of their parent */
export async function* boxesIn(file: FileBytes, { bodyAt, end, type }: Box): AsyncGenerator<Box> {
  let at = bodyAt
  while (at < end) {
    const box = at + HEADER_BYTES <= end ? await boxAt(file, at, end) : null
    if (box === null) throw new Damage(`has a damaged ${type} box`)
    yield box
    at = box.end
  }
}

export function bodyOf(file: FileBytes, { bodyAt, end }: Box): Promise<Buffer> {
  return file.read(bodyAt, end - bodyAt)
}

/** @returns null where no box begins */
async function boxAt(file: FileBytes, at: number, limit: number): Promise<Box | null> {
  const header = await file.read(at, HEADER_BYTES)
  const type = header.toString('latin1', 4)
  if (!/^[\x20-\x7e]{4}$/.test(type)) return null
  const { bodyAt, end } = await extentOf(file, { at, limit, shortSize: header.readUInt32BE() })
  if (end < bodyAt) return null
  if (end > limit && isText(header)) return null
  if (end > limit) {
    throw new Damage(`is cut off in its ${type} box (bytes missing: ${end - limit})`)
  }
  return { type, bodyAt, end }
}

/** Read as the length of a box, text means 150 MB and more. */
function isText(header: Buffer): boolean {
  return /^[\t\n\r\x20-\x7e]*$/.test(header.toString('latin1'))
}

async function extentOf(
  file: FileBytes,
  { at, limit, shortSize }: { at: number; limit: number; shortSize: number },
): Promise<{ bodyAt: number; end: number }> {
  // Up to the end of whatever it stands in.
  if (shortSize === 0) return { bodyAt: at + HEADER_BYTES, end: limit }
  if (shortSize !== 1) return { bodyAt: at + HEADER_BYTES, end: at + shortSize }
  const size = await file.read(at + HEADER_BYTES, LARGE_HEADER_BYTES - HEADER_BYTES)
  return { bodyAt: at + LARGE_HEADER_BYTES, end: at + Number(size.readBigUInt64BE()) }
}
