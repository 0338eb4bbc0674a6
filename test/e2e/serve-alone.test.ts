import assert from 'node:assert/strict'
import { mkdir, rename, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { test } from 'node:test'
import { MARKER_PATH } from '../../src/archive-path.ts'
import { addFile } from '../support/file-server.ts'
import { freePort } from '../support/ports.ts'
import { fileUrl, startTalking, tokenFor } from '../support/program.ts'
import { type Scope, withFolder } from '../support/scopes.ts'
import { story } from '../support/service.ts'

const secret = 'a-secret-of-at-least-32-bytes-1234'

async function withArchive(t: Scope): Promise<string> {
  const archiveDir = await withFolder(t)
  await mkdir(join(archiveDir, dirname(MARKER_PATH)))
  await writeFile(join(archiveDir, MARKER_PATH), '{}')
  return archiveDir
}

test('start --role serve needs an archive, a port and a secret, and nothing else', async (t) => {
  const archiveDir = await withArchive(t)
  const contents = Buffer.from('the bytes of a file')
  await addFile(archiveDir, { path: '2026/11/7/a.mp4', contents, facts: { media_id: 7 } })
  await writeFile(join(archiveDir, 'alone.mp4'), contents)
  // Not even PATH: this is the whole environment of the process.
  const env = { ARCHIVE_DIR: archiveDir, SERVER_PORT: '0', UNRAID_TUNNEL_SECRET: secret }
  const program = startTalking(t, ['start', '--role', 'serve'], env)
  const port = await program.port('serve')
  const token = tokenFor(secret, { media_id: 7 })
  const url = fileUrl(port, '2026/11/7/a.mp4', token)
  for (const link of [url, url.replace('/-?', '?')]) {
    const answer = await fetch(link)
    assert.equal(answer.status, 200)
    assert.deepEqual(Buffer.from(await answer.arrayBuffer()), contents)
  }
  const withoutSidecar = await fetch(fileUrl(port, 'alone.mp4', token))
  assert.equal(withoutSidecar.status, 404, 'what has no sidecar is not served')
  for (const path of ['/health', '/health/deep'])
    assert.equal((await fetch(`http://127.0.0.1:${port}${path}`)).status, 200, path)
  const ended = await program.stop()
  assert.equal(ended.code, 0, story(ended))
  assert.equal(ended.stderr, '')
  assert.doesNotMatch(ended.stdout, /"level":"(?:warn|error)"/, 'and complains of nothing')
})

test('a server whose archive is not there says so at the start, on the admin port and when that changes', async (t) => {
  const archiveDir = await withArchive(t)
  const contents = Buffer.from('the bytes of a file')
  await addFile(archiveDir, { path: '2026/11/7/a.mp4', contents, facts: { media_id: 7 } })
  const unplugged = join(await withFolder(t), 'unplugged')
  for (const part of ['.', MARKER_PATH]) {
    const place = join(archiveDir, part)
    await rename(place, unplugged)
    const env = { ARCHIVE_DIR: archiveDir, UNRAID_TUNNEL_SECRET: secret }
    const free = { SERVER_PORT: '0', ADMIN_PORT: '0' }
    const roles = ['--role', 'serve', '--role', 'admin']
    const program = startTalking(t, ['start', ...roles], { ...env, ...free })
    const away = await program.said(
      /"level":"error".*ARCHIVE_DIR holds no archive; it is waited for/,
    )
    assert.match(away.input, /"code":"VOLUME_MISSING".*"hint":/, 'with the next step')
    const admin = await program.port('admin')
    const url = fileUrl(
      await program.port('serve'),
      '2026/11/7/a.mp4',
      tokenFor(secret, { media_id: 7 }),
    )
    assert.equal((await fetch(url)).status, part === '.' ? 503 : 200, 'as it always was')
    const deep = await fetch(`http://127.0.0.1:${admin}/health/deep`)
    assert.equal(deep.status, 503)
    assert.match(await deep.text(), /"archive":\{"ok":false.*VOLUME_MISSING/)
    await rename(unplugged, place)
    await program.said(/"level":"info".*ARCHIVE_DIR holds the archive again/)
    assert.equal((await fetch(url)).status, 200)
    const mark = program.mark()
    await rename(place, unplugged)
    await program.said(/"level":"error".*ARCHIVE_DIR holds no archive; it is waited for/, mark)
    await rename(unplugged, place)
    const ended = await program.stop()
    assert.equal(ended.code, 0, story(ended))
  }
})

test('start --role serve without a secret names the one setting that is missing', async (t) => {
  const env = { ARCHIVE_DIR: await withFolder(t), SERVER_PORT: '0' }
  const ended = await startTalking(t, ['start', '--role', 'serve'], env).ended
  assert.equal(ended.code, 78, story(ended))
  assert.match(ended.stderr, /one setting is wrong:\n {2}UNRAID_TUNNEL_SECRET is required/)
})

test('health asks whichever port there is: the file server’s, else the admin server’s', async (t) => {
  const archiveDir = await withArchive(t)
  for (const role of ['serve', 'admin'] as const) {
    const env = { ARCHIVE_DIR: archiveDir, UNRAID_TUNNEL_SECRET: secret }
    const free = { SERVER_PORT: '0', ADMIN_PORT: '0' }
    const program = startTalking(t, ['start', '--role', role], { ...env, ...free })
    const port = String(await program.port(role))
    const ports =
      role === 'serve'
        ? { SERVER_PORT: port, ADMIN_PORT: String(await freePort()) }
        : { SERVER_PORT: String(await freePort()), ADMIN_PORT: port }
    for (const args of [['health'], ['health', '--deep']]) {
      const asked = await startTalking(t, args, { ...env, ...ports }).ended
      assert.equal(asked.code, 0, story(asked))
      assert.match(asked.stdout, /"status":"ok"|"ok":true/)
    }
    await program.stop()
    const gone = await startTalking(t, ['health'], { ...env, ...ports }).ended
    assert.equal(gone.code, 1, story(gone))
    const { SERVER_PORT, ADMIN_PORT } = ports
    assert.match(
      gone.stderr,
      new RegExp(`answers at http://127.0.0.1:${SERVER_PORT}/health or .*:${ADMIN_PORT}/health\n`),
    )
  }
})
