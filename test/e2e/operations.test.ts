/** docs/operations.md, whose commands are carried out on a real installation. */
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdir, readFile, rename } from 'node:fs/promises'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { type TestContext, test } from 'node:test'
import { withFolder } from '../support/scopes.ts'
import { type Service, story, withService } from '../support/service.ts'

const ROOT = join(import.meta.dirname, '../..')
const page = await readFile(join(ROOT, 'docs/operations.md'), 'utf8')

const blocks = new Map(
  [...page.matchAll(/^<!-- executed: ([\w-]+) -->\n```sh\n([\s\S]*?)^```$/gm)].map(
    ([, name = '', block = '']) => [name, block] as const,
  ),
)
const carriedOut = new Set<string>()

/** An installation with its backup's folder, on which the page's blocks are carried out. */
async function withOperations(t: TestContext) {
  const service = await withService(t)
  const backup = await withFolder(t)
  const { host, port, user, password, database } = service.database
  const url = `postgresql://${user}:${password ?? ''}@${host}:${port}/${database}`
  const follow = async (name: string) => {
    carriedOut.add(name)
    const env = {
      ...service.env,
      PATH: `${join(ROOT, 'bin')}:${process.env.PATH}`,
      UNRAID_TUNNEL_SECRET: 'a-secret-of-at-least-32-bytes-1234',
      DATABASE_URL: url,
      BACKUP: backup,
    }
    const child = spawn('sh', ['-eux', '-c', blocks.get(name) ?? assert.fail(name)], { env })
    const said = Promise.all([text(child.stdout), text(child.stderr)])
    const [code] = await once(child, 'close')
    const [stdout, stderr] = await said
    assert.equal(code, 0, story({ code, signal: null, stdout, stderr }))
    return stdout
  }
  const sync = async () => {
    const ended = await service.run(['sync', '--once'])
    assert.equal(ended.code, 0, story(ended))
  }
  return { service, follow, sync }
}

async function states({ sql }: Service): Promise<string[]> {
  const rows = await sql<{ state: string }[]>`select state from strongroom.items order by media_id`
  return rows.map(({ state }) => state)
}

/** Every file is there, every row says so, and releases go on. */
async function assertWhole(service: Service, files: number): Promise<void> {
  const verified = await service.run(['verify', '--all'])
  assert.equal(verified.code, 0, story(verified))
  const found = await service.run(['fsck'])
  assert.equal(found.code, 0, story(found))
  assert.equal((await states(service)).length, files)
  const [archive] = await service.sql<{ paused: boolean }[]>`
    select release_paused_at is not null as paused from strongroom.archives`
  assert.equal(archive?.paused, false)
}

test('a lost database comes back from its dump and from what was archived since', async (t) => {
  const { service, follow, sync } = await withOperations(t)
  await service.approve(3)
  await sync()
  await follow('backup')
  await service.approve(2)
  await sync()
  await service.sql`drop schema strongroom cascade`
  await follow('restore-database')
  assert.deepEqual(await states(service), Array(5).fill('archived'))
  await assertWhole(service, 5)
})

test('a lost database comes back from the archive alone', async (t) => {
  const { service, follow, sync } = await withOperations(t)
  await service.approve(3)
  await sync()
  await follow('rebuild-database')
  assert.deepEqual(await states(service), Array(3).fill('archived'))
  await assertWhole(service, 3)
})

test('a lost archive comes back from its copy and from the bucket', async (t) => {
  const { service, follow, sync } = await withOperations(t)
  await service.approve(3)
  await sync()
  await follow('backup')
  await service.approve(2)
  await sync()
  await rename(service.archiveDir, `${service.archiveDir}.broken`)
  const away = await service.run(['sync', '--once'])
  assert.equal(away.code, 74, 'nothing is done while it is not there')
  await mkdir(service.archiveDir)
  await follow('restore-archive')
  await assertWhole(service, 5)
})

test('an upgrade, and a look at the bucket, change nothing', async (t) => {
  const { service, follow, sync } = await withOperations(t)
  await service.approve(1)
  await sync()
  await follow('upgrade')
  await follow('bucket')
  await assertWhole(service, 1)
})

test('every command block of the page is carried out', () => {
  const fences = page.match(/^```sh$/gm)?.length
  assert.equal(blocks.size, fences)
  assert.deepEqual([...carriedOut].toSorted(), [...blocks.keys()].toSorted())
})

test('a command of the pages whose variable is not set does nothing, in any shell', async () => {
  const pages = [page, await readFile(join(ROOT, 'docs/cut-over.md'), 'utf8')]
  for (const text of pages) {
    assert.match(text, /\$\{ARCHIVE_DIR:\?\}/)
    assert.doesNotMatch(text, /\$\{?(?:ARCHIVE_DIR|BACKUP|DATABASE_URL)\b(?!:\?)/)
  }
})
