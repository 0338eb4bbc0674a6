import { Damage, type FileBytes } from './file-bytes.ts'

interface Chunk {
  type: string
  bodyAt: number
  bytes: number
}

const RIFF_HEADER_BYTES = 12
const CHUNK_HEADER_BYTES = 8
const FRAME_HEADER_BYTES = 16
const ANIMATED = 0x02

/**
 * Checks that a WebP file is as long as it says and that every chunk lies inside.
 *
 * @returns the canvas when it is an animation, whose frames ffprobe does not read; null when it is a still picture
 * @throws Damage
 * @see https://developers.google.com/speed/webp/docs/riff_container
 */
export async function readWebp(file: FileBytes): Promise<{ width: number; height: number } | null> {
  const header = await file.read(0, RIFF_HEADER_BYTES)
  const end = CHUNK_HEADER_BYTES + header.readUInt32LE(4)
  if (end > file.sizeBytes) {
    throw new Damage(`is cut off (bytes missing: ${end - file.sizeBytes})`)
  }
  let canvas: { width: number; height: number } | null = null
  let frames = 0
  let pictures = 0
  for await (const { type, ...chunk } of chunksIn(file, RIFF_HEADER_BYTES, end)) {
    if (type === 'VP8X') canvas ??= await animatedCanvas(file, chunk)
    if (type === 'VP8 ' || type === 'VP8L') pictures += 1
    if (type !== 'ANMF') continue
    await assertFrame(file, chunk)
    frames += 1
  }
  if (frames + pictures === 0) throw new Damage('holds no picture')
  return frames > 0 ? canvas : null
}

async function* chunksIn(file: FileBytes, from: number, end: number): AsyncGenerator<Chunk> {
  let at = from
  while (at + CHUNK_HEADER_BYTES <= end) {
    const header = await file.read(at, CHUNK_HEADER_BYTES)
    const bytes = header.readUInt32LE(4)
    const bodyAt = at + CHUNK_HEADER_BYTES
    if (bodyAt + bytes > end) throw new Damage('is damaged: a chunk does not fit into it')
    yield { type: header.toString('latin1', 0, 4), bodyAt, bytes }
    // The filling byte after an odd length is not counted in it.
    at = bodyAt + bytes + (bytes & 1)
  }
}

async function animatedCanvas(
  file: FileBytes,
  { bodyAt, bytes }: Omit<Chunk, 'type'>,
): Promise<{ width: number; height: number } | null> {
  if (bytes < 10) throw new Damage('is damaged: its VP8X chunk is too short')
  const body = await file.read(bodyAt, 10)
  if ((body.readUInt8(0) & ANIMATED) === 0) return null
  return { width: 1 + body.readUIntLE(4, 3), height: 1 + body.readUIntLE(7, 3) }
}

async function assertFrame(file: FileBytes, frame: Omit<Chunk, 'type'>): Promise<void> {
  const end = frame.bodyAt + frame.bytes
  for await (const part of chunksIn(file, frame.bodyAt + FRAME_HEADER_BYTES, end)) {
    if (await isBitstream(file, part)) return
  }
  throw new Damage('has an empty frame')
}

/** The two codings begin with fixed bytes: see RFC 6386 (9.1) and the lossless bitstream's specification (3). */
async function isBitstream(file: FileBytes, { type, bodyAt, bytes }: Chunk): Promise<boolean> {
  if (type === 'VP8L' && bytes >= 5) return (await file.read(bodyAt, 1)).readUInt8() === 0x2f
  if (type !== 'VP8 ' || bytes < 10) return false
  return (await file.read(bodyAt + 3, 3)).equals(Buffer.from([0x9d, 0x01, 0x2a]))
}
