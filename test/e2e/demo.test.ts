import assert from 'node:assert/strict'
import { chmod, mkdir, readdir, readFile, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import postgres from 'postgres'
import { startBucket } from '../../src/demo/bucket.ts'
import { startDatabase } from '../../src/demo/database.ts'
import { sha256Of } from '../support/media-rows.ts'
import { nobodyRefused, runAsNobody, startTalking } from '../support/program.ts'
import { adminOf, openAdmin } from '../support/s3.ts'
import { withFolder } from '../support/scopes.ts'
import { story } from '../support/service.ts'

const valid = ['harbour at dawn.mp4', 'interview.webm', 'Übung 1.mp3', 'poster.jpg', 'logo.png']
const corrupt = 'broken upload.mp4'
const env = { PATH: process.env.PATH ?? '', SERVER_PORT: '0', ADMIN_PORT: '0' }

interface MediaSeen {
  filename: string
  status: string
  archive_path: string | null
  checksum_sha256: string | null
}

/** What a demo left in its folder, seen without the product: rows, bucket and files. */
interface Left {
  media: MediaSeen[]
  audit: { filename: string; action: string; reason: string | null }[]
  items: readonly object[]
  bucket: string[]
  files: Record<string, { sha256: string; modified: number }>
}

async function lookAt(dir: string): Promise<Left> {
  const database = await startDatabase(join(dir, 'postgres'))
  const access = { accessKey: 'demo', secretKey: 'any' }
  const bucket = await startBucket({ dir: join(dir, 'bucket'), port: 0, bucket: 'demo', ...access })
  const sql = postgres(database.url, { max: 1, fetch_types: false })
  const client = openAdmin({ endpoint: bucket.endpoint, region: 'auto', ...access })
  try {
    return {
      media: await sql<MediaSeen[]>`
        select filename, status, archive_path, checksum_sha256 from media order by id`,
      audit: await sql<Left['audit']>`
        select m.filename, a.action, a.details->>'reason' as reason
        from audit_logs a join media m on m.id = a.media_id order by a.id`,
      items: await sql<object[]>`select * from strongroom.items order by id`,
      bucket: (await adminOf(client, 'demo').list()).sort(),
      files: { ...(await filesIn(join(dir, 'archive'))), ...(await filesIn(join(dir, 'errors'))) },
    }
  } finally {
    client.destroy()
    await sql.end()
    await bucket.close()
    await database.close()
  }
}

async function filesIn(folder: string): Promise<Left['files']> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true })
  const paths = entries.filter((entry) => entry.isFile()).map((e) => join(e.parentPath, e.name))
  const seen = paths.map(async (path) => {
    const facts = { sha256: sha256Of(await readFile(path)), modified: (await stat(path)).mtimeMs }
    return [path.slice(folder.length + 1), facts] as const
  })
  return Object.fromEntries(await Promise.all(seen))
}

/** The five valid media are in the archive, whole and nowhere else; the corrupt one was refused and kept. */
async function assertAsPlanted(dir: string, { media, audit, bucket, files }: Left): Promise<void> {
  assert.deepEqual(
    media.map(({ filename, status }) => [filename, status]),
    [...valid.map((name) => [name, 'archived']), [corrupt, 'approved']],
  )
  assert.deepEqual(bucket, [`uploads/${corrupt}`], 'the sources of the others are gone')
  for (const { filename, archive_path: path, checksum_sha256: checksum } of media.slice(0, 5)) {
    const made = sha256Of(await readFile(join(dir, 'media', filename)))
    assert.equal(checksum, made, filename)
    assert.equal(files[path ?? '']?.sha256, made, filename)
    assert.ok(files[`${path}.json`], `a sidecar beside ${path}`)
    const actions = audit.filter((entry) => entry.filename === filename).map(({ action }) => action)
    assert.deepEqual(actions, ['archived', 'source_deleted'], filename)
  }
  const refusal = audit.filter((entry) => entry.filename === corrupt)
  assert.deepEqual(
    refusal.map(({ action }) => action),
    ['archive_rejected'],
  )
  assert.match(refusal[0]?.reason ?? '', /not readable as media: .*moov/)
  const copy = Object.keys(files).find((path) => path.endsWith(corrupt))
  assert.equal(files[copy ?? '']?.sha256, sha256Of(await readFile(join(dir, 'media', corrupt))))
  assert.ok(files[`${copy}.report.json`], 'a report beside the copy')
}

