import { type Box, bodyOf, boxesIn } from './boxes.ts'
import { Damage, type FileBytes } from './file-bytes.ts'
import { type Table, tableOf } from './table.ts'

/** An image, a tile, a thumbnail, Exif or whatever else a HEIF file holds. */
export interface Item {
  /** Four printable letters. */
  type: string
  /** Where its bytes are said to lie, in order. */
  extents: Extent[]
  /** Its dimensions, how it is coded, and so on. */
  properties: Box[]
  /** Ids of the items that it is made of. */
  madeOf: number[]
}

/** Positions from the start of the file; `limit` is the end of what the bytes must lie in. */
interface Extent {
  at: number
  end: number
  limit: number
}

export interface HeifItems {
  primary: Item | undefined
  all: ReadonlyMap<number, Item>
}

type Items = Map<number, Item>

/** Their fields may take no bytes at all, so that a table's size does not bound them. */
const MOST_EXTENTS = 100_000
/** One for each combination of version and flags. */
const MOST_PROPERTY_TABLES = 4

/**
 * Reads the tables of a `meta` box (ISO/IEC 14496-12, 8.11); whether the bytes that they tell of exist is not checked.
 *
 * @returns null when it is about no item
 * @throws Damage
 */
export async function readItems(file: FileBytes, meta: Box): Promise<HeifItems | null> {
  const boxes = new Map<string, Box>()
  for await (const box of boxesIn(file, { ...meta, bodyAt: meta.bodyAt + 4 })) {
    if (!boxes.has(box.type)) boxes.set(box.type, box)
  }
  const tableIn = async (type: string): Promise<Table | null> => {
    const box = boxes.get(type)
    return box ? tableOf(await bodyOf(file, box)) : null
  }
  const pitm = await tableIn('pitm')
  const iinf = await tableIn('iinf')
  const iloc = await tableIn('iloc')
  if (!pitm || !iinf || !iloc) return null
  const all = itemsIn(iinf)
  addExtents(all, iloc, { file, idat: boxes.get('idat') })
  const iref = await tableIn('iref')
  if (iref) addInputs(all, iref)
  const iprp = boxes.get('iprp')
  if (iprp) await addProperties(all, file, iprp)
  return { primary: all.get(pitm.number(versionOf(pitm) === 0 ? 2 : 4)), all }
}

/** Every table begins with a version and three bytes of flags. */
function versionOf(table: Table): number {
  const version = table.number(1)
  table.number(3)
  return version
}

function itemsIn(iinf: Table): Items {
  const items: Items = new Map()
  const count = iinf.number(versionOf(iinf) === 0 ? 2 : 4)
  for (let n = 0; n < count; n++) {
    const entry = iinf.table(iinf.number(4) - 4)
    entry.type()
    const version = versionOf(entry)
    // Before version 2 items had no type, and none of them was an image.
    if (version < 2) continue
    const id = entry.number(version === 2 ? 2 : 4)
    entry.number(2)
    items.set(id, { type: entry.type(), extents: [], properties: [], madeOf: [] })
  }
  return items
}

function addExtents(
  items: Items,
  iloc: Table,
  { file, idat }: { file: FileBytes; idat: Box | undefined },
): void {
  const version = versionOf(iloc)
  const [offsetBytes, lengthBytes] = nibbles(iloc.number(1))
  const [baseBytes, indexBytes] = nibbles(iloc.number(1))
  const count = iloc.number(version < 2 ? 2 : 4)
  let extentsLeft = MOST_EXTENTS
  for (let n = 0; n < count; n++) {
    const item = items.get(iloc.number(version < 2 ? 2 : 4))
    const method = version === 0 ? 0 : iloc.number(2) & 15
    if (iloc.number(2) !== 0) throw new Damage('keeps its contents in another file')
    const base = iloc.number(baseBytes)
    const source = sourceOf(method, file, idat)
    const extents = iloc.number(2)
    extentsLeft -= extents
    if (extentsLeft < 0) throw new Damage('has more parts than any real file')
    for (let m = 0; m < extents; m++) {
      if (version > 0) iloc.number(indexBytes)
      const at = base + iloc.number(offsetBytes)
      const length = iloc.number(lengthBytes)
      if (source) item?.extents.push(extentIn(source, at, length))
    }
  }
}

function nibbles(byte: number): [high: number, low: number] {
  return [byte >> 4, byte & 15]
}

/** @returns null when the bytes are a part of another item's, which is checked itself */
function sourceOf(
  method: number,
  file: FileBytes,
  idat: Box | undefined,
): { from: number; limit: number } | null {
  if (method === 0) return { from: 0, limit: file.sizeBytes }
  if (method === 1) return { from: idat?.bodyAt ?? 0, limit: idat?.end ?? 0 }
  return null
}

/** A length of 0 means: to the end. */
function extentIn(source: { from: number; limit: number }, at: number, length: number): Extent {
  const start = source.from + at
  return { at: start, end: length === 0 ? source.limit : start + length, limit: source.limit }
}

function addInputs(items: Items, iref: Table): void {
  const idBytes = versionOf(iref) === 0 ? 2 : 4
  while (iref.left > 0) {
    const reference = iref.table(iref.number(4) - 4)
    const type = reference.type()
    const from = items.get(reference.number(idBytes))
    const count = reference.number(2)
    for (let n = 0; n < count; n++) {
      const to = reference.number(idBytes)
      if (type === 'dimg') from?.madeOf.push(to)
    }
  }
}

async function addProperties(items: Items, file: FileBytes, iprp: Box): Promise<void> {
  const properties: Box[] = []
  const tables: Table[] = []
  for await (const box of boxesIn(file, iprp)) {
    if (box.type === 'ipma' && tables.length <= MOST_PROPERTY_TABLES) {
      tables.push(tableOf(await bodyOf(file, box)))
    }
    if (box.type !== 'ipco') continue
    for await (const property of boxesIn(file, box)) properties.push(property)
  }
  if (tables.length > MOST_PROPERTY_TABLES) throw new Damage('has more tables than any real file')
  for (const table of tables) {
    const version = table.number(1)
    const indexBytes = (table.number(3) & 1) === 0 ? 1 : 2
    const count = table.number(4)
    for (let n = 0; n < count; n++) {
      const item = items.get(table.number(version === 0 ? 2 : 4))
      const associations = table.number(1)
      for (let m = 0; m < associations; m++) {
        // The highest bit says that a reader must know the property; they count from 1.
        const index = table.number(indexBytes) & (indexBytes === 1 ? 0x7f : 0x7fff)
        const property = properties[index - 1]
        if (property) item?.properties.push(property)
      }
    }
  }
}
