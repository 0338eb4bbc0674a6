import assert from 'node:assert/strict'
import { open, truncate, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import fc from 'fast-check'
import { type Inspection, inspect } from '../../src/formats/inspect.ts'
import { box, ftyp } from '../support/heif.ts'
import { fixtureBytes, fixtureNames, mediaBytes } from '../support/media-files.ts'
import { hasCode, type Scope, withFolder } from '../support/scopes.ts'

/** Looks at one file after another, always under the same name. */
async function withLook(t: Scope): Promise<(bytes: Uint8Array) => Promise<Inspection>> {
  const path = join(await withFolder(t), 'item.part')
  return async (bytes) => {
    await writeFile(path, bytes)
    return inspect(path)
  }
}

/** Files that say in some way how long they are. */
const measured = new Map<string, Buffer>([
  ...fixtureNames
    .filter((name) => name !== 'animated.jxl')
    .map((name) => [name, fixtureBytes(name)] as const),
  ...(['webp', 'webp-lossless', 'webp-alpha', 'webp-animated'] as const).map(
    (name) => [name, mediaBytes(name)] as const,
  ),
  ...(['avif', 'avif-sequence'] as const).map((name) => [name, mediaBytes(name)] as const),
])

describe('a file that lacks its end', () => {
  for (const [name, whole] of measured) {
    test(`is seen wherever a ${name} is cut off`, async (t) => {
      const path = join(await withFolder(t), 'item.part')
      await writeFile(path, whole)
      assert.ok(!('fault' in (await inspect(path))))
      const missed: number[] = []
      for (const length of cuts(whole, name.startsWith('webp') ? 12 : whole.readUInt32BE())) {
        await truncate(path, length)
        if (!('fault' in (await inspect(path)))) missed.push(length)
      }
      assert.deepEqual(missed, [])
    })
  }

  test('is not seen in a bare JPEG XL animation, which says nowhere how long it is', async (t) => {
    const look = await withLook(t)
    const whole = fixtureBytes('animated.jxl')
    assert.deepEqual(await look(whole.subarray(0, whole.length / 2)), { picture: null })
  })
})

/**
 * Lengths from the longest down, all near the ends and some between.
 *
 * @param shortest before that it cannot be known what it is, and ffprobe refuses it
 */
function* cuts(whole: Buffer, shortest: number): Generator<number> {
  for (let length = whole.length - 1; length >= shortest; length--) {
    if (length < 200 || length > whole.length - 40 || length % 13 === 0) yield length
  }
}

test('what follows the end of a file is ignored, as every reader does', async (t) => {
  const look = await withLook(t)
  for (const [name, whole] of measured) {
    const texts = [' '.repeat(64), 'made with an editor', '\r\n\r\n<!-- -->\r\n'].map((text) =>
      Buffer.from(text),
    )
    for (const more of [Buffer.alloc(1), Buffer.alloc(100), Buffer.alloc(100, 0xff), ...texts]) {
      assert.deepEqual(await look(Buffer.concat([whole, more])), await look(whole), name)
    }
  }
})

describe('whatever a file holds', () => {
  const starts = [
    ...[ftyp('avif', 'mif1'), ftyp('heic'), ftyp('mif1'), ftyp('avis')],
    ...[Buffer.from('RIFF\xff\0\0\0WEBP', 'latin1'), Buffer.from('ff0a', 'hex')],
    Buffer.concat([Buffer.from('0000000c4a584c200d0a870a', 'hex'), ftyp('jxl ')]),
    Buffer.concat([ftyp('heic'), box('meta').fill(0xff, 0, 3)]),
    Buffer.alloc(0),
  ]
  const words = ['ftyp', 'meta', 'moov', 'mdat', 'iloc', 'iinf', 'infe', 'pitm', 'iprp', 'ipco']
  const piece = fc.oneof(
    fc.uint8Array({ maxLength: 40 }),
    fc
      .constantFrom(
        ...words,
        'ipma',
        'iref',
        'dimg',
        'idat',
        'jxlc',
        'jxlp',
        'VP8X',
        'ANMF',
        'VP8 ',
      )
      .map((word) => Buffer.from(word)),
    fc.nat(64).map((size) => Buffer.from([0, 0, 0, size])),
  )

  test('it gets an answer, and never an error', async (t) => {
    const look = await withLook(t)
    await fc.assert(
      fc.asyncProperty(fc.constantFrom(...starts), fc.array(piece), async (start, pieces) => {
        assertAnswer(await look(Buffer.concat([start, ...pieces])))
      }),
      { numRuns: 500 },
    )
  })

  test('it gets an answer when bytes of a good file are changed', async (t) => {
    const look = await withLook(t)
    const change = fc.tuple(fc.double({ min: 0, max: 0.999, noNaN: true }), fc.nat(255))
    // Most of what counts stands in the first few hundred bytes.
    const reach = fc.constantFrom(64, 400, Number.POSITIVE_INFINITY)
    const changes = fc.array(change, { minLength: 1, maxLength: 20 })
    await fc.assert(
      fc.asyncProperty(
        fc.constantFrom(...measured.keys()),
        reach,
        changes,
        async (name, most, changed) => {
          const bytes = Buffer.from(measured.get(name) ?? [])
          const length = Math.min(bytes.length, most)
          for (const [where, value] of changed) bytes[Math.floor(where * length)] = value
          assertAnswer(await look(bytes))
        },
      ),
      { numRuns: 500 },
    )
  })
})

function assertAnswer(answer: Inspection): void {
  if ('fault' in answer) assert.match(answer.fault, /^[\x20-\x7e]{1,120}$/)
  else if (answer.picture) assert.ok(answer.picture.width >= 0 && answer.picture.height >= 0)
}

describe('a file made to keep the reader busy', () => {
  const endless = 'the heic file has more parts than any real file'
  for (const [what, bytes, fault] of [
    [
      'of 50,000 empty boxes',
      Buffer.concat([ftyp('heic'), ...Array(50_000).fill(box('free'))]),
      endless,
    ],
    [
      'of empty boxes inside another',
      Buffer.concat([
        ftyp('heic'),
        box('meta', Buffer.alloc(4), Buffer.concat(Array(50_000).fill(box('x123')))),
      ]),
      endless,
    ],
    [
      'of 50,000 empty chunks',
      webpOf(Buffer.concat(Array(50_000).fill(Buffer.from('JUNK\0\0\0\0')))),
      'the webp file has more parts than any real file',
    ],
    [
      'with a table of 2 MiB',
      Buffer.concat([
        ftyp('heic'),
        box('meta', Buffer.alloc(4), box('pitm', Buffer.alloc(2 ** 21))),
      ]),
      'the heic file has a table larger than any real one',
    ],
  ] as const) {
    test(`is refused: ${what}`, async (t) => {
      const look = await withLook(t)
      assert.deepEqual(await look(bytes), { fault })
    })
  }

  test('is judged by its tables, however long it is: 1 TiB of nothing is not read', async (t) => {
    const path = join(await withFolder(t), 'item.part')
    const still = fixtureBytes('still.heic')
    await writeFile(path, still)
    await truncate(path, 2 ** 40)
    assert.ok('picture' in (await inspect(path)))
    // The same with a box that says that it holds all of it.
    const size = Buffer.alloc(8)
    size.writeBigUInt64BE(BigInt(2 ** 40 - still.length))
    await using file = await open(path, 'r+')
    await file.write(Buffer.concat([Buffer.from('\0\0\0\x01free'), size]), 0, 16, still.length)
    assert.ok('picture' in (await inspect(path)))
    size.writeBigUInt64BE(BigInt(2 ** 40 - still.length + 1))
    await file.write(size, 0, 8, still.length + 8)
    assert.deepEqual(await inspect(path), {
      fault: 'the heic file is cut off in its free box (bytes missing: 1)',
    })
  })
})

test('an animated WebP of 10,001 frames, 400 seconds of 25 frames, is a picture', async (t) => {
  const look = await withLook(t)
  const animated = mediaBytes('webp-animated')
  const at = animated.indexOf('ANMF')
  const bytes = 8 + animated.readUInt32LE(at + 4)
  const frame = animated.subarray(at, at + bytes + (bytes & 1))
  const chunks = [animated.subarray(12, at), ...Array<Buffer>(10_001).fill(frame)]
  assert.ok('picture' in (await look(webpOf(Buffer.concat(chunks)))))
})

function webpOf(chunks: Buffer): Buffer {
  const header = Buffer.from('RIFF\0\0\0\0WEBP', 'latin1')
  header.writeUInt32LE(4 + chunks.length, 4)
  return Buffer.concat([header, chunks])
}

describe('no verdict', () => {
  test('comes of a file that cannot be read: that says nothing of its bytes', async (t) => {
    const folder = await withFolder(t)
    await assert.rejects(inspect(join(folder, 'gone')), hasCode('PROBE_FAILED', /ENOENT/))
    await assert.rejects(inspect(folder), hasCode('PROBE_FAILED', /EISDIR/))
  })

  test('comes of a check that was stopped', async (t) => {
    const path = join(await withFolder(t), 'item.part')
    await writeFile(path, mediaBytes('webp'))
    await assert.rejects(inspect(path, AbortSignal.abort()), hasCode('CANCELLED'))
  })
})

test('all other media are left to ffprobe', async (t) => {
  const look = await withLook(t)
  assert.deepEqual(await look(mediaBytes('jpeg')), { picture: null, demuxer: 'jpeg_pipe' })
  for (const name of ['mp4', 'mov', 'webm', 'png', 'gif', 'wav', 'mp3', 'jxl'] as const) {
    assert.deepEqual(await look(mediaBytes(name)), { picture: null }, name)
  }
  for (const bytes of ['', 'a', 'RIFF', '\0\0\0\x0cftyp', '\0\0\0\x10ftypheic', '\xff\x0a']) {
    assert.deepEqual(await look(Buffer.from(bytes, 'latin1')), { picture: null }, bytes)
  }
})
