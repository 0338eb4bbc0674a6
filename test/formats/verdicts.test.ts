import assert from 'node:assert/strict'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import { gzipSync } from 'node:zlib'
import { validate } from '../../src/sync/validate.ts'
import { ftyp } from '../support/heif.ts'
import { fixtureBytes, fixtureNames, mediaBytes } from '../support/media-files.ts'
import { probe } from '../support/probe.ts'
import { type Scope, withFolder } from '../support/scopes.ts'

/** The MIME type as which the file is accepted, or the reason why it is not. */
async function verdictOn(t: Scope, contents: string | Buffer, name = 'item.part'): Promise<string> {
  const absolutePath = join(await withFolder(t), name)
  await writeFile(absolutePath, contents)
  const sizeBytes = Buffer.byteLength(contents)
  const verdict = await validate({ probe, absolutePath, kind: 'image', sizeBytes })
  return verdict.valid ? verdict.facts.mimeType : verdict.reason
}

function half(whole: Buffer): Buffer {
  return whole.subarray(0, whole.length / 2)
}

const kinds = { heic: 'image/heic', avif: 'image/avif', jxl: 'image/jxl' } as const
const whole = new Map<string, [bytes: Buffer, mimeType: string]>()
for (const name of fixtureNames) {
  const extension = name.split('.')[1] as keyof typeof kinds
  whole.set(name, [fixtureBytes(name), kinds[extension]])
}
for (const name of ['webp', 'webp-lossless', 'webp-alpha', 'webp-animated'] as const) {
  whole.set(name, [mediaBytes(name), 'image/webp'])
}
whole.set('avif', [mediaBytes('avif'), 'image/avif'])
whole.set('jxl', [mediaBytes('jxl'), 'image/jxl'])

describe('a whole picture', () => {
  for (const [name, [bytes, mimeType]] of whole) {
    test(`is accepted: ${name}`, async (t) => {
      assert.equal(await verdictOn(t, bytes), mimeType)
    })
  }

  test('is what its contents are, whatever it is called', async (t) => {
    for (const [name, bytes, mimeType] of [
      ['photo.jpg', fixtureBytes('still.heic'), 'image/heic'],
      ['photo.heic', mediaBytes('jpeg'), 'image/jpeg'],
      ['photo.webp', mediaBytes('png'), 'image/png'],
      ['photo.png', mediaBytes('webp-animated'), 'image/webp'],
      ['photo.svg', mediaBytes('avif'), 'image/avif'],
      ['photo.gif', mediaBytes('jxl'), 'image/jxl'],
    ] as const) {
      assert.equal(await verdictOn(t, bytes, name), mimeType, name)
    }
  })
})

describe('half a picture', () => {
  for (const [name, [bytes]] of whole) {
    // Its first frame is all there, and nothing says that there were more.
    if (name === 'animated.jxl') continue
    test(`is refused: ${name}`, async (t) => {
      const reason = await verdictOn(t, half(bytes))
      assert.match(reason, /is cut off|^not readable as media: Unexpected end of JXL codestream$/)
    })
  }

  test('is accepted when it is a bare JPEG XL animation, as docs/formats.md says', async (t) => {
    assert.equal(await verdictOn(t, half(fixtureBytes('animated.jxl'))), 'image/jxl')
  })
})

