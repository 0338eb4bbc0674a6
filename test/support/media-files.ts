import { execFileSync } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { existsSync, mkdirSync, readFileSync, renameSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { crc32, deflateSync } from 'node:zlib'
import type { MediaKind } from '../../src/media.ts'

/** Raise it when a recipe changes: the cache outlives the test run. */
const CACHE = join(tmpdir(), 'strongroom-test-media-3')

const picture = ['-f', 'lavfi', '-i', 'testsrc=size=64x48:duration=1:rate=5']
const sound = ['-f', 'lavfi', '-i', 'sine=duration=0.5:sample_rate=16000']
const bothInputs = [...picture, ...sound]
const h264 = ['-c:v', 'libx264', '-pix_fmt', 'yuv420p']
const still = [...picture, '-frames:v', '1']
const glass = [...still, '-vf', 'format=rgba,colorchannelmixer=aa=0.5']
const hevc = ['-c:v', 'libx265', '-tag:v', 'hvc1', '-x265-params', 'log-level=none']

/** How ffmpeg makes one small file of each kind that the tests use. */
const recipes = {
  mp4: [...bothInputs, ...h264, '-c:a', 'aac', '-f', 'mp4'],
  'mp4-faststart': [...bothInputs, ...h264, '-c:a', 'aac', '-movflags', '+faststart', '-f', 'mp4'],
  'mp4-fragmented': [...picture, ...h264, '-movflags', 'frag_keyframe+empty_moov', '-f', 'mp4'],
  'mp4-audio': [...sound, '-c:a', 'aac', '-f', 'mp4'],
  mov: [...picture, ...h264, '-f', 'mov'],
  m4a: [...sound, '-c:a', 'aac', '-f', 'ipod'],
  '3gp': [...bothInputs, ...h264, '-c:a', 'aac', '-f', '3gp'],
  '3g2': [...bothInputs, ...h264, '-c:a', 'aac', '-f', '3g2'],
  webm: [...bothInputs, '-c:v', 'libvpx', '-c:a', 'libopus', '-f', 'webm'],
  'webm-live': [...picture, '-c:v', 'libvpx', '-live', '1', '-f', 'webm'],
  'webm-audio': [...sound, '-c:a', 'libopus', '-f', 'webm'],
  mkv: [...bothInputs, ...h264, '-c:a', 'flac', '-f', 'matroska'],
  mka: [...sound, '-c:a', 'aac', '-f', 'matroska'],
  avi: [...bothInputs, '-c:v', 'mpeg4', '-c:a', 'libmp3lame', '-f', 'avi'],
  ts: [...bothInputs, ...h264, '-c:a', 'aac', '-f', 'mpegts'],
  mpg: [...picture, '-c:v', 'mpeg2video', '-r', '25', '-f', 'mpeg'],
  vob: [...bothInputs, '-c:v', 'mpeg2video', '-r', '25', '-c:a', 'mp2', '-f', 'vob'],
  flv: [...picture, ...h264, '-f', 'flv'],
  wmv: [...bothInputs, '-c:v', 'wmv2', '-c:a', 'wmav2', '-f', 'asf'],
  wma: [...sound, '-c:a', 'wmav2', '-f', 'asf'],
  ogv: [...bothInputs, '-c:v', 'libtheora', '-c:a', 'libvorbis', '-f', 'ogg'],
  ogg: [...sound, '-c:a', 'libvorbis', '-f', 'ogg'],
  opus: [...sound, '-c:a', 'libopus', '-f', 'ogg'],
  wav: [...sound, '-f', 'wav'],
  mp3: [...sound, '-c:a', 'libmp3lame', '-f', 'mp3'],
  'mp3-cover': [...sound, ...still, ...attached('libmp3lame'), '-f', 'mp3'],
  flac: [...sound, '-f', 'flac'],
  'flac-cover': [...sound, ...still, ...attached('flac'), '-f', 'flac'],
  'm4a-cover': [...sound, ...still, ...attached('aac'), '-f', 'ipod'],
  aac: [...sound, '-c:a', 'aac', '-f', 'adts'],
  aiff: [...sound, '-f', 'aiff'],
  jpeg: [...still, '-c:v', 'mjpeg', '-f', 'image2pipe'],
  png: [...still, '-c:v', 'png', '-f', 'image2pipe'],
  apng: [...picture, '-f', 'apng'],
  gif: [...picture, '-f', 'gif'],
  'gif-still': [...still, '-f', 'gif'],
  webp: [...still, '-c:v', 'libwebp', '-f', 'webp'],
  'webp-lossless': [...still, '-c:v', 'libwebp', '-lossless', '1', '-f', 'webp'],
  'webp-alpha': [...glass, '-c:v', 'libwebp', '-f', 'webp'],
  'webp-animated': [...picture, '-c:v', 'libwebp_anim', '-f', 'webp'],
  bmp: [...still, '-c:v', 'bmp', '-f', 'image2pipe'],
  tiff: [...still, '-c:v', 'tiff', '-f', 'image2pipe'],
  avif: [...still, '-c:v', 'libaom-av1', '-cpu-used', '8', '-still-picture', '1', '-f', 'avif'],
  'avif-sequence': [...picture, '-c:v', 'libaom-av1', '-cpu-used', '8', '-f', 'avif'],
  'heic-sequence': [...picture, ...hevc, '-brand', 'hevc', '-f', 'mp4'],
  jxl: [...still, '-c:v', 'libjxl', '-f', 'image2pipe'],
} as const satisfies Record<string, readonly string[]>

export type MediaFileName = keyof typeof recipes

/** Every file that {@link mediaFile} can make. */
export const mediaFileNames = Object.keys(recipes) as MediaFileName[]

function attached(audioCodec: string): string[] {
  return [
    '-map',
    '0',
    '-map',
    '1',
    '-c:a',
    audioCodec,
    '-c:v',
    'mjpeg',
    '-disposition:v',
    'attached_pic',
  ]
}

/**
 * A small real media file (at most 50 KiB) under a neutral name, made at first use and shared by all test runs
 * of this machine: copy it before changing it.
 */
export async function mediaFile(name: MediaFileName): Promise<string> {
  return makeOnce(name)
}

/** The bytes of {@link mediaFile}. */
export function mediaBytes(name: MediaFileName): Buffer {
  return readFileSync(makeOnce(name))
}

/** Pictures that ffmpeg cannot make; the README beside them tells how they were made. */
export const fixtureNames = [
  ...(['still.heic', 'alpha.heic', 'grid.avif', 'alpha.avif', 'container.jxl'] as const),
  ...(['from-jpeg.jxl', 'animated-container.jxl', 'animated.jxl'] as const),
] as const
export type FixtureName = (typeof fixtureNames)[number]

/** Where the checked-in picture lies. */
export function fixtureFile(name: FixtureName): string {
  return join(import.meta.dirname, '../fixtures/formats', name)
}

/** The bytes of {@link fixtureFile}. */
export function fixtureBytes(name: FixtureName): Buffer {
  return readFileSync(fixtureFile(name))
}

function makeOnce(name: MediaFileName): string {
  const path = join(CACHE, `${name}.media`)
  if (existsSync(path)) return path
  mkdirSync(CACHE, { recursive: true })
  const fresh = join(CACHE, `.${randomUUID()}`)
  const args = ['-nostdin', '-v', 'error', '-bitexact', '-threads', '1', ...recipes[name], fresh]
  execFileSync('ffmpeg', args, { stdio: ['ignore', 'ignore', 'inherit'] })
  renameSync(fresh, path)
  return path
}

/**
 * Valid media whose bytes no other seed has, without starting ffmpeg for each: an mp4, a png or a wav.
 *
 * @param minBytes padded to at least this size, with bytes that follow from the seed
 */
export function uniqueMedia(kind: MediaKind, seed: number, minBytes = 0): Buffer {
  if (kind === 'video') return uniqueMp4(seed, minBytes)
  if (kind === 'image') return uniquePng(seed, minBytes)
  return uniqueWav(seed, minBytes)
}

/** The name and MIME type that belong to what {@link uniqueMedia} makes. */
export const uniqueMediaTypes = {
  video: { extension: 'mp4', mimeType: 'video/mp4' },
  image: { extension: 'png', mimeType: 'image/png' },
  audio: { extension: 'wav', mimeType: 'audio/wav' },
} as const satisfies Record<MediaKind, { extension: string; mimeType: string }>

let mp4: Buffer | null = null

/** Readers skip a `free` box. */
function uniqueMp4(seed: number, minBytes: number): Buffer {
  mp4 ??= mediaBytes('mp4')
  const note = padding(seed, minBytes - mp4.length - 8)
  const head = Buffer.alloc(8, 'free', 'latin1')
  head.writeUInt32BE(8 + note.length, 0)
  head.write('free', 4, 'latin1')
  return Buffer.concat([mp4, head, note])
}

function uniquePng(seed: number, minBytes: number): Buffer {
  const header = Buffer.from([0, 0, 0, 16, 0, 0, 0, 16, 8, 0, 0, 0, 0])
  const rows = Buffer.alloc(16 * 17)
  for (let y = 0; y < 16; y++) for (let x = 1; x < 17; x++) rows[y * 17 + x] = (seed + x * y) & 255
  const start = Buffer.concat([
    Buffer.from('\x89PNG\r\n\x1a\n', 'latin1'),
    pngChunk('IHDR', header),
    pngChunk('IDAT', deflateSync(rows)),
  ])
  const key = Buffer.from('Comment\0', 'latin1')
  const room = minBytes - start.length - key.length - 24
  return Buffer.concat([
    start,
    pngChunk('tEXt', Buffer.concat([key, padding(seed, room)])),
    pngChunk('IEND', Buffer.alloc(0)),
  ])
}

function pngChunk(type: string, contents: Buffer): Buffer {
  const chunk = Buffer.alloc(12 + contents.length)
  chunk.writeUInt32BE(contents.length, 0)
  chunk.write(type, 4, 'latin1')
  contents.copy(chunk, 8)
  chunk.writeUInt32BE(crc32(chunk.subarray(4, 8 + contents.length)), 8 + contents.length)
  return chunk
}

/** A tenth of a second of 8-bit mono at 8 kHz and more, the seed in a comment before the samples. */
function uniqueWav(seed: number, minBytes: number): Buffer {
  const note = padding(seed, 0)
  const comment = Buffer.concat([Buffer.from('INFOICMT'), uint32(note.length), note])
  const samples = Buffer.alloc((Math.max(800, minBytes - 52 - comment.length) + 1) & ~1, 128)
  for (let i = 0; i < 800; i++) samples[i] = 128 + Math.round(60 * Math.sin((i * (1 + seed)) / 20))
  const format = Buffer.alloc(16)
  format.writeUInt16LE(1, 0)
  format.writeUInt16LE(1, 2)
  format.writeUInt32LE(8000, 4)
  format.writeUInt32LE(8000, 8)
  format.writeUInt16LE(1, 12)
  format.writeUInt16LE(8, 14)
  const body = Buffer.concat([
    Buffer.from('WAVE'),
    ...riffChunk('fmt ', format),
    ...riffChunk('LIST', comment),
    ...riffChunk('data', samples),
  ])
  return Buffer.concat(riffChunk('RIFF', body))
}

function riffChunk(type: string, contents: Buffer): Buffer[] {
  return [Buffer.from(type, 'latin1'), uint32(contents.length), contents]
}

function uint32(value: number): Buffer {
  const bytes = Buffer.alloc(4)
  bytes.writeUInt32LE(value)
  return bytes
}

/** Printable, of even length, and different for each seed. */
function padding(seed: number, length: number): Buffer {
  const mark = `seed ${seed.toString().padStart(15, '0')} `
  const bytes = Buffer.alloc(Math.max(mark.length + 1, length + (length & 1)), mark, 'latin1')
  return bytes.subarray(0, bytes.length & ~1)
}