test('the demo shows what it says, a second one changes nothing, and its links open', async (t) => {
  const dir = join(await withFolder(t), 'demo data')
  const first = await startTalking(t, ['demo', '--dir', dir, '--no-serve'], env).ended
  assert.equal(first.code, 0, story(first))
  for (const name of valid)
    assert.match(first.stdout, new RegExp(`^${name} +archived .*archive/`, 'm'))
  assert.match(first.stdout, new RegExp(`^${corrupt} +rejected: not readable as media`, 'm'))
  assert.deepEqual(
    first.stderr.match(/^(?:making media|starting the embedded|making the tables|archiving)/gm),
    ['making media', 'starting the embedded', 'making the tables', 'archiving'],
    'a line for each stage',
  )
  const left = await lookAt(dir)
  await assertAsPlanted(dir, left)

  const serving = startTalking(t, ['demo', '--dir', dir], env)
  await serving.said(/Serving until Ctrl-C/)
  await assertLinksOpen(
    dir,
    (await serving.said(/Links for one hour:\n((?: {2}http.*\n)+)/))[1] ?? '',
  )
  const [, url = '', token = ''] = await serving.said(/Console: (http\S+) – its token is (\S+)/)
  const page = await fetch(url)
  assert.equal(page.status, 200)
  assert.match(page.headers.get('content-type') ?? '', /^text\/html/)
  const authorization = `Bearer ${token}`
  const items = await fetch(`${url}api/v1/items`, { headers: { authorization } })
  const { items: listed } = (await items.json()) as { items: unknown[] }
  assert.equal(listed.length, valid.length + 1)
  const other = await startTalking(t, ['demo', '--dir', dir], env).ended
  assert.deepEqual([other.code, other.stdout], [78, ''])
  assert.match(
    other.stderr,
    /^strongroom: another demo runs in .*demo data\n {2}end that one .*\n$/,
  )
  const ended = await serving.stop('SIGINT')
  assert.equal(ended.code, 0, story(ended))
  assert.deepEqual(await lookAt(dir), left, 'the second demo changed nothing')
})

test('a demo in a folder of another user is one clear error', {
  skip: nobodyRefused(),
}, async (t) => {
  const outer = await withFolder(t)
  await chmod(outer, 0o755)
  await mkdir(join(outer, 'left', 'postgres'), { recursive: true, mode: 0o700 })
  for (const folder of ['archive', 'errors']) await mkdir(join(outer, 'left', folder))
  await chmod(join(outer, 'left'), 0o777)
  for (const [dir, said] of [
    [outer, /^strongroom: cannot create \S+: permission is denied \(EACCES\)\n {2}choose a folder/],
    [join(outer, 'new'), /^strongroom: cannot create \S+new: permission is denied/],
    [join(outer, 'left'), /^strongroom: cannot write \S+left\/\w+: permission is denied/],
  ] as const) {
    const { code, stdout, stderr } = await runAsNobody(['demo', '--dir', dir], env)
    assert.deepEqual([code, stdout], [74, ''], stderr)
    assert.match(stderr, said)
    assert.doesNotMatch(stderr, /internal error|^\s+at /m)
  }
})

async function assertLinksOpen(dir: string, printed: string): Promise<void> {
  const links = printed.trim().split(/\s+/)
  assert.equal(links.length, valid.length)
  for (const [index, name] of valid.entries()) {
    const url = new URL(links[index] ?? '')
    const answer = await fetch(url)
    assert.equal(answer.status, 200, name)
    assert.deepEqual(
      Buffer.from(await answer.arrayBuffer()),
      await readFile(join(dir, 'media', name)),
      name,
    )
    const token = url.searchParams.get('token') ?? ''
    url.searchParams.set(
      'token',
      `${token.slice(0, 20)}${token[20] === 'A' ? 'B' : 'A'}${token.slice(21)}`,
    )
    const refused = await fetch(url)
    assert.equal(refused.status, 401, 'a changed token')
    assert.ok(!(await refused.text()).includes(name))
  }
}