describe('a header with nothing behind it', () => {
  const before = (bytes: Buffer, mark: string): Buffer => bytes.subarray(0, bytes.indexOf(mark) - 4)
  const emptyWebp = Buffer.from('RIFF\x04\0\0\0WEBP', 'latin1')
  const frameless = Buffer.concat([
    Buffer.from('RIFF\x16\0\0\0WEBPVP8X\x0a\0\0\0\x02', 'latin1'),
    Buffer.alloc(9),
  ])
  for (const [what, bytes, reason] of [
    ['HEIC, type only', ftyp('heic', 'mif1'), 'the heic file describes no picture'],
    [
      'HEIC, description only',
      before(fixtureBytes('still.heic'), 'mdat'),
      'the heic file is cut off: what it describes is not in it',
    ],
    [
      'AVIF, description only',
      before(fixtureBytes('grid.avif'), 'mdat'),
      'the avif file is cut off: what it describes is not in it',
    ],
    ['WebP', emptyWebp, 'the webp file holds no picture'],
    ['WebP that says that it is animated', frameless, 'the webp file holds no picture'],
    [
      'JPEG XL in a container',
      before(fixtureBytes('container.jxl'), 'jxlc'),
      'the jxl file is cut off: the end of its picture is missing',
    ],
    [
      'a JPEG in JPEG XL, without its second part',
      fixtureBytes('from-jpeg.jxl').subarray(
        0,
        fixtureBytes('from-jpeg.jxl').lastIndexOf('jxlp') - 4,
      ),
      'the jxl file is cut off: the end of its picture is missing',
    ],
    [
      'bare JPEG XL',
      mediaBytes('jxl').subarray(0, 12),
      'not readable as media: Unexpected end of JXL codestream',
    ],
    [
      'bare JPEG XL, signature only',
      mediaBytes('jxl').subarray(0, 2),
      'not readable as media: Invalid data found when processing input',
    ],
  ] as const) {
    test(`is refused: ${what}`, async (t) => {
      assert.equal(await verdictOn(t, bytes), reason)
    })
  }
})

describe('a damaged animation in WebP', () => {
  const animated = mediaBytes('webp-animated')
  const frame = animated.indexOf('ANMF')
  for (const [what, change, reason] of [
    ['a frame larger than the file', [frame + 7, 0x7f], 'is damaged: a chunk does not fit into it'],
    ['a frame without a picture', [frame + 24, 0x58], 'has an empty frame'],
    ['a frame filled with zeros', [frame + 32, 0, 64], 'has an empty frame'],
    ['a canvas description that is too short', [16, 4], 'is damaged: its VP8X chunk is too short'],
  ] as const) {
    test(`is refused: ${what}`, async (t) => {
      const [at, value, length = 1] = change
      const bytes = Buffer.from(animated).fill(value, at, at + length)
      assert.equal(await verdictOn(t, bytes), `the webp file ${reason}`)
    })
  }
})

test('a JPEG XL container of another brand is refused', async (t) => {
  const bytes = Buffer.from(fixtureBytes('container.jxl'))
  bytes.write('abcd', bytes.indexOf('ftyp') + 4, 'latin1')
  assert.equal(await verdictOn(t, bytes), 'the jxl file does not say that it is one')
})

describe('SVG is refused, and the reason is named', () => {
  const svg = '<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>'
  const doctype =
    '<!DOCTYPE svg PUBLIC "-//W3C//DTD SVG 1.1//EN" "http://www.w3.org/Graphics/SVG/1.1/DTD/svg11.dtd">'
  const utf16 = Buffer.from(`\ufeff${svg}`, 'utf16le')
  for (const [what, contents] of [
    ['plain', svg],
    ['with an XML declaration', `<?xml version="1.0" encoding="UTF-8"?>\n${svg}`],
    ['with a document type', `<?xml version="1.0"?>${doctype}\n${svg}`],
    ['with a comment first', `<!-- made by hand -->\n\n${svg}`],
    ['with a namespace prefix', svg.replaceAll('svg ', 'svg:svg ')],
    ['with space and a byte order mark', `\ufeff \n${svg}`],
    ['in UTF-16', utf16],
    ['in UTF-16, the other way round', Buffer.from(utf16).swap16()],
    ['in capitals', svg.toUpperCase()],
    ['cut off', svg.slice(0, 20)],
    ['inside HTML', `<!doctype html><body>${svg}</body>`],
  ] as const) {
    test(what, async (t) => {
      assert.equal(
        await verdictOn(t, contents),
        'SVG is not accepted: it can carry scripts and references to other files',
      )
    })
  }

  test('but not when it is compressed: then nobody looks into it, and it is refused all the same', async (t) => {
    assert.match(await verdictOn(t, gzipSync(svg)), /^not readable as media: /)
  })
})
