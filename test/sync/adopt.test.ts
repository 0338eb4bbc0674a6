import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { appendFile, lstat, symlink, unlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import { promisify } from 'node:util'
import { MARKER_PATH } from '../../src/archive-path.ts'
import { AppError } from '../../src/errors.ts'
import { adoptInPlace } from '../../src/sync/adopt.ts'
import type { Validate } from '../../src/sync/validate.ts'
import {
  film,
  order,
  picture,
  realValidate,
  sha256,
  sound,
  tree,
  withArchive,
} from '../support/adoption.ts'
import { hasCode, mountsRefused, withFolder, withVolume } from '../support/scopes.ts'

describe('adopting a file in place', () => {
  test('adds its sidecar and touches nothing else', async (t) => {
    const { root, parts, put, sidecar } = await withArchive(t)
    const bytes = film
    await put('old/holiday film.mp4', bytes)
    const before = await tree(root)
    const adopted = await adoptInPlace(parts, order('old/holiday film.mp4'))
    assert.equal(adopted.outcome, 'adopted')
    assert.equal(adopted.unknown, null)
    const { 'old/holiday film.mp4.json': added, ...rest } = await tree(root)
    assert.deepEqual(rest, before)
    assert.ok(added)
    assert.equal((await lstat(join(root, 'old/holiday film.mp4.json'))).mode & 0o777, 0o640)
    const said = await sidecar('old/holiday film.mp4')
    assert.deepEqual(
      [said.media_id, said.user_id, said.archive_path, said.filename, said.mime_type],
      [42, 7, 'old/holiday film.mp4', 'original.mp4', 'video/mp4'],
    )
    assert.deepEqual([said.bytes, said.sha256], [bytes.length, sha256(bytes)])
    assert.deepEqual([said.source, said.proof, said.approved_at], [null, null, null])
    assert.equal(said.probe?.streams[0]?.codec, 'h264')
  })

  test('a second time finds nothing to do, and repeats the facts', async (t) => {
    const { root, parts, put } = await withArchive(t)
    await put('a.mp4', film)
    const first = await adoptInPlace(parts, order('a.mp4'))
    const before = await tree(root)
    const second = await adoptInPlace(parts, order('a.mp4'))
    assert.deepEqual(second, { ...first, outcome: 'already' })
    assert.deepEqual(await tree(root), before)
  })

  for (const [what, more, says] of [
    [
      'another media id',
      { mediaId: 43 },
      /a\.bin\.json says already that a\.bin is media 42 of user 7/,
    ],
    ['another user', { userId: 8 }, /is media 42 of user 7/],
  ] as const) {
    test(`under ${what} than its sidecar has is refused, and names that sidecar`, async (t) => {
      const { root, parts, put } = await withArchive(t)
      await put('a.bin', 'bytes')
      const first = order('a.bin')
      await adoptInPlace(parts, first)
      const before = await tree(root)
      const other = { ...first, media: { ...first.media, ...more } }
      await assert.rejects(adoptInPlace(parts, other), hasCode('NAME_TAKEN', says))
      assert.deepEqual(await tree(root), before)
    })
  }

  test('whose bytes are not those of its sidecar is refused', async (t) => {
    const { root, parts, put } = await withArchive(t)
    await put('a.bin', 'bytes')
    await adoptInPlace(parts, order('a.bin'))
    await put('a.bin', 'other')
    const before = await tree(root)
    await assert.rejects(adoptInPlace(parts, order('a.bin')), hasCode('NAME_TAKEN', /other bytes/))
    assert.deepEqual(await tree(root), before)
  })

  test('beside a .json that is no sidecar is refused, and that file is left alone', async (t) => {
    const { root, parts, put } = await withArchive(t)
    await put('a.bin', 'bytes')
    await put('a.bin.json', '{"of":"another program"}')
    const before = await tree(root)
    await assert.rejects(adoptInPlace(parts, order('a.bin')), hasCode('NAME_TAKEN', /no sidecar/))
    assert.deepEqual(await tree(root), before)
  })

  for (const [path, says] of [
    ['.hidden.mp4', /begins with a dot/],
    ['.strongroom/tmp/x', /begins with a dot/],
    ['a/../b.mp4', /begins with a dot/],
    ['a/-', /single dash/],
    ['a//b.mp4', /empty part/],
    ['list.json', /as only sidecars do/],
    ['cafe\u0301.mp4', /composed form/],
    ['a\u202eb.mp4', /direction of text/],
  ] as const) {
    test(`is refused for ${JSON.stringify(path)}, which no link can name`, async (t) => {
      const { parts } = await withArchive(t)
      await assert.rejects(adoptInPlace(parts, order(path)), hasCode('PATH_UNSAFE', says))
    })
  }

  test('is refused for what is no regular file of the archive', async (t) => {
    const { root, parts, put } = await withArchive(t)
    const outside = await withFolder(t)
    await writeFile(join(outside, 'secret.bin'), 'not yours')
    await put('folder/file.bin', 'bytes')
    await symlink(join(outside, 'secret.bin'), join(root, 'link.bin'))
    await symlink(outside, join(root, 'linked'))
    await promisify(execFile)('mkfifo', [join(root, 'pipe.bin')])
    const before = await tree(root)
    for (const [path, code] of [
      ['link.bin', 'PATH_UNSAFE'],
      ['linked/secret.bin', 'PATH_UNSAFE'],
      ['pipe.bin', 'PATH_UNSAFE'],
      ['folder', 'PATH_UNSAFE'],
      ['absent.bin', 'FILE_MISSING'],
      ['folder/file.bin/below', 'PATH_UNSAFE'],
    ] as const)
      await assert.rejects(adoptInPlace(parts, order(path)), hasCode(code), path)
    assert.deepEqual(await tree(root), before)
  })

  test('which is written to meanwhile is refused', async (t) => {
    const { root, parts, put } = await withArchive(t)
    await put('a.bin', 'bytes')
    const meddling: Validate = async (file) => {
      await appendFile(join(root, 'a.bin'), 'more')
      return realValidate(file)
    }
    await assert.rejects(
      adoptInPlace({ ...parts, validate: meddling }, order('a.bin')),
      hasCode('FILE_CHANGED'),
    )
    assert.deepEqual(Object.keys(await tree(root)), ['a.bin', MARKER_PATH])
  })

  test('in an archive that goes away meanwhile is refused', async (t) => {
    const { root, parts, put } = await withArchive(t)
    await put('a.bin', 'bytes')
    const meddling: Validate = async (file) => {
      await unlink(join(root, MARKER_PATH))
      return realValidate(file)
    }
    await assert.rejects(
      adoptInPlace({ ...parts, validate: meddling }, order('a.bin')),
      hasCode('VOLUME_MISSING'),
    )
    assert.deepEqual(Object.keys(await tree(root)), ['a.bin'])
  })

  test('on a disk that is mounted read-only is refused', { skip: mountsRefused() }, async (t) => {
    const volume = await withVolume(t, 1_000_000)
    const { root, parts, put } = await withArchive(t, volume.folder)
    await put('a.bin', 'bytes')
    await volume.makeReadOnly()
    const before = await tree(root)
    await assert.rejects(adoptInPlace(parts, order('a.bin')), hasCode('DISK_DENIED', /read-only/))
    assert.deepEqual(await tree(root), before)
  })
})

describe('the type of an adopted file', () => {
  const html = '<!doctype html><script>alert(1)</script>'
  for (const [name, bytes, mimeType, kind] of [
    ['film.dat', film, 'video/mp4', 'video'],
    ['sound', sound, 'audio/mpeg', 'audio'],
    ['picture-%03d.jpg', picture, 'image/jpeg', 'image'],
    ['paper.pdf', '%PDF-1.7 and no more', 'application/pdf', null],
    ['things.zip', 'PK\x03\x04 and no more', 'application/zip', null],
    ['drawing.svg', '<svg xmlns="http://www.w3.org/2000/svg"/>', 'image/svg+xml', 'image'],
    ['cut.mp4', film.subarray(0, 400), 'video/mp4', 'video'],
    ['page.jpg', html, 'application/octet-stream', null],
    ['page.html', html, 'application/octet-stream', null],
    ['empty.mp4', '', 'application/octet-stream', null],
  ] as const) {
    test(`of ${name} follows from its bytes: ${mimeType}`, async (t) => {
      const { parts, put, sidecar } = await withArchive(t)
      await put(name, bytes)
      const { unknown } = await adoptInPlace(parts, order(name))
      const said = await sidecar(name)
      assert.deepEqual([said.mime_type, said.content_type], [mimeType, kind])
      assert.equal(unknown === null, said.probe !== null, 'what the probe does not know is told')
    })
  }

  test('must be known to the probe with --strict', async (t) => {
    const { root, parts, put } = await withArchive(t)
    await put('paper.pdf', '%PDF-1.7')
    await put('film.mp4', film)
    const before = Object.keys(await tree(root))
    await assert.rejects(
      adoptInPlace(parts, order('paper.pdf', { strict: true })),
      hasCode('MEDIA_INVALID', /paper\.pdf: not readable as media/),
    )
    assert.deepEqual(Object.keys(await tree(root)), before)
    await adoptInPlace(parts, order('film.mp4', { strict: true }))
  })

  test('stays unknown when the probe dies of the file', async (t) => {
    const { parts, put, sidecar } = await withArchive(t)
    await put('a.bin', 'GIF89a and no more')
    const dying: Validate = () => Promise.reject(new AppError('PROBE_FAILED', 'ffprobe died'))
    const { unknown } = await adoptInPlace({ ...parts, validate: dying }, order('a.bin'))
    assert.equal(unknown, 'ffprobe died')
    assert.equal((await sidecar('a.bin')).mime_type, 'image/gif')
  })
})
