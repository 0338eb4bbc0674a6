import { type Reader, reader } from './values.ts'

/** So much of a disk: bytes, or a part of the whole of it. */
export type Amount = { bytes: number } | { percent: number }

const unitBytes = new Map(
  ['', 'K', 'M', 'G', 'T'].flatMap((prefix, power) => [
    [`${prefix}B`.toLowerCase(), 1000 ** power],
    [`${prefix}iB`.toLowerCase(), 1024 ** power],
  ]),
)

/** Bytes of `20GiB` (powers of 1024), `20GB` (powers of 1000) or a plain number. */
export function readBytes(value: string): number | undefined {
  const [, number, unit = ''] = /^(\d{1,16}(?:\.\d{1,6})?) ?([A-Za-z]*)$/.exec(value) ?? []
  const factor = unit === '' ? 1 : unitBytes.get(unit.toLowerCase())
  if (number === undefined || factor === undefined) return undefined
  const bytes = Math.round(Number(number) * factor)
  return Number.isSafeInteger(bytes) ? bytes : undefined
}

export function size(minBytes: number, words: string): Reader<number> {
  return reader(`must be a size ${words}, such as 512MiB, 1GiB or plain bytes`, (value) => {
    const bytes = readBytes(value)
    return bytes !== undefined && bytes >= minBytes ? bytes : undefined
  })
}

export const amount: Reader<Amount> = reader(
  'must be a size such as 20GiB, 20GB or plain bytes, or a part of the disk from 0% to 90%',
  (value) => {
    const [, number] = /^(\d{1,2}(?:\.\d{1,3})?) ?%$/.exec(value) ?? []
    if (number !== undefined) return Number(number) <= 90 ? { percent: Number(number) } : undefined
    const bytes = readBytes(value)
    return bytes === undefined ? undefined : { bytes }
  },
)

/** @returns bytes of a disk of `totalBytes` */
export function bytesOf(of: Amount, totalBytes: number): number {
  return 'bytes' in of ? of.bytes : Math.ceil((totalBytes * of.percent) / 100)
}

/** False also for bytes beside a part, which only the disk can compare. */
export function isLess(one: Amount, other: Amount): boolean {
  if ('bytes' in one) return 'bytes' in other && one.bytes < other.bytes
  return 'percent' in other && one.percent < other.percent
}
