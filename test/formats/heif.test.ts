import assert from 'node:assert/strict'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import { type Inspection, inspect } from '../../src/formats/inspect.ts'
import {
  findBox,
  ftyp,
  fullBox,
  gridBytes,
  type HeifItem,
  heifFile,
  ispe,
  numbers,
} from '../support/heif.ts'
import { fixtureBytes } from '../support/media-files.ts'
import { type Scope, withFolder } from '../support/scopes.ts'

const still = fixtureBytes('still.heic')
const tile = {
  type: 'hvc1',
  bytes: findBox(still, 'mdat').subarray(8),
  properties: [findBox(still, 'hvcC'), ispe(64, 64)],
} satisfies HeifItem
const grid = {
  type: 'grid',
  inIdat: true,
  bytes: gridBytes([2, 2], 128, 128),
  properties: [ispe(128, 128)],
  madeOf: [2, 3, 4, 5],
} satisfies HeifItem
const tiles = [tile, tile, tile, tile]

async function look(t: Scope, bytes: Buffer): Promise<Inspection> {
  const path = join(await withFolder(t), 'item.part')
  await writeFile(path, bytes)
  return inspect(path)
}

async function pictureIn(t: Scope, bytes: Buffer): Promise<string> {
  const found = await look(t, bytes)
  assert.ok('picture' in found && found.picture, 'fault' in found ? found.fault : 'no picture')
  const { codec, width, height } = found.picture
  return `${codec} ${width}x${height}`
}

describe('the picture that a HEIF file shows', () => {
  test('is a coded image', async (t) => {
    assert.equal(await pictureIn(t, still), 'hevc 64x64')
    assert.equal(await pictureIn(t, fixtureBytes('alpha.avif')), 'av1 64x64')
    assert.equal(await pictureIn(t, heifFile([tile])), 'hevc 64x64')
  })

  test('is a grid of tiles, as phones make them, as large as the whole', async (t) => {
    assert.equal(await pictureIn(t, fixtureBytes('grid.avif')), 'av1 128x128')
    assert.equal(await pictureIn(t, heifFile([grid, ...tiles])), 'hevc 128x128')
  })

  test('is a grid with its tone map', async (t) => {
    const tone = {
      type: 'tmap',
      bytes: Buffer.alloc(62),
      properties: [ispe(128, 128)],
      madeOf: [2],
    }
    const inner = { ...grid, madeOf: [3, 4, 5, 6] }
    assert.equal(await pictureIn(t, heifFile([tone, inner, ...tiles])), 'hevc 128x128')
  })

  test('is another one, turned: such an item has no bytes of its own', async (t) => {
    const turned = { type: 'iden', properties: [ispe(64, 64)], madeOf: [2] }
    assert.equal(await pictureIn(t, heifFile([turned, tile])), 'hevc 64x64')
  })

  test('is looked at once, however often it is used', async (t) => {
    const often = (id: number): HeifItem => ({ ...grid, madeOf: Array<number>(65_535).fill(id) })
    assert.equal(await pictureIn(t, heifFile([often(2), often(3), tile])), 'hevc 128x128')
  })

  test('may lie inside the box that describes it', async (t) => {
    assert.equal(await pictureIn(t, heifFile([{ ...tile, inIdat: true }])), 'hevc 64x64')
  })

  test('may be of a coding that ffprobe knows by another name', async (t) => {
    const avc = {
      ...tile,
      type: 'avc1',
      properties: [fullBox('avcC', 1, Buffer.from([3])), ispe(9, 7)],
    }
    assert.equal(await pictureIn(t, heifFile([avc])), 'h264 9x7')
  })

  test('is found with tables of every width', async (t) => {
    const exact = heifFile([tile])
    const at = exact.indexOf(tile.bytes)
    const entry = numbers(4, 1, tile.bytes.length)
    // 4 bytes for the length, 8 for the base, none for the offset, 32-bit ids and counts: the base moves with the table.
    const iloc = (base: number): Buffer =>
      fullBox(
        'iloc',
        2,
        numbers(1, 0x04, 0x80),
        numbers(4, 1, 1),
        numbers(2, 0, 0),
        numbers(4, 0, base),
        numbers(2, 1),
        entry.subarray(4),
      )
    const replaced = {
      pitm: fullBox('pitm', 1, numbers(4, 1)),
      iinf: fullBox(
        'iinf',
        1,
        numbers(4, 1),
        fullBox('infe', 3, numbers(4, 1), numbers(2, 0), Buffer.from('hvc1\0')),
      ),
    }
    assert.ok(at > 0)
    const draft = heifFile([tile], { ...replaced, iloc: iloc(0) })
    const whole = heifFile([tile], { ...replaced, iloc: iloc(draft.indexOf(tile.bytes)) })
    assert.equal(await pictureIn(t, whole), 'hevc 64x64')
  })
})

