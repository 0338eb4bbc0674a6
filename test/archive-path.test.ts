import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import fc from 'fast-check'
import {
  checkLayout,
  defaultLayout,
  isArchivePath,
  renderArchivePath,
  withSuffix,
} from '../src/archive-path.ts'
import { isAppError } from '../src/errors.ts'
import type { MediaRow } from '../src/media.ts'

const sha256 = '0123456789abcdef'.repeat(4)

function mediaRow(facts: Partial<MediaRow> = {}): MediaRow {
  return {
    mediaId: 42,
    userId: 7,
    title: 'A title',
    filename: 'clip.mp4',
    contentType: 'video',
    mimeType: 'video/mp4',
    declaredBytes: 1,
    objectKey: 'uploads/7/clip.mp4',
    approvedAt: new Date('2026-03-05T23:30:00-05:00'),
    ...facts,
  }
}

const render = (layout: string, facts: Partial<MediaRow> = {}, extension: string | null = null) =>
  renderArchivePath(layout, { media: mediaRow(facts), sha256, extension })
const nameOf = (filename: string | null, objectKey = 'k/key.mov') =>
  render('{filename}', { filename, objectKey })

describe('a rendered path', () => {
  test('uses the approval date in UTC, whatever zone it was given in', () => {
    assert.equal(render(defaultLayout), '2026/03/42/clip.mp4')
  })

  test('fills in every token', () => {
    const layout =
      '{content_type}/{user_id}/{year}-{month}-{day}/{sha256_2}/{sha256}/{media_id}-{stem}.{ext}'
    assert.equal(render(layout), `video/7/2026-03-06/01/${sha256}/42-clip.mp4`)
    assert.equal(
      render('{user_id}/{content_type}/{media_id}', { userId: null, contentType: null }),
      'unknown/unknown/42',
    )
  })

  const names: [what: string, filename: string, expected: string][] = [
    ['separators are dropped', '../../etc/passwd', 'etcpasswd'],
    ['backslashes are dropped', '..\\..\\boot.ini', 'boot.ini'],
    ['control characters are dropped', 'a\u0000b\nc\u007f\u009b.mp4', 'abc.mp4'],
    ['direction overrides are dropped', 'gpj.\u202emp4', 'gpj.mp4'],
    ['leading dots are dropped', '...hidden.mp4', 'hidden.mp4'],
    ['trailing dots and spaces are dropped', 'clip.mp4. . ', 'clip.mp4'],
    ['lone surrogates are dropped', 'a\ud800b\udc00.mp4', 'ab.mp4'],
    ['a pair of surrogates stays', '🎬.mp4', '🎬.mp4'],
    ['names become NFC', 'Cafe\u0301.mp4', 'Caf\u00e9.mp4'],
    ['what joins after a dropped character becomes NFC', 'e\u0000\u0301.mp4', '\u00e9.mp4'],
    ['a Windows device is prefixed', 'con', '_con'],
    ['a Windows device with an extension is prefixed', 'NUL.txt', '_NUL.txt'],
    ['a Windows device before a space is prefixed', 'com1 .mp4', '_com1 .mp4'],
    ['a name that only begins like a device stays', 'console.mp4', 'console.mp4'],
    ['a leading dash is prefixed', '-rf.mp4', '_-rf.mp4'],
    ['a lone dash is prefixed', '-', '_-'],
    ['a sidecar lookalike is disarmed', 'x.json', 'x.json.bin'],
    ['a sidecar lookalike in capitals is disarmed', 'x.JSON', 'x.JSON.bin'],
    ['a sidecar lookalike with a trailing dot is disarmed', 'x.json.', 'x.json.bin'],
    ['a dollar sign is nothing special', "$&$'$1.mp4", "$&$'$1.mp4"],
    ['a brace is nothing special', '{media_id}.mp4', '{media_id}.mp4'],
  ]
  for (const [what, filename, expected] of names) {
    test(`is safe: ${what}`, () => assert.equal(nameOf(filename), expected))
  }

  test('takes the last part of the object key where the row has no usable filename', () => {
    assert.equal(nameOf(null), 'key.mov')
    assert.equal(nameOf(' ../ '), 'key.mov')
    assert.equal(nameOf(null, 'folder/name.mov/'), 'name.mov')
  })

  test('is named after the media id where neither filename nor key is usable', () => {
    assert.equal(nameOf('...', '/./'), 'media-42')
    assert.equal(render('{filename}', { filename: '', objectKey: '' }, 'mp4'), 'media-42.mp4')
    assert.equal(render('{ext}/{filename}', { filename: 'plain', objectKey: '' }), 'media-42/plain')
  })

  test('gets the extension that is known only where its own name has none', () => {
    assert.equal(render('{filename}', { filename: 'upload' }, 'mp4'), 'upload.mp4')
    assert.equal(render('{filename}', { filename: 'upload.mov' }, 'mp4'), 'upload.mov')
    assert.ok(render('{filename}', { filename: 'x'.repeat(300) }, 'mp4').endsWith('x.mp4'))
  })

  test('is cut to 200 bytes with its extension and without breaking a character', () => {
    const name = nameOf(`${'é🎬'.repeat(100)}.mp4`)
    assert.ok(Buffer.byteLength(name) <= 200 && Buffer.byteLength(name) > 190)
    assert.match(name, /^(?:é🎬)+é?\.mp4$/u)
  })

  test('keeps ids and hashes when a long name beside them is cut', () => {
    const path = render('{stem}-{media_id}-{sha256}.{ext}', { filename: `${'x'.repeat(400)}.mp4` })
    assert.ok(path.endsWith(`x-42-${sha256}.mp4`))
    assert.equal(Buffer.byteLength(path), 200)
  })

  test('does not become a sidecar name by being cut', () => {
    const name = nameOf(`${'x'.repeat(195)}.json${'y'.repeat(40)}`)
    assert.ok(isArchivePath(name), name)
    assert.ok(Buffer.byteLength(name) <= 200)
  })

  test('survives an approval time that is no date', () => {
    assert.equal(
      render(defaultLayout, { approvedAt: new Date(Number.NaN) }),
      'unknown/unknown/42/clip.mp4',
    )
  })

  test('is refused when the layout was never checked and is unsafe', () => {
    const layout = Array.from({ length: 8 }, () => '{filename}').join('/')
    assert.throws(
      () => render(layout, { filename: 'x'.repeat(300) }),
      (error) => isAppError(error, 'PATH_UNSAFE'),
    )
  })
})

