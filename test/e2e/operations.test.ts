/** docs/operations.md, whose commands are carried out on a real installation. */
import assert from 'node:assert/strict'
import { execFile, spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { mkdir, readFile, rename, truncate } from 'node:fs/promises'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { type TestContext, test } from 'node:test'
import { promisify } from 'node:util'
import { withFolder } from '../support/scopes.ts'
import { type Env, type Service, story, withService } from '../support/service.ts'

const ROOT = join(import.meta.dirname, '../..')
const page = await readFile(join(ROOT, 'docs/operations.md'), 'utf8')

const blocks = new Map(
  [...page.matchAll(/^<!-- executed: ([\w-]+) -->\n```sh\n([\s\S]*?)^```$/gm)].map(
    ([, name = '', block = '']) => [name, block] as const,
  ),
)
const carriedOut = new Set<string>()
const execute = promisify(execFile)

/** An installation with its backup's folder, on which the page's blocks are carried out. */
async function withOperations(t: TestContext) {
  const service = await withService(t)
  const backup = await withFolder(t)
  const { host, port, user, password, database } = service.database
  const url = `postgresql://${user}:${password ?? ''}@${host}:${port}/${database}`
  /** As pasted into a shell: each line, whatever became of the one before. */
  const paste = async (name: string, more: Env = {}) => {
    carriedOut.add(name)
    const env = {
      ...service.env,
      PATH: `${join(ROOT, 'bin')}:${process.env.PATH}`,
      UNRAID_TUNNEL_SECRET: 'a-secret-of-at-least-32-bytes-1234',
      DATABASE_URL: url,
      BACKUP: backup,
      ...more,
    }
    const child = spawn('sh', ['-ux', '-c', blocks.get(name) ?? assert.fail(name)], { env })
    const said = Promise.all([text(child.stdout), text(child.stderr)])
    const [code] = await once(child, 'close')
    const [stdout, stderr] = await said
    return { code, signal: null, stdout, stderr }
  }
  const follow = async (name: string, more: Env = {}) => {
    const ended = await paste(name, more)
    assert.equal(ended.code, 0, story(ended))
  }
  const sync = async () => {
    const ended = await service.run(['sync', '--once'])
    assert.equal(ended.code, 0, story(ended))
  }
  return { service, backup, paste, follow, sync }
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
  await follow('resume')
  assert.deepEqual(await states(service), Array(5).fill('archived'))
  await assertWhole(service, 5)
})

test('a lost database comes back from the archive alone', async (t) => {
  const { service, follow, sync } = await withOperations(t)
  await service.approve(3)
  await sync()
  await follow('rebuild-database', { MIGRATE_ON_START: 'false' })
  await follow('resume')
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
  await follow('resume')
  await assertWhole(service, 5)
})

test('an upgrade, and a look at the bucket, change nothing', async (t) => {
  const { service, follow, sync } = await withOperations(t)
  await service.approve(1)
  await sync()
  await service.run(['release', 'pause', '--reason', '21 sources differ'])
  await follow('upgrade')
  await follow('bucket')
  const status = await service.run(['release', 'status'])
  assert.match(status.stdout, /21 sources differ/, story(status))
  await follow('resume')
  await assertWhole(service, 1)
})

test('a backup on the day on which the database is lost keeps the last good dump, and says that it failed', async (t) => {
  const { service, backup, paste, follow, sync } = await withOperations(t)
  await service.approve(1)
  await sync()
  await follow('backup')
  const away = await paste('backup', { DATABASE_URL: 'postgresql://nobody@127.0.0.1:1/nothing' })
  assert.notEqual(away.code, 0)
  await service.sql`drop schema strongroom cascade`
  const lost = await paste('backup')
  assert.notEqual(lost.code, 0)
  const { stdout } = await execute('pg_restore', ['--list', join(backup, 'strongroom.dump')])
  assert.match(stdout, /TABLE DATA strongroom items/)
})

test('a copy of a file that an earlier backup left cut short is made whole by the next one', async (t) => {
  const { service, backup, follow, sync } = await withOperations(t)
  await service.approve(1)
  await sync()
  await follow('backup')
  const [row] = await service.sql<{ archive_path: string }[]>`
    select archive_path from strongroom.items`
  const path = row?.archive_path ?? assert.fail()
  const copy = join(backup, 'archive', path)
  await truncate(copy, 100)
  await follow('backup')
  assert.deepEqual(await readFile(copy), await readFile(join(service.archiveDir, path)))
})

test('a role with every right that doctor asks for can rebuild a lost database', async (t) => {
  const { service, paste } = await withOperations(t)
  const { sql } = service
  const role = `app_${randomBytes(6).toString('hex')}`
  await sql.unsafe(`create role ${role} login password 'fresh-password'`)
  const { host, port, user, password, database } = service.database
  t.after(async () => {
    // The database is gone by now, and with it what was granted there.
    const server = `postgresql://${user}:${password ?? ''}@${host}:${port}/postgres`
    await execute('psql', [server, '-qc', `drop role ${role}`])
  })
  const env = { DB_USER: role, DB_PASSWORD: 'fresh-password' }
  await service.approve(2)
  const told = await service.run(['doctor'], env)
  for (const grant of told.stdout.match(/^ {4}grant .*;$/gm) ?? assert.fail(story(told)))
    await sql.unsafe(grant)
  const synced = await service.run(['sync', '--once'], env)
  assert.equal(synced.code, 0, story(synced))
  const url = `postgresql://${role}:fresh-password@${host}:${port}/${database}`
  const rebuilt = await paste('rebuild-database', { ...env, DATABASE_URL: url })
  assert.equal(rebuilt.code, 0, story(rebuilt))
  assert.deepEqual(await states(service), ['archived', 'archived'])
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