describe('a HEIF file is refused', () => {
  const zeros = { ...tile, bytes: Buffer.alloc(tile.bytes.length) }
  const place = (method: number, reference: number, at: number, length: number) =>
    fullBox(
      'iloc',
      1,
      numbers(1, 0x44, 0),
      numbers(2, 1, 1, method, reference, 1),
      numbers(4, at, length),
    )
  const manyExtents = fullBox(
    'iloc',
    1,
    numbers(1, 0, 0),
    numbers(2, 60_000),
    ...Array<Buffer>(60_000).fill(numbers(2, 1, 0, 0, 65_535)),
  )
  for (const [what, bytes, fault] of [
    ['without a description', ftyp('heic'), 'describes no picture'],
    ['with one that is empty', heifFile([]), 'does not say which picture it shows'],
    [
      'whose first picture is none of its items',
      heifFile([tile], { pitm: fullBox('pitm', 0, numbers(2, 9)) }),
      'does not say which picture it shows',
    ],
    [
      'whose picture is said to lie behind its end',
      heifFile([tile], { iloc: place(0, 0, 5_000, 10) }),
      'is cut off: what it describes is not in it',
    ],
    [
      'whose picture is said to lie in a box that is shorter',
      heifFile([tile], { iloc: place(1, 0, 0, 10) }),
      'is cut off: what it describes is not in it',
    ],
    [
      'whose picture lies in another file',
      heifFile([tile], { iloc: place(0, 1, 0, 10) }),
      'keeps its contents in another file',
    ],
    ['filled with zeros', heifFile([zeros]), 'has a picture without contents'],
    [
      'of which one tile is zeros',
      heifFile([grid, tile, tile, zeros, tile]),
      'has a picture without contents',
    ],
    [
      'of which one tile is empty',
      heifFile([grid, tile, tile, { ...tile, bytes: Buffer.alloc(3) }, tile]),
      'has a picture without contents',
    ],
    [
      'of which a tile is missing',
      heifFile([grid, tile, tile, tile]),
      'lacks a part of its picture',
    ],
    ['without any tile', heifFile([{ ...grid, madeOf: [] }]), 'lacks the parts of its picture'],
    ['made of itself', heifFile([{ ...grid, madeOf: [1] }]), 'lacks a part of its picture'],
    [
      'without what a decoder needs first',
      heifFile([{ ...tile, properties: [ispe(64, 64)] }]),
      'shows a picture that nothing can decode',
    ],
    [
      'whose picture has no place',
      heifFile([{ type: 'hvc1', properties: tile.properties }]),
      'shows a picture that nothing can decode',
    ],
    [
      'without dimensions',
      heifFile([{ ...tile, properties: tile.properties.slice(0, 1) }]),
      'does not say how large its picture is',
    ],
    [
      'of a kind that nobody knows',
      heifFile([{ ...tile, type: 'abcd' }]),
      'shows a picture of an unknown kind',
    ],
    [
      'with a table that ends too early',
      heifFile([tile], { iinf: fullBox('iinf', 0, numbers(2, 2)) }),
      'has a table that ends too early',
    ],
    [
      'with billions of places',
      heifFile([tile], { iloc: manyExtents }),
      'has more parts than any real file',
    ],
  ] as const) {
    test(`${what}: it ${fault}`, async (t) => {
      assert.deepEqual(await look(t, bytes), { fault: `the heic file ${fault}` })
    })
  }
})