describe('a suffix for a taken name', () => {
  test('goes before the extension', () => {
    assert.equal(withSuffix('2026/03/42/clip.mp4', '01234567'), '2026/03/42/clip~01234567.mp4')
    assert.equal(withSuffix('a.b/clip', '12.3'), 'a.b/clip~12.3')
  })

  test('fits into 200 bytes', () => {
    const name = withSuffix(`${'é'.repeat(98)}.mp4`, '01234567')
    assert.ok(Buffer.byteLength(name) <= 200)
    assert.ok(name.endsWith('é~01234567.mp4'))
  })

  for (const suffix of ['', '../x', 'a/b', 'x\u0000', '1.json', 'x'.repeat(100)]) {
    test(`may not be ${JSON.stringify(suffix.slice(0, 10))}`, () => {
      assert.throws(
        () => withSuffix('a/clip', suffix),
        (error) => isAppError(error, 'PATH_UNSAFE'),
      )
    })
  }
})

describe('an archive path', () => {
  const refused = [
    '',
    '/',
    '/a',
    'a/',
    'a//b',
    '.',
    '..',
    'a/../b',
    './a',
    'a/.hidden',
    '.strongroom/tmp/1.1.part',
    'a\\b',
    'a\u0000',
    'e\u0301',
    'a\ud800',
    'a/x.json',
    'x.JSON',
    'a/clip.mp4/-',
    '\u202ea',
  ]
  for (const path of refused) {
    test(`is never ${JSON.stringify(path)}`, () => assert.equal(isArchivePath(path), false))
  }
  for (const path of ['a', 'a/b.mp4', 'json', 'a.json/b', '~a', 'é/ü.mp4', 'a-/b', 'x.json.bin']) {
    test(`may be ${path}`, () => assert.equal(isArchivePath(path), true))
  }
})

