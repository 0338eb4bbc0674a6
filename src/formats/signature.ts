import { formatOf, MOV } from '../formats.ts'
import { type Brands, brandsIn } from './brands.ts'
import { looksLikeSvg, SVG_HEAD_BYTES } from './svg.ts'

/** As much of a file's beginning as {@link mimeTypeBySignature} looks at. */
export const SIGNATURE_BYTES = SVG_HEAD_BYTES

interface Signature {
  mimeType: string
  /** Latin-1 text at an offset; all of them must be there. */
  marks: readonly (readonly [offset: number, text: string])[]
}

const signature = (mimeType: string, ...marks: Signature['marks']): Signature => ({
  mimeType,
  marks,
})

/** The first that fits counts. What a browser could run (HTML, scripts) is left out on purpose. */
const signatures: readonly Signature[] = [
  signature('image/jpeg', [0, '\xff\xd8\xff']),
  signature('image/png', [0, '\x89PNG\r\n\x1a\n']),
  signature('image/gif', [0, 'GIF8']),
  signature('image/webp', [0, 'RIFF'], [8, 'WEBP']),
  signature('image/tiff', [0, 'II*\0']),
  signature('image/tiff', [0, 'MM\0*']),
  signature('image/bmp', [0, 'BM'], [6, '\0\0\0\0']),
  signature('image/vnd.adobe.photoshop', [0, '8BPS']),
  signature('video/x-msvideo', [0, 'RIFF'], [8, 'AVI ']),
  signature('audio/wav', [0, 'RIFF'], [8, 'WAVE']),
  signature('video/x-matroska', [0, '\x1a\x45\xdf\xa3']),
  signature('video/x-flv', [0, 'FLV\x01']),
  signature('application/ogg', [0, 'OggS']),
  signature('audio/flac', [0, 'fLaC']),
  signature('audio/mpeg', [0, 'ID3']),
  signature('application/pdf', [0, '%PDF-']),
  signature('application/zip', [0, 'PK\x03\x04']),
  signature('application/gzip', [0, '\x1f\x8b']),
  signature('application/x-bzip2', [0, 'BZh']),
  signature('application/x-xz', [0, '\xfd7zXZ\0']),
  signature('application/zstd', [0, '\x28\xb5\x2f\xfd']),
  signature('application/x-7z-compressed', [0, "7z\xbc\xaf'\x1c"]),
  signature('application/vnd.rar', [0, 'Rar!\x1a\x07']),
  signature('application/x-tar', [257, 'ustar']),
]

/**
 * Tells a type by the first bytes alone, for files that no probe knows.
 *
 * @param head the first {@link SIGNATURE_BYTES}, or all there are
 */
export function mimeTypeBySignature(head: Buffer): string | null {
  const brands = brandsIn(head)
  if (brands) return mimeTypeByBrand(brands)
  const text = head.toString('latin1', 0, 512)
  const found = signatures.find(({ marks }) =>
    marks.every(([offset, mark]) => text.startsWith(mark, offset)),
  )
  return found?.mimeType ?? (looksLikeSvg(head) ? 'image/svg+xml' : null)
}

/** The brands of films; every brand that is no other format's would be taken for one, a camera's raw picture too. */
const FILM_BRAND = /^(iso[0-9a-z]|mp4[0-9]|avc1|dash|M4V |mmp4|MSNV|XAVC|f4v )$/

function mimeTypeByBrand(brands: Brands): string | null {
  const format = formatOf({ ...brands, demuxer: MOV, codecs: [] })
  if (format?.name === 'mp4' && !FILM_BRAND.test(brands.majorBrand)) return null
  const { image, audio, video } = format?.mimeTypes ?? {}
  return image ?? (format?.name === 'm4a' ? audio : video) ?? null
}
