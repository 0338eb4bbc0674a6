import { createHash, randomBytes } from 'node:crypto'
import type { VirtualObject } from '../src/demo/bucket.ts'

/** A large object that needs no disk, and what its bytes hash to. */
export interface LargeObject {
  object: VirtualObject
  /** Hex. */
  sha256: string
}

const BOX_HEADER_BYTES = 16
/** The filler repeats after so many bytes; a slice of two repetitions serves every chunk without copying. */
const PERIOD = 1 << 20
/** What large uploads are cut into; a single PUT ends at 5 GiB on R2. */
const PART_BYTES = 64 << 20

/** A real, small mp4 followed by a `free` box with a 64-bit length that fills it up: valid, and skipped by readers. */
export function makeLargeObject(mp4: Buffer, sizeBytes: number, lastModified: Date): LargeObject {
  const box = Buffer.alloc(BOX_HEADER_BYTES)
  box.writeUInt32BE(1, 0)
  box.write('free', 4, 'latin1')
  box.writeBigUInt64BE(BigInt(sizeBytes - mp4.length), 8)
  const start = Buffer.concat([mp4, box])
  const pattern = randomBytes(PERIOD)
  const filler = Buffer.concat([pattern, pattern])
  const read = (offset: number, length: number): Buffer => {
    const rest = Math.max(0, Math.min(length, start.length - offset))
    const from = Math.max(0, offset - start.length) % PERIOD
    if (rest === 0 && length <= PERIOD) return filler.subarray(from, from + length)
    return Buffer.concat([start.subarray(offset, offset + rest), filler.subarray(0, length - rest)])
  }
  const { sha256, etag, parts } = digest(read, sizeBytes)
  return { sha256, object: { sizeBytes, etag, lastModified, parts, read } }
}

/** What a store would have computed while it was uploaded in parts. */
function digest(read: (offset: number, length: number) => Buffer, sizeBytes: number) {
  const whole = createHash('sha256')
  const ofParts = createHash('md5')
  const parts: number[] = []
  for (let partAt = 0; partAt < sizeBytes; partAt += PART_BYTES) {
    const end = Math.min(sizeBytes, partAt + PART_BYTES)
    const part = createHash('md5')
    for (let at = partAt; at < end; at += PERIOD) {
      const chunk = read(at, Math.min(PERIOD, end - at))
      whole.update(chunk)
      part.update(chunk)
    }
    ofParts.update(part.digest())
    parts.push(end - partAt)
  }
  return { sha256: whole.digest('hex'), etag: `${ofParts.digest('hex')}-${parts.length}`, parts }
}
