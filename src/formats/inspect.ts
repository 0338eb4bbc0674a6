import { formatOf, MOV } from '../formats.ts'
import { type Brands, brandsIn } from './brands.ts'
import { Damage, type FileBytes, withFileBytes } from './file-bytes.ts'
import { readHeif } from './heif.ts'
import { JPEGXL_SIGNATURE, readJpegxl } from './jpegxl.ts'
import { looksLikeSvg, SVG_HEAD_BYTES } from './svg.ts'
import { demuxerBehindTag } from './tagged.ts'
import { readWebp } from './webp.ts'

/** A picture as its file describes it, in ffprobe's words. */
export interface Picture {
  demuxer: string
  majorBrand: string | null
  compatibleBrands: string[]
  codec: string
  width: number
  height: number
}

export type Inspection =
  /** A reason to refuse the file, whatever ffprobe says. */
  | { fault: string }
  /** What the file holds where ffprobe could not tell; null when ffprobe is to be asked, and told the demuxer if there is one. */
  | { picture: Picture | null; demuxer?: string }

/**
 * Looks at a file's structure where ffprobe (5.1) has no word for it: it cannot read HEIC, AVIF of several tiles and
 * animated WebP, and does not see that a part of AVIF or JPEG XL is missing. Reads tables and lengths only, in bounded
 * time and memory.
 *
 * @throws PROBE_FAILED, CANCELLED
 * @see docs/formats.md
 */
export function inspect(path: string, signal?: AbortSignal): Promise<Inspection> {
  return withFileBytes({ path, signal }, async (file) => {
    const head = await file.read(0, Math.min(file.sizeBytes, SVG_HEAD_BYTES))
    if (looksLikeSvg(head)) {
      return { fault: 'SVG is not accepted: it can carry scripts and references to other files' }
    }
    const brands = brandsIn(head)
    const heif = brands && formatOf({ ...brands, demuxer: MOV, codecs: [] })
    if (brands && heif?.mimeTypes.image) return judged(heif.name, () => heifPicture(file, brands))
    if (head.toString('latin1', 0, 4) === 'RIFF' && head.toString('latin1', 8, 12) === 'WEBP') {
      return judged('webp', () => webpPicture(file))
    }
    if (head.subarray(0, JPEGXL_SIGNATURE.length).equals(JPEGXL_SIGNATURE)) {
      return judged('jxl', () => readJpegxl(file).then(() => null))
    }
    const demuxer = await demuxerBehindTag(file, head)
    return { picture: null, ...(demuxer !== null && { demuxer }) }
  })
}

async function judged(name: string, read: () => Promise<Picture | null>): Promise<Inspection> {
  try {
    return { picture: await read() }
  } catch (error) {
    if (error instanceof Damage) return { fault: `the ${name} file ${error.message}` }
    throw error
  }
}

async function heifPicture(file: FileBytes, brands: Brands): Promise<Picture | null> {
  const found = await readHeif(file)
  return found && { demuxer: MOV, ...brands, ...found }
}

const noBrands = { majorBrand: null, compatibleBrands: [] }

async function webpPicture(file: FileBytes): Promise<Picture | null> {
  const canvas = await readWebp(file)
  return canvas && { demuxer: 'webp_pipe', ...noBrands, codec: 'webp', ...canvas }
}
