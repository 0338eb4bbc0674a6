import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { mkdir, rename, rm, symlink, writeFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import { dirname, join } from 'node:path'
import { test } from 'node:test'
import fc from 'fast-check'
import { isArchivePath } from '../../src/archive-path.ts'
import { isAppError } from '../../src/errors.ts'
import { archivePathOf, createLocator, linkPathOf, requireArchive } from '../../src/serve/locate.ts'
import { renderSidecar, sidecarPathOf } from '../../src/sidecar.ts'
import { openFilesIn, sidecarOf, withFileServer } from '../support/file-server.ts'

for (const [raw, expected] of [
  ['/a/b.mp4', 'a/b.mp4'],
  ['/a/b.mp4/-', 'a/b.mp4'],
  ['/a/b%20c.mp4/%2D', 'a/b c.mp4'],
  ['/a+b.mp4', 'a+b.mp4'],
  ['/e%CC%81.mp4', '\u00e9.mp4'],
  ['/%C3%A9.mp4', '\u00e9.mp4'],
  ['/100%25.mp4', '100%.mp4'],
  ['/%2561.mp4', '%61.mp4'],
  ['/a;b=c.mp4', 'a;b=c.mp4'],
  ['/a%3Fb.mp4', 'a?b.mp4'],
  ['/', null],
  ['', null],
  ['/-', null],
  ['/-/-', null],
  ['/a/-/-', null],
  ['/a/-/b', null],
  ['a/b', null],
  ['*', null],
  ['//a/b', null],
  ['/a//b', null],
  ['/a/b/', null],
  ['/a/b//-', null],
  ['/./a', null],
  ['/a/../b', null],
  ['/%2e%2e/a', null],
  ['/a/.%2e/b', null],
  ['/a%2Fb', null],
  ['/a%2f..%2fb', null],
  ['/a%5Cb', null],
  ['/a\\b', null],
  ['/a%00.mp4', null],
  ['/a%0Ab', null],
  ['/a%7Fb', null],
  ['/%', null],
  ['/%zz', null],
  ['/%C3', null],
  ['/%C0%AE%C0%AE/a', null],
  ['/%ED%A0%80', null],
  ['/.strongroom/archive.json', null],
  ['/.strongroom/tmp/1.1.part', null],
  ['/a/.hidden.mp4', null],
  ['/a/b.mp4.json', null],
  ['/a/b.mp4.JSON', null],
  ['/a/b.mp4.json/-', null],
  ['/a/b.mp4.%6Ason', null],
  ['/...', null],
] as const) {
  test(`the path "${raw}" means ${expected ?? 'no file'}`, () => {
    assert.equal(archivePathOf(raw, ''), expected)
  })
}

test('every archive path has a link that leads back to it', () => {
  const segment = fc
    .string({ unit: 'grapheme', minLength: 1, maxLength: 20 })
    .map((text) => text.normalize('NFC'))
    .filter(isArchivePath)
  fc.assert(
    fc.property(
      fc.array(segment, { minLength: 1, maxLength: 4 }),
      fc.constantFrom('', '/', '/files', 'files/v 1/'),
      (segments, prefix) => {
        const path = segments.join('/')
        assert.equal(archivePathOf(linkPathOf(path, prefix), prefix), path)
      },
    ),
    { numRuns: 1000 },
  )
})

/** Pieces that paths out of an archive are made of. */
const piece = fc.oneof(
  fc.constantFrom(
    ...['..', '.', '', '-', '%2e%2e', '.%2E', '%252e%252e', '..%2f', '..%5c', '%c0%ae%c0%ae'],
    ...['a', 'f.mp4', 'f.mp4.json', 'F.MP4', '.strongroom', 'archive.json', 'tmp', 'out', 'in'],
    ...['%00', 'f.mp4%00', 'f.mp4%00.json', 'etc', 'passwd', 'proc', 'self', 'fd', '0', '%', '%zz'],
    ...['secret.mp4', '.hidden.mp4', 'link.mp4', 'f.mp4%20', 'f.mp4.', '~', '..;', 'f.mp4/', '\\'],
    ...['%ff', '%ed%a0%80', '\u00e9', '%e2%80%ae', 'pipe', 'socket', 'deep', 'C:', 'x'.repeat(300)],
  ),
  fc
    .string({ unit: 'binary', maxLength: 6 })
    .map((text) => encodeURIComponent(text.toWellFormed())),
  fc.stringMatching(/^(?:%[0-9a-f]{2}){1,4}$/),
)
const hostilePath = fc
  .array(piece, { minLength: 1, maxLength: 7 })
  .map((pieces) => `/${pieces.join('/')}`)
  .map((path) => path.replace(/[^\x21-\x7e]/g, (char) => encodeURIComponent(char)))

test('no path gets anything but the one file of its token', async () => {
  await withFileServer({}, async ({ archiveDir, file, token, ask, log, leaks }) => {
    await file('a/f.mp4', 'mine', { media_id: 1 })
    await file('f.mp4', 'mine', { media_id: 1 })
    await file('.hidden.mp4', 'secret', { media_id: 1 })
    await file('.strongroom/tmp/f.mp4', 'secret', { media_id: 1 })
    await file('../secret.mp4', 'secret', { media_id: 1 })
    await writeFile(join(archiveDir, '.strongroom/archive.json'), 'secret')
    await writeFile(join(archiveDir, 'secret.mp4'), 'secret')
    await symlink('..', join(archiveDir, 'out'))
    await symlink('.', join(archiveDir, 'in'))
    await symlink('../secret.mp4', join(archiveDir, 'a/link.mp4'))
    const query = `?token=${await token(1)}`
    await fc.assert(
      fc.asyncProperty(hostilePath, async (path) => {
        const answer = await ask(path + query)
        assert.ok([200, 400, 404].includes(answer.status), `${answer.status} ${path}`)
        if (answer.status === 200) assert.equal(answer.body.toString(), 'mine')
        assert.doesNotMatch(answer.body.toString(), /secret/)
      }),
      {
        numRuns: 3000,
        examples: [['/a/f.mp4'], ['/a/f.mp4/-'], ['/out/secret.mp4'], ['/in/f.mp4']],
      },
    )
    assert.equal(log.lines.filter(({ level }) => level === 'error').length, 0)
    assert.deepEqual(await leaks(), [])
  })
})

test('a link of any kind in the archive is as good as no file', async () => {
  await withFileServer({}, async ({ archiveDir, file, token, ask }) => {
    const outside = join(dirname(archiveDir), 'outside')
    await mkdir(outside)
    await writeFile(join(outside, 'f.mp4'), 'secret')
    const query = `?token=${await token()}`
    const sidecarFor = async (path: string, place: string) => {
      const sidecar = sidecarOf({ archive_path: path, bytes: 6 })
      await writeFile(sidecarPathOf(place), renderSidecar(sidecar))
    }
    // The file is a link out of the archive, its sidecar is right.
    await symlink(join(outside, 'f.mp4'), join(archiveDir, 'file.mp4'))
    await sidecarFor('file.mp4', join(archiveDir, 'file.mp4'))
    // A folder is a link out of the archive, and everything in it is right.
    await symlink(outside, join(archiveDir, 'folder'))
    await sidecarFor('folder/f.mp4', join(outside, 'f.mp4'))
    // The sidecar alone is a link.
    await writeFile(join(archiveDir, 'third.mp4'), 'secret')
    await sidecarFor('third.mp4', join(outside, 'third.mp4'))
    await symlink(join(outside, 'third.mp4.json'), join(archiveDir, 'third.mp4.json'))
    // Links that stay inside.
    await file('real/f.mp4', 'secret')
    await symlink('real', join(archiveDir, 'alias'))
    await symlink('f.mp4', join(archiveDir, 'real/g.mp4'))
    await sidecarFor('real/g.mp4', join(archiveDir, 'real/g.mp4'))
    for (const path of ['file.mp4', 'folder/f.mp4', 'third.mp4', 'alias/f.mp4', 'real/g.mp4']) {
      const answer = await ask(`/${path}${query}`)
      assert.equal(answer.status, 404, path)
      assert.doesNotMatch(answer.body.toString(), /secret/)
    }
    assert.equal((await ask(`/real/f.mp4${query}`)).status, 200)
  })
})

test('an archive that is itself reached through a link is served', async () => {
  await withFileServer({}, async ({ archiveDir, file, token, ask }) => {
    await file('a/f.mp4', 'bytes')
    await rename(archiveDir, `${archiveDir}-real`)
    await symlink(`${archiveDir}-real`, archiveDir)
    assert.equal((await ask(`/a/f.mp4?token=${await token()}`)).status, 200)
  })
})

test('folders, pipes and sockets are no files, and hold nobody up', async () => {
  await withFileServer({}, async ({ archiveDir, token, ask }) => {
    await mkdir(join(archiveDir, 'folder.mp4'))
    execFileSync('mkfifo', [join(archiveDir, 'pipe.mp4'), join(archiveDir, 'other.mp4.json')])
    const socket = createServer().listen(join(archiveDir, 'socket.mp4'))
    try {
      for (const name of ['folder.mp4', 'pipe.mp4', 'socket.mp4']) {
        const sidecar = sidecarOf({ archive_path: name, bytes: 0 })
        await writeFile(join(archiveDir, sidecarPathOf(name)), renderSidecar(sidecar))
      }
      for (const name of ['folder.mp4', 'pipe.mp4', 'socket.mp4', 'other.mp4']) {
        assert.equal((await ask(`/${name}?token=${await token()}`)).status, 404, name)
      }
    } finally {
      socket.close()
    }
  })
})

test('a file without a sidecar that can be believed is no file, and the log says why', async () => {
  await withFileServer({}, async ({ archiveDir, token, ask, log }) => {
    const good = renderSidecar(sidecarOf({ archive_path: 'f.mp4', bytes: 5 }))
    const query = `?token=${await token()}`
    await writeFile(join(archiveDir, 'f.mp4'), 'bytes')
    assert.equal((await ask(`/f.mp4${query}`)).status, 404)
    assert.equal(log.lines.filter(({ level }) => level === 'warn').length, 0)
    const torn = [
      '',
      good.slice(0, -9),
      good.replace('"media_id": 1', '"media_id": 2'),
      `${good} `,
      'x'.repeat(2 ** 21),
    ]
    for (const [index, text] of torn.entries()) {
      await writeFile(join(archiveDir, 'f.mp4.json'), text)
      assert.equal((await ask(`/f.mp4${query}`)).status, 404)
      const warnings = log.lines.filter(({ level }) => level === 'warn')
      assert.equal(warnings.length, index + 1)
      assert.ok(isAppError(warnings.at(-1)?.fields.error, 'SIDECAR_INVALID'))
    }
    await writeFile(join(archiveDir, 'f.mp4.json'), good)
    assert.equal((await ask(`/f.mp4${query}`)).status, 200)
  })
})

test('a file that contradicts its sidecar is withheld and reported, to its owner only', async () => {
  await withFileServer({}, async ({ archiveDir, file, token, ask, log }) => {
    await file('short.mp4', 'byte', { bytes: 5 })
    await file('long.mp4', 'bytes!', { bytes: 5 })
    await file('moved.mp4', 'bytes', { archive_path: 'elsewhere.mp4' })
    for (const name of ['short.mp4', 'long.mp4', 'moved.mp4']) {
      const answer = await ask(`/${name}?token=${await token()}`)
      assert.equal(answer.status, 503, name)
      assert.equal(answer.headers['retry-after'], '5')
      assert.equal((await ask(`/${name}?token=${await token(2)}`)).status, 403)
    }
    const errors = log.lines.filter(({ level }) => level === 'error')
    assert.equal(errors.length, 3)
    for (const line of errors) assert.ok(isAppError(line.fields.error, 'ARCHIVE_DAMAGED'))
    assert.deepEqual(await openFilesIn(archiveDir), [])
  })
})

test('a sidecar without its file, as between two steps of publishing, is no file', async () => {
  await withFileServer({}, async ({ archiveDir, file, token, ask }) => {
    await file('f.mp4', 'bytes')
    await rm(join(archiveDir, 'f.mp4'))
    assert.equal((await ask(`/f.mp4?token=${await token()}`)).status, 404)
  })
})

test('an archive that is gone is an outage, not a missing file', async () => {
  await withFileServer({}, async ({ archiveDir, file, token, ask, log }) => {
    await file('f.mp4', 'bytes')
    await rename(archiveDir, `${archiveDir}-away`)
    const query = `?token=${await token()}`
    assert.equal((await ask(`/f.mp4${query}`)).status, 503)
    assert.ok(isAppError(log.lines[0]?.fields.error, 'VOLUME_MISSING'))
    await rename(`${archiveDir}-away`, archiveDir)
    assert.equal((await ask(`/f.mp4${query}`)).status, 200)
  })
})

test('the empty mount point of an archive is an outage, not an archive without files', async () => {
  await withFileServer({}, async ({ archiveDir, token, ask, log }) => {
    await rm(join(archiveDir, '.strongroom'), { recursive: true })
    assert.equal((await ask(`/f.mp4?token=${await token()}`)).status, 503)
    assert.ok(isAppError(log.lines[0]?.fields.error, 'VOLUME_MISSING'))
    await assert.rejects(requireArchive(archiveDir), (error) => isAppError(error, 'VOLUME_MISSING'))
  })
})

test('a refused file leaves no descriptor open', async () => {
  await withFileServer({}, async ({ archiveDir, file }) => {
    await file('f.mp4', 'bytes', { bytes: 6 })
    const { locate } = createLocator({ archiveDir, onInvalidSidecar: () => {} })
    for (const [path, mediaId] of [
      ['f.mp4', 1],
      ['f.mp4', 2],
      ['absent.mp4', 1],
    ] as const) {
      await assert.rejects(locate(path, mediaId))
      assert.deepEqual(await openFilesIn(archiveDir), [])
    }
  })
})
