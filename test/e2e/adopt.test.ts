import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { chmod, chown, mkdir, readFile, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { test } from 'node:test'
import { z } from 'zod'
import { film } from '../support/adoption.ts'
import { fileUrl, nobodyRefused, runAsNobody, startTalking, tokenFor } from '../support/program.ts'
import { type Scope, withFolder } from '../support/scopes.ts'
import { type Ended, story } from '../support/service.ts'

const secret = 'a-secret-of-at-least-32-bytes-1234'
const schemaFile = join(import.meta.dirname, '../../docs/sidecar.schema.json')
const schema = z.fromJSONSchema(JSON.parse(readFileSync(schemaFile, 'utf8')))

/** A folder, and the program with no more settings than a file server that stands alone has. */
async function withArchiveAlone(t: Scope) {
  const archiveDir = await withFolder(t)
  const env = {
    PATH: process.env.PATH ?? '',
    ARCHIVE_DIR: archiveDir,
    SERVER_PORT: '0',
    UNRAID_TUNNEL_SECRET: secret,
  }
  const start = (...args: string[]) => startTalking(t, args, env)
  return { archiveDir, env, start, run: (...args: string[]) => start(...args).ended }
}

function ended(how: Ended, code: number, says: RegExp): void {
  assert.equal(how.code, code, story(how))
  assert.match(how.stdout + how.stderr, says)
}

test('files made by hand are served once they are adopted, without a database or a bucket', async (t) => {
  const { archiveDir, start, run } = await withArchiveAlone(t)
  await mkdir(join(archiveDir, 'films'))
  await writeFile(join(archiveDir, 'films/mine.mp4'), film)
  const outside = join(await withFolder(t), 'Über alles.bin')
  await writeFile(outside, 'no medium')
  const mine = ['adopt', join(archiveDir, 'films/mine.mp4'), '--media-id', '5', '--user-id', '7']
  const other = ['adopt', outside, '--media-id', '6', '--user-id', '7']

  ended(await run(...mine), 74, /holds no archive.*\n.*init-volume` \(--no-database/)
  ended(await run('init-volume', '--no-database'), 0, /is archive [0-9a-f-]{36}\n/)
  ended(await run(...mine), 0, /^films\/mine\.mp4 is media 5 now \(video\/mp4, /)
  ended(await run(...mine), 0, /^films\/mine\.mp4 is media 5 already; nothing to do\n$/)
  ended(await run(...other), 64, /outside ARCHIVE_DIR .*\n.*--into PATH/)
  ended(await run(...other, '--into', 'things/', '--strict'), 75, /not readable as media/)
  ended(
    await run(...other, '--into', 'things/'),
    0,
    /^things\/Über alles\.bin is media 6 now .*\n.*warning: .* served as application\/octet-stream/,
  )

  const program = start('start', '--role', 'serve')
  const port = await program.port('serve')
  for (const [path, mediaId, bytes, type] of [
    ['films/mine.mp4', 5, film, 'video/mp4'],
    ['things/Über alles.bin', 6, Buffer.from('no medium'), 'application/octet-stream'],
  ] as const) {
    const answer = await fetch(fileUrl(port, path, tokenFor(secret, { media_id: mediaId })))
    assert.equal(answer.status, 200)
    assert.equal(answer.headers.get('content-type'), type)
    assert.deepEqual(Buffer.from(await answer.arrayBuffer()), bytes)
    schema.parse(JSON.parse(await readFile(join(archiveDir, `${path}.json`), 'utf8')))
  }
  const minted = await run('token', '--file', 'films/mine.mp4', '--ttl', '1m')
  const link = new URL(minted.stdout.trim())
  link.port = String(port)
  assert.equal((await fetch(link)).status, 200, 'and a link needs no database either')
  ended(await run('token', '--file', 'films/none.mp4'), 1, /has no sidecar in the archive/)
  for (const path of ['../x/films/mine.mp4', '/etc/hostname', '..', archiveDir])
    ended(await run('token', '--file', path), 64, /is no file's path in ARCHIVE_DIR/)
  ended(await run('token'), 64, /one of the options '--media <id>' and '--file <path>' is needed/)
  const crossed = await fetch(fileUrl(port, 'films/mine.mp4', tokenFor(secret, { media_id: 6 })))
  assert.equal(crossed.status, 403, 'the sidecar binds the path to its media id')
  await program.stop()
})

test('what another user’s killed adoption left stops nothing', {
  skip: nobodyRefused(),
}, async (t) => {
  const { archiveDir, env, run } = await withArchiveAlone(t)
  ended(await run('init-volume', '--no-database'), 0, /is archive/)
  const left = join(archiveDir, '.strongroom/tmp/adopt-0123456789abcdef.part')
  await mkdir(dirname(left))
  await writeFile(left, 'half a film', { mode: 0o600 })
  for (const path of [archiveDir, join(archiveDir, '.strongroom'), dirname(left)])
    await chown(path, 99, 100)
  await chmod(archiveDir, 0o755)
  await writeFile(join(archiveDir, 'film.mp4'), film)
  const order = ['adopt', join(archiveDir, 'film.mp4'), '--media-id', '1', '--user-id', '2']
  ended(await runAsNobody(order, env), 0, /film\.mp4 is media 1 now/)
})

test('wrong uses of adopt are named before anything is written', async (t) => {
  const { archiveDir, run } = await withArchiveAlone(t)
  await run('init-volume', '--no-database')
  const file = join(archiveDir, 'a.bin')
  await writeFile(file, 'bytes')
  const ids = ['--media-id', '5', '--user-id', '7']
  for (const [args, code, says] of [
    [[file, file, ...ids], 64, /several files cannot have one media id/],
    [[file, '--media-id', '5'], 64, /--user-id/],
    [[file, '--media-id', 'x', '--user-id', '7'], 64, /positive whole number/],
    [[file, ...ids, '--into', 'b.bin'], 64, /lies in the archive already/],
    [[archiveDir, ...ids], 75, /is a link, a folder or a device/],
    [[join(archiveDir, 'nothing'), ...ids], 75, /does not exist/],
    [[join(archiveDir, '.strongroom/archive.json'), ...ids], 75, /begins with a dot/],
    [[schemaFile, ...ids, '--into', '/elsewhere/x'], 64, /--into .* lies outside ARCHIVE_DIR/],
    [[schemaFile, ...ids, '--into', 'x.json'], 75, /ends in \.json/],
    [[schemaFile, ...ids, '--into', '../x'], 75, /begins with a dot/],
  ] as const)
    ended(await run('adopt', ...args), code, says)
  await assert.rejects(readFile(`${file}.json`), { code: 'ENOENT' })
})