describe('a layout', () => {
  for (const layout of [
    defaultLayout,
    '{sha256_2}/{sha256}.{ext}',
    'media/{content_type}/{year}/{month}/{day}/{media_id}/{stem}-{sha256}.{ext}',
    '{filename}',
  ]) {
    test(`may be ${layout}`, () => assert.deepEqual(checkLayout(layout), []))
  }

  const wrong: [layout: string, problem: RegExp][] = [
    ['', /must not be empty/],
    ['/{filename}', /relative to ARCHIVE_DIR/],
    ['a//{filename}', /empty folder name/],
    ['a/{filename}/', /empty folder name/],
    ['{file}/{media_id}', /unknown token; known are media_id,/],
    ['{constructor}/{media_id}', /unknown token/],
    ['{media_id', /brace/],
    ['../{filename}', /no safe name/],
    ['.strongroom/{filename}', /no safe name/],
    ['con/{filename}', /no safe name/],
    ['{media_id}.json', /no safe name/],
    ['a\\b/{filename}', /no safe name/],
    ['{year}/{month}', /names would collide/],
    ['{filename}/{filename}/{filename}/{filename}/{filename}/{filename}', /longer than 1024 bytes/],
  ]
  for (const [layout, problem] of wrong) {
    test(`may not be ${JSON.stringify(layout)}`, () => {
      assert.match(checkLayout(layout).join('\n'), problem)
    })
  }
})

describe('whatever the outside world names a file', () => {
  const hostileText = fc.oneof(
    fc.string({ unit: 'binary', maxLength: 300 }),
    fc.string({ unit: 'grapheme', maxLength: 300 }),
    fc
      .array(
        fc.constantFrom(
          ...[
            '.',
            '..',
            '/',
            '\\',
            ' ',
            '-',
            '~',
            'con',
            'NUL',
            '.json',
            '.JSON',
            '.mp4',
            '\u0000',
            '\n',
            '\u0301',
          ],
          ...[
            '\ud800',
            '\udc00',
            '\u202e',
            'é',
            '🎬',
            'e',
            '=',
            '\u0338',
            'x'.repeat(198),
            'ſ',
            '\u00a0',
            '{ext}',
          ],
        ),
        { maxLength: 12 },
      )
      .map((parts) => parts.join('')),
  )
  const layouts = fc.constantFrom(
    defaultLayout,
    '{filename}',
    '{stem}.{ext}',
    '{ext}/{stem}',
    '{media_id}-{filename}',
    '{stem}-{stem}-{sha256}',
    '{filename}/{stem}/{filename}/{filename}/{sha256}',
  )
  const facts = fc.record({
    filename: fc.option(hostileText),
    title: fc.option(hostileText),
    objectKey: hostileText,
    mediaId: fc.integer({ min: 1, max: Number.MAX_SAFE_INTEGER }),
    approvedAt: fc.date({ noInvalidDate: false }),
  })

  test('its path is safe, bounded, and stays so with a suffix', () => {
    fc.assert(
      fc.property(
        layouts,
        facts,
        fc.constantFrom(null, 'mp4', 'json'),
        (layout, row, extension) => {
          const path = render(layout, row, extension)
          for (const found of [path, withSuffix(path, '01234567'), withSuffix(path, '12.3')]) {
            assert.ok(isArchivePath(found), found)
            assert.ok(found.split('/').every((segment) => Buffer.byteLength(segment) <= 200))
            assert.ok(Buffer.byteLength(found) <= 1024)
          }
        },
      ),
      { numRuns: 2000 },
    )
  })

  test('rendering a rendered name again changes nothing', () => {
    fc.assert(
      fc.property(facts, (row) => {
        const name = render('{filename}', row)
        assert.equal(render('{filename}', { ...row, filename: name }), name)
      }),
      { numRuns: 2000 },
    )
  })

  test('a layout that passes the check never fails to render', () => {
    const pieces = fc.constantFrom(
      ...['{filename}', '{stem}', '{ext}', '{media_id}', '{sha256}', '{year}', '{user_id}'],
      ...['/', '/', '-', '.', ' ', 'con', 'x'.repeat(90), '.json', '{', '\u0301', 'e'],
    )
    fc.assert(
      fc.property(fc.array(pieces, { maxLength: 14 }), facts, (parts, row) => {
        const layout = parts.join('')
        if (checkLayout(layout).length > 0) return
        const path = render(layout, row)
        assert.ok(isArchivePath(path) && Buffer.byteLength(withSuffix(path, '01234567')) <= 1024)
      }),
      { numRuns: 3000 },
    )
  })
})
