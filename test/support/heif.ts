/** One item of {@link heifFile}; ids count from 1 in their order, and the first item is what the file shows. */
export interface HeifItem {
  type: string
  /** Absent: the item has no place in the file at all. */
  bytes?: Buffer
  /** In the box `idat` rather than behind everything else. */
  inIdat?: boolean
  /** Whole boxes. */
  properties?: Buffer[]
  madeOf?: number[]
}

export function box(type: string, ...parts: Buffer[]): Buffer {
  const header = Buffer.alloc(8, type, 'latin1')
  header.write(type, 4, 'latin1')
  header.writeUInt32BE(parts.reduce((sum, part) => sum + part.length, 8))
  return Buffer.concat([header, ...parts])
}

export function fullBox(type: string, version: number, ...parts: Buffer[]): Buffer {
  return box(type, Buffer.from([version, 0, 0, 0]), ...parts)
}

/** Big-endian, each in as many bytes as `width` says. */
export function numbers(width: 1 | 2 | 4, ...values: number[]): Buffer {
  const bytes = Buffer.alloc(width * values.length)
  values.forEach((value, index) => {
    bytes.writeUIntBE(value, index * width, width)
  })
  return bytes
}

export function ftyp(...[major = 'heic', ...compatible]: string[]): Buffer {
  return box('ftyp', Buffer.from(`${major}\0\0\0\0${[major, ...compatible].join('')}`, 'latin1'))
}

export function ispe(width: number, height: number): Buffer {
  return fullBox('ispe', 0, numbers(4, width, height))
}

/** What the item `grid` itself holds: rows, columns, and the dimensions of the whole. */
export function gridBytes(
  [rows, columns]: [number, number],
  width: number,
  height: number,
): Buffer {
  return Buffer.concat([numbers(1, 0, 0, rows - 1, columns - 1), numbers(2, width, height)])
}

/** The box of this type anywhere in a file, whole; types that also occur in the contents find the first. */
export function findBox(file: Buffer, type: string): Buffer {
  const at = file.indexOf(type) - 4
  return file.subarray(at, at + file.readUInt32BE(at))
}

/** A HEIF file with all its tables, of which each can be replaced. */
export function heifFile(
  items: readonly HeifItem[],
  replaced: { [type in 'pitm' | 'iinf' | 'iloc' | 'iref' | 'iprp']?: Buffer } = {},
  brands: string[] = ['heic', 'mif1'],
): Buffer {
  const idat = Buffer.concat(items.flatMap(({ inIdat, bytes }) => (inIdat && bytes) || []))
  const media = Buffer.concat(items.flatMap(({ inIdat, bytes }) => (!inIdat && bytes) || []))
  const metaWith = (mediaAt: number): Buffer =>
    fullBox(
      'meta',
      0,
      fullBox('hdlr', 0, Buffer.from('\0\0\0\0pict\0\0\0\0\0\0\0\0\0\0\0\0\0', 'latin1')),
      replaced.pitm ?? fullBox('pitm', 0, numbers(2, 1)),
      replaced.iloc ?? iloc(items, mediaAt),
      replaced.iinf ?? iinf(items),
      replaced.iref ?? iref(items),
      replaced.iprp ?? iprp(items),
      box('idat', idat),
    )
  const start = ftyp(...brands)
  const mediaAt = start.length + metaWith(0).length + 8
  return Buffer.concat([start, metaWith(mediaAt), box('mdat', media)])
}

function iinf(items: readonly HeifItem[]): Buffer {
  const entries = items.map(({ type }, index) =>
    fullBox('infe', 2, numbers(2, index + 1, 0), Buffer.from(`${type}\0`, 'latin1')),
  )
  return fullBox('iinf', 0, numbers(2, items.length), ...entries)
}

function iloc(items: readonly HeifItem[], mediaAt: number): Buffer {
  const next = { idat: 0, media: mediaAt }
  const entries = items.flatMap(({ bytes, inIdat }, index) => {
    if (!bytes) return []
    const source = inIdat ? 'idat' : 'media'
    const at = next[source]
    next[source] += bytes.length
    return [numbers(2, index + 1, inIdat ? 1 : 0, 0, 1), numbers(4, at, bytes.length)]
  })
  return fullBox('iloc', 1, numbers(1, 0x44, 0), numbers(2, entries.length / 2), ...entries)
}

function iref(items: readonly HeifItem[]): Buffer {
  const references = items.flatMap(({ madeOf }, index) =>
    madeOf ? [box('dimg', numbers(2, index + 1, madeOf.length, ...madeOf))] : [],
  )
  return fullBox('iref', 0, ...references)
}

function iprp(items: readonly HeifItem[]): Buffer {
  const all = items.flatMap(({ properties = [] }) => properties)
  let index = 0
  const entries = items.map(({ properties = [] }, item) => {
    const indexes = properties.map(() => ++index)
    return Buffer.concat([numbers(2, item + 1), numbers(1, indexes.length, ...indexes)])
  })
  return box('iprp', box('ipco', ...all), fullBox('ipma', 0, numbers(4, items.length), ...entries))
}
