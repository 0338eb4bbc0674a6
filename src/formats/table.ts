import { Damage } from './file-bytes.ts'

/** Reads numbers one after another out of a small table; its end is never passed. All are big-endian. */
export interface Table {
  /** @param bytes 0 (the number is 0) to 4, or 8; above 2^53 a number is only nearly right, and too large anyway */
  number(bytes: number): number
  /** Four letters. */
  type(): string
  table(bytes: number): Table
  readonly left: number
}

export function tableOf(bytes: Buffer): Table {
  let at = 0
  const take = (length: number): Buffer => {
    if (length < 0 || length > bytes.length - at)
      throw new Damage('has a table that ends too early')
    at += length
    return bytes.subarray(at - length, at)
  }
  return {
    number(length) {
      const field = take(length)
      if (length === 8) return Number(field.readBigUInt64BE())
      if (length > 4) throw new Damage('has a damaged table')
      return length === 0 ? 0 : field.readUIntBE(0, length)
    },
    type: () => take(4).toString('latin1'),
    table: (length) => tableOf(take(length)),
    get left() {
      return bytes.length - at
    },
  }
}
