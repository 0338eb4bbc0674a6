import { randomBytes } from 'node:crypto'
import type { Slice } from './range.ts'

/** A body that is sent piece by piece: given bytes, and parts of the file. */
export interface Body {
  pieces: readonly (Buffer | Slice)[]
  /** Of all pieces together. */
  length: number
}

/** Several parts of a file in one answer (RFC 9110 14.6), as `multipart/byteranges`. */
export function multipartOf(
  slices: readonly Slice[],
  file: { contentType: string; sizeBytes: number },
): Body & { contentType: string } {
  // Random, so that no file can contain it on purpose.
  const boundary = randomBytes(18).toString('hex')
  const pieces = slices.flatMap((slice, index) => {
    const lines = [
      `${index === 0 ? '' : '\r\n'}--${boundary}`,
      `Content-Type: ${file.contentType}`,
      `Content-Range: ${contentRange(slice, file.sizeBytes)}`,
    ]
    return [Buffer.from(`${lines.join('\r\n')}\r\n\r\n`, 'latin1'), slice]
  })
  return {
    ...bodyOf([...pieces, Buffer.from(`\r\n--${boundary}--\r\n`, 'latin1')]),
    contentType: `multipart/byteranges; boundary=${boundary}`,
  }
}

export function bodyOf(pieces: Body['pieces']): Body {
  return { pieces, length: pieces.reduce((sum, piece) => sum + piece.length, 0) }
}

/** RFC 9110 14.4. */
export function contentRange({ start, length }: Slice, sizeBytes: number): string {
  return `bytes ${start}-${start + length - 1}/${sizeBytes}`
}
