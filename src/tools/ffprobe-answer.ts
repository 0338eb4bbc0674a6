import { z } from 'zod'
import type { ProbedStream } from '../media.ts'

const MAX_WORD_LENGTH = 200
/** How many packets ffprobe is asked for. */
export const FIRST_PACKETS = 8

export interface RawStream extends ProbedStream {
  durationSeconds: number | null
}

/** What ffprobe says of a file it can open: typed, capped and cleaned, but judged by nobody yet. */
export interface RawProbe {
  /** As ffprobe names it, for example `mov,mp4,m4a,3gp,3g2,mj2`. */
  demuxer: string
  majorBrand: string | null
  compatibleBrands: string[]
  durationSeconds: number | null
  /** How many of the first few packets could be read, covers aside: 0 when there is a header and nothing behind it. */
  packets: number
  streams: RawStream[]
}

export interface ProbeError {
  /** FFmpeg's: a negative errno, or a tag of libavutil/error.h. */
  code: number
  text: string
}

/** @returns null when this is not what ffprobe prints (not JSON, cut off, another program's) */
export function readAnswer(stdout: string): RawProbe | ProbeError | null {
  const answer = answerSchema.safeParse(parseJson(stdout))
  if (!answer.success) return null
  const { error, format, streams } = answer.data
  if (error) return { code: error.code, text: error.string }
  if (!format) return null
  return {
    demuxer: format.format_name,
    majorBrand: format.tags.major_brand,
    compatibleBrands: format.tags.compatible_brands,
    durationSeconds: format.duration,
    packets: packetsIn(streams),
    streams: streams.map(asStream),
  }
}

/** A cover lies in the header and comes before all else: where there are so many that nothing else was asked for, they count. */
function packetsIn(streams: readonly z.infer<typeof streamSchema>[]): number {
  const sumOf = (some: typeof streams) =>
    some.reduce((sum, stream) => sum + (stream.nb_read_packets ?? 0), 0)
  const all = sumOf(streams)
  const contents = sumOf(streams.filter((stream) => !isCover(stream)))
  return contents === 0 && all >= FIRST_PACKETS ? all : contents
}

/** What a hostile file made ffprobe say: without control, invisible and direction-changing characters, on one line, of bounded length. */
export function clean(text: string): string {
  return text
    .replace(/[\p{C}\s]+/gu, ' ')
    .trim()
    .slice(0, MAX_WORD_LENGTH)
    .toWellFormed()
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    // Not JSON is not an answer, and the schema says so.
    return undefined
  }
}

const word = z.string().transform(clean)
const wordOrNull = word.nullable().catch(null).default(null)
/** Sizes and counts; anything else than a sane one is "not known". */
const countOrNull = z.coerce
  .number()
  .int()
  .min(0)
  .max(2 ** 31)
  .nullable()
  .catch(null)
  .default(null)
const secondsOrNull = z
  .string()
  .regex(/^-?\d{1,18}(\.\d{1,9})?$/)
  .transform(Number)
  .nullable()
  .catch(null)
  .default(null)

const streamSchema = z.object({
  codec_type: wordOrNull,
  codec_name: wordOrNull,
  width: countOrNull,
  height: countOrNull,
  avg_frame_rate: wordOrNull,
  duration: secondsOrNull,
  channels: countOrNull,
  sample_rate: countOrNull,
  nb_read_packets: countOrNull,
  disposition: z.object({ attached_pic: countOrNull }).catch({ attached_pic: null }).optional(),
})

const brandsOrNone = z
  .string()
  .transform((text) => text.slice(0, MAX_WORD_LENGTH).match(/.{4}/gs) ?? [])
  .catch([])
  .default([])

const tagsSchema = z.object({ major_brand: wordOrNull, compatible_brands: brandsOrNone })

const answerSchema = z.object({
  error: z.object({ code: z.int(), string: word }).optional(),
  format: z
    .object({
      format_name: word,
      duration: secondsOrNull,
      tags: tagsSchema.default({ major_brand: null, compatible_brands: [] }),
    })
    .optional(),
  streams: z.array(streamSchema).default([]),
})

const STREAM_TYPES = ['video', 'audio', 'subtitle', 'attachment'] as const

function asStream(raw: z.infer<typeof streamSchema>): RawStream {
  const codec = raw.codec_name
  return {
    type: STREAM_TYPES.find((type) => type === raw.codec_type) ?? 'data',
    codec: codec === 'unknown' || codec === 'none' || codec === '' ? null : codec,
    width: raw.width,
    height: raw.height,
    frameRate: rateOf(raw.avg_frame_rate),
    channels: raw.channels,
    sampleRate: raw.sample_rate,
    attachedPicture: isCover(raw),
    durationSeconds: raw.duration,
  }
}

function isCover({ disposition }: z.infer<typeof streamSchema>): boolean {
  return disposition?.attached_pic === 1
}

/** `30000/1001` → 29.97; ffprobe says `0/0` where there is none. */
function rateOf(fraction: string | null): number | null {
  const [, over, under] = /^(\d{1,10})\/(\d{1,10})$/.exec(fraction ?? '') ?? []
  const rate = Math.round((Number(over) / Number(under)) * 1000) / 1000
  return Number.isFinite(rate) && rate > 0 ? rate : null
}
