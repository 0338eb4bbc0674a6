import type { MediaKind } from './media.ts'

/** A container that may enter the archive, and what it is called when it is served. */
export interface AcceptedFormat {
  /** Our name, as kept in facts and sidecars. */
  name: string
  /** The name of ffprobe's demuxer, exactly as it reports it. */
  demuxer: string
  /** Decides between formats that share a demuxer: the brand in an MP4-like header, empty when there is none. */
  brand?: RegExp
  /** Decides between formats that share a demuxer: no codec may lie outside. */
  codecs?: ReadonlySet<string>
  /** The kinds that this format can be, each with the MIME type that it is served as. */
  mimeTypes: Partial<Record<MediaKind, string>>
}

/** MP4 and all that is built like it. */
export const MOV = 'mov,mp4,m4a,3gp,3g2,mj2'
/** The brand of every still picture or sequence, whatever its coding. */
const GENERAL_BRAND = /^(mif[12]|msf1)$/
const MATROSKA = 'matroska,webm'
const webmCodecs = new Set(['vp8', 'vp9', 'av1', 'opus', 'vorbis', 'webvtt'])

/**
 * Every accepted format, the first match wins. What is not here is rejected: playlists, scripts and subtitles can
 * name other files, raw streams have no header to check, devices are no files.
 */
export const acceptedFormats: readonly AcceptedFormat[] = [
  { name: 'avif', demuxer: MOV, brand: /^avi[fs]$/, mimeTypes: { image: 'image/avif' } },
  {
    name: 'heic',
    demuxer: MOV,
    brand: /^he(ic|ix|im|is|vc|vx)$/,
    mimeTypes: { image: 'image/heic' },
  },
  { name: 'heif', demuxer: MOV, brand: GENERAL_BRAND, mimeTypes: { image: 'image/heif' } },
  {
    name: 'm4a',
    demuxer: MOV,
    brand: /^M4[ABP]$/,
    mimeTypes: { audio: 'audio/mp4', video: 'video/mp4' },
  },
  {
    name: '3g2',
    demuxer: MOV,
    brand: /^3g2/,
    mimeTypes: { video: 'video/3gpp2', audio: 'audio/3gpp2' },
  },
  {
    name: '3gp',
    demuxer: MOV,
    brand: /^3g/,
    mimeTypes: { video: 'video/3gpp', audio: 'audio/3gpp' },
  },
  {
    name: 'quicktime',
    demuxer: MOV,
    brand: /^(qt)?$/,
    mimeTypes: { video: 'video/quicktime', audio: 'video/quicktime' },
  },
  { name: 'mp4', demuxer: MOV, mimeTypes: { video: 'video/mp4', audio: 'audio/mp4' } },
  {
    name: 'webm',
    demuxer: MATROSKA,
    codecs: webmCodecs,
    mimeTypes: { video: 'video/webm', audio: 'audio/webm' },
  },
  {
    name: 'matroska',
    demuxer: MATROSKA,
    mimeTypes: { video: 'video/x-matroska', audio: 'audio/x-matroska' },
  },
  { name: 'avi', demuxer: 'avi', mimeTypes: { video: 'video/x-msvideo' } },
  { name: 'mpegts', demuxer: 'mpegts', mimeTypes: { video: 'video/mp2t', audio: 'video/mp2t' } },
  { name: 'mpeg', demuxer: 'mpeg', mimeTypes: { video: 'video/mpeg' } },
  { name: 'flv', demuxer: 'flv', mimeTypes: { video: 'video/x-flv' } },
  {
    name: 'asf',
    demuxer: 'asf',
    mimeTypes: { video: 'video/x-ms-wmv', audio: 'audio/x-ms-wma' },
  },
  { name: 'ogg', demuxer: 'ogg', mimeTypes: { video: 'video/ogg', audio: 'audio/ogg' } },
  { name: 'wav', demuxer: 'wav', mimeTypes: { audio: 'audio/wav' } },
  { name: 'mp3', demuxer: 'mp3', mimeTypes: { audio: 'audio/mpeg' } },
  { name: 'flac', demuxer: 'flac', mimeTypes: { audio: 'audio/flac' } },
  { name: 'aac', demuxer: 'aac', mimeTypes: { audio: 'audio/aac' } },
  { name: 'aiff', demuxer: 'aiff', mimeTypes: { audio: 'audio/aiff' } },
  { name: 'jpeg', demuxer: 'jpeg_pipe', mimeTypes: { image: 'image/jpeg' } },
  { name: 'png', demuxer: 'png_pipe', mimeTypes: { image: 'image/png' } },
  { name: 'apng', demuxer: 'apng', mimeTypes: { image: 'image/apng' } },
  { name: 'gif', demuxer: 'gif', mimeTypes: { image: 'image/gif', video: 'image/gif' } },
  { name: 'webp', demuxer: 'webp_pipe', mimeTypes: { image: 'image/webp' } },
  { name: 'jxl', demuxer: 'jpegxl_pipe', mimeTypes: { image: 'image/jxl' } },
  { name: 'bmp', demuxer: 'bmp_pipe', mimeTypes: { image: 'image/bmp' } },
  { name: 'tiff', demuxer: 'tiff_pipe', mimeTypes: { image: 'image/tiff' } },
]

/** Every demuxer that ffprobe may choose; it refuses a file that looks like anything else before it reads on. */
export const acceptedDemuxers: readonly string[] = [
  ...new Set(acceptedFormats.flatMap((format) => format.demuxer.split(','))),
]

/** What ffprobe tells of a container, as far as it decides the format. */
export interface FoundContainer {
  demuxer: string
  majorBrand: string | null
  compatibleBrands: readonly string[]
  /** Codecs of all streams; null for one that ffprobe does not know. */
  codecs: readonly (string | null)[]
}

/** @returns null when the container is not accepted */
export function formatOf(found: FoundContainer): AcceptedFormat | null {
  const brand = decidingBrand(found)
  for (const format of acceptedFormats) {
    if (format.demuxer !== found.demuxer) continue
    if (format.brand && !format.brand.test(brand)) continue
    const { codecs } = format
    if (codecs && !found.codecs.every((codec) => codec !== null && codecs.has(codec))) continue
    return format
  }
  return null
}

/** An image file may carry the general brand first (mif1, msf1) and say only after it what it really is. */
function decidingBrand({ majorBrand, compatibleBrands }: FoundContainer): string {
  const major = (majorBrand ?? '').trim()
  if (!GENERAL_BRAND.test(major)) return major
  return compatibleBrands.find((brand) => /^(avi[fs]|he(ic|ix|im|is|vc|vx))$/.test(brand)) ?? major
}
