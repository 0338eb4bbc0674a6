import assert from 'node:assert/strict'
import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { withDemoBucket } from '../support/demo-bucket.ts'
import { hostileKeys } from '../support/hostile-keys.ts'
import { approveMedium, assertArchived, type Medium, statesOf } from '../support/media-rows.ts'
import { fileUrl, startTalking, tokenFor } from '../support/program.ts'
import { type Service, story, summaryOf, withService } from '../support/service.ts'

const hostileNames = [
  '../../x',
  '../../../../../../etc/passwd',
  '/etc/passwd',
  '..',
  '.',
  '',
  ' ',
  '.hidden',
  '.strongroom',
  '-',
  '-rf',
  '--help',
  'con',
  'CON.mp4',
  'nul',
  'x.json',
  'x.JSON',
  'x.png.json',
  'a/b\\c',
  '~',
  '$(reboot)',
  '`reboot`',
  'quote \' and " and ;',
  'new\nline\r\ttab\u0007bell\u001b[31mred',
  'percent%2e%2e%2fslash',
  'question?mark#hash&amp=',
  `${'x'.repeat(300)}.png`,
  'ü'.repeat(150),
  '🎬'.repeat(70),
  'emoji 🎬🏳️‍🌈.png',
  'e\u0301 composed and \u00e9 not.png',
  'rtl \u202egnp.exe',
  'zero\u200bwidth\ufeffbom',
  'trailing dot. . .',
  'x.png\\0.json',
  'file.png~abc',
  'archive.json',
  '日本語.png',
]

const sync = ['sync', '--once', '--json']
const secret = 'a-secret-of-at-least-32-bytes-1234'

/** Every archived file comes back over HTTP as it went in, for its own token only. */
async function assertServed(
  t: { after(fn: () => Promise<void>): void },
  service: Service,
  files: { medium: Medium; path: string }[],
): Promise<void> {
  const env = { ...service.env, SERVER_PORT: '0', UNRAID_TUNNEL_SECRET: secret }
  const server = startTalking(t, ['start', '--role', 'serve'], env)
  const port = await server.port('serve')
  for (const { medium, path } of files) {
    const token = tokenFor(secret, { media_id: medium.mediaId })
    const answer = await fetch(fileUrl(port, path, token))
    assert.equal(answer.status, 200, path)
    assert.deepEqual(Buffer.from(await answer.arrayBuffer()), medium.bytes, path)
  }
  assert.equal((await server.stop()).code, 0)
}

/** Files, sidecars and our own folder: nothing else came to be, here or beside it. */
async function assertOnly({ archiveDir }: Service, paths: string[]): Promise<void> {
  const entries = await readdir(archiveDir, { recursive: true, withFileTypes: true })
  const files = entries
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name).slice(archiveDir.length + 1))
    .filter((path) => !path.startsWith('.strongroom/'))
  assert.deepEqual(files.sort(), paths.flatMap((path) => [path, `${path}.json`]).sort())
  assert.deepEqual((await readdir(join(archiveDir, '..'))).sort(), ['archive', 'errors'])
}

test('no file name leaves or confuses the archive, and each comes back byte-identical', async (t) => {
  const service = await withService(t, { env: { RELEASE_GRACE: '0', BATCH_SIZE: '100' } })
  const media: Medium[] = []
  for (const filename of hostileNames) media.push(await approveMedium(service, { filename }))
  const ended = await service.run(sync)
  assert.equal(ended.code, 0, story(ended))
  assert.equal(summaryOf(ended).items.archived, media.length)
  const files = await Promise.all(
    media.map(async (medium) => ({ medium, path: await assertArchived(service, medium) })),
  )
  await assertOnly(
    service,
    files.map(({ path }) => path),
  )
  assert.deepEqual(await service.admin.list(), [], 'all sources are gone')
  await assertServed(t, service, files)
})

test('names that would collide in one folder all get a place of their own', async (t) => {
  const env = { ARCHIVE_LAYOUT: '{filename}', SYNC_CONCURRENCY: '4' }
  const service = await withService(t, { env })
  const names = [
    'same.png',
    'same.png',
    'same.png',
    'same.png',
    '/same.png',
    '..same.png',
    'same.png\n',
  ]
  const media: Medium[] = []
  for (const filename of names) media.push(await approveMedium(service, { filename }))
  const ended = await service.run(sync)
  assert.equal(ended.code, 0, story(ended))
  const paths = await Promise.all(media.map((medium) => assertArchived(service, medium)))
  assert.equal(new Set(paths).size, names.length)
  await assertOnly(service, paths)
})

test('every key that a backend can hand out is archived and its source released', async (t) => {
  const bucket = await withDemoBucket(t)
  const env = { RELEASE_GRACE: '0', BATCH_SIZE: '100' }
  const service = await withService(t, { env, bucket })
  const media: Medium[] = []
  for (const key of hostileKeys) media.push(await approveMedium(service, { key, filename: null }))
  const ended = await service.run(sync)
  assert.equal(ended.code, 0, story(ended))
  const files = await Promise.all(
    media.map(async (medium) => ({ medium, path: await assertArchived(service, medium) })),
  )
  await assertOnly(
    service,
    files.map(({ path }) => path),
  )
  assert.deepEqual(await statesOf(service), { released: media.length })
  assert.deepEqual(await service.admin.list(), [])
  await assertServed(t, service, files)
})

test('a key that no bucket can have is missing, whatever else is in the batch', async (t) => {
  const service = await withService(t)
  const impossible = [
    await approveMedium(service, { key: '', uploaded: false }),
    await approveMedium(service, { key: 'x'.repeat(1025), uploaded: false }),
  ]
  const good = await approveMedium(service)
  const ended = await service.run(sync)
  assert.equal(ended.code, 75, story(ended))
  assert.match(ended.stderr, /mend the object key of the media row/)
  assert.deepEqual(await statesOf(service), { archived: 1, missing: impossible.length })
  await assertArchived(service, good)
})
