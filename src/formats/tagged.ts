import type { FileBytes } from './file-bytes.ts'

const JPEG = Buffer.from([0xff, 0xd8, 0xff])
const ID3_HEADER_BYTES = 10
const HAS_FOOTER = 0x10

/**
 * Tells ffprobe's demuxer where a tag may be so large that ffprobe does not look behind it: a JPEG of megabytes of metadata is a
 * film of JPEGs to it, an AAC or FLAC with a large cover an MP3.
 *
 * @param head the beginning of the file
 * @returns null where ffprobe finds it out by itself
 * @see https://id3.org/id3v2.4.0-structure (3.1)
 */
export async function demuxerBehindTag(file: FileBytes, head: Buffer): Promise<string | null> {
  if (head.subarray(0, JPEG.length).equals(JPEG)) return 'jpeg_pipe'
  if (head.length < ID3_HEADER_BYTES || head.toString('latin1', 0, 3) !== 'ID3') return null
  const footerBytes = head.readUInt8(5) & HAS_FOOTER ? ID3_HEADER_BYTES : 0
  const tagBytes = head.subarray(6, 10).reduce((sum, byte) => sum * 128 + (byte & 127), 0)
  const at = ID3_HEADER_BYTES + tagBytes + footerBytes
  if (at + 4 > file.sizeBytes) return null
  const sound = await file.read(at, 4)
  if (sound.toString('latin1') === 'fLaC') return 'flac'
  // The sync word of ADTS, whose layer is always 0; no MP3 has that one.
  return (sound.readUInt16BE() & 0xfff6) === 0xfff0 ? 'aac' : null
}
