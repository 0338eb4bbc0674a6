/** What a file that is built like an MP4 says that it is. */
export interface Brands {
  majorBrand: string
  compatibleBrands: string[]
}

/** @returns null when the file does not begin like an MP4, or not with all of its `ftyp` box */
export function brandsIn(head: Buffer): Brands | null {
  if (head.toString('latin1', 4, 8) !== 'ftyp') return null
  const size = head.readUInt32BE()
  if (size < 16 || size > head.length) return null
  const brands = head.toString('latin1', 16, size).match(/.{4}/gs) ?? []
  return { majorBrand: head.toString('latin1', 8, 12), compatibleBrands: brands }
}
