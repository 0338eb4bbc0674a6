import { bodyOf, topBoxes } from './boxes.ts'
import { Damage, type FileBytes } from './file-bytes.ts'

/** How a JPEG XL picture in a container begins; a bare one begins with ff 0a and says nowhere how long it is. */
export const JPEGXL_SIGNATURE = Buffer.from('0000000c4a584c200d0a870a', 'hex')
const LAST_PART = 0x80

/**
 * Checks that all of a JPEG XL container is there. What the picture is remains to be asked of ffprobe.
 *
 * @throws Damage
 * @see ISO/IEC 18181-2
 */
export async function readJpegxl(file: FileBytes): Promise<void> {
  let isWhole = false
  for await (const box of topBoxes(file)) {
    if (box.type === 'ftyp' && (await bodyOf(file, box)).toString('latin1', 0, 4) !== 'jxl ') {
      throw new Damage('does not say that it is one')
    }
    if (box.type === 'jxlc') isWhole = box.end > box.bodyAt
    // Parts of a picture are numbered, and the last one is marked.
    if (box.type === 'jxlp') {
      isWhole = ((await file.read(box.bodyAt, 4)).readUInt8() & LAST_PART) !== 0
    }
  }
  if (!isWhole) throw new Damage('is cut off: the end of its picture is missing')
}
