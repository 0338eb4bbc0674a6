/** The guide docs/cut-over.md, walked from its first step to its last. */
import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { mkdir, readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { promisify } from 'node:util'
import { parseSidecar } from '../../src/sidecar.ts'
import { tree } from '../support/adoption.ts'
import { oldService } from '../support/old-service.ts'
import { withFolder } from '../support/scopes.ts'
import { story, withService } from '../support/service.ts'
import { withShadow } from '../support/shadow.ts'

const GUIDE = join(import.meta.dirname, '../../docs/cut-over.md')

/** The commands that the guide has for a shell. */
async function shellBlocks(): Promise<string[]> {
  const text = await readFile(GUIDE, 'utf8')
  return [...text.matchAll(/^```sh\n([\s\S]*?)^```$/gm)].map(([, block = '']) => block)
}

test('who follows the guide to its end has every old file served by us, and lost none', async (t) => {
  const service = await withShadow(t)
  const { archiveDir, shadowDir, admin, sql, run } = service
  const old = oldService(service)
  await service.approve(2)
  await old.round()
  await service.approve(3)
  assert.equal((await service.shadow()).code, 0)
  await old.round()
  const report = await service.shadow(['shadow', 'report'])
  assert.match(report.stdout, /\n3 compared, 0 differ: safe to cut over\n$/)
  assert.equal(report.code, 0, story(report))

  // The old service is stopped. Its files are as they were to the end.
  const files = Object.entries(await tree(archiveDir)).filter(([path]) => !path.endsWith('.json'))
  assert.equal(files.length, 5)
  for (const block of await shellBlocks())
    await promisify(execFile)('sh', ['-euc', block], {
      env: { ...process.env, ARCHIVE_DIR: archiveDir },
    })
  assert.deepEqual(Object.entries(await tree(archiveDir)), files, 'only its sidecars have moved')
  assert.equal(Object.keys(await tree(`${archiveDir}-old-sidecars`)).length, 5)

  const adopted = await run(['adopt', '--from-database'])
  assert.match(adopted.stdout, /^5 adopted, 0 already, 0 missing, 0 mismatched, 0 refused$/m)
  assert.equal(adopted.code, 0, story(adopted))
  await service.approve(2)
  const live = await run(['sync', '--once'], { RELEASE_GRACE: '336h' })
  assert.equal(live.code, 0, story(live))
  assert.equal((await admin.list()).length, 2, 'new sources wait for their grace')
  const rows = await sql<{ id: number; archive_path: string; status: string }[]>`
    select id::int, archive_path, status from media order by id`
  assert.deepEqual(new Set(rows.map(({ status }) => status)), new Set(['archived']))
  for (const { id, archive_path: path } of rows) {
    const relative = path.replace(`${archiveDir}/`, '')
    const sidecar = parseSidecar(await readFile(join(archiveDir, `${relative}.json`)))
    assert.deepEqual([sidecar.media_id, sidecar.archive_path], [id, relative])
  }
  await rm(shadowDir, { recursive: true })
  const verified = await run(['verify'])
  assert.equal(verified.code, 0, story(verified))
  const after = await tree(archiveDir)
  for (const [path, facts] of files) assert.equal(after[path], facts, `${path} was not touched`)
})

for (const [how, spell] of [
  ['with a slash at its end', () => 'archive/'],
  ['relative', () => 'archive'],
  ['whole', (folder: string) => `${folder}/archive`],
] as const)
  test(`old sidecars move to a folder beside an ARCHIVE_DIR that is spelt ${how}`, async (t) => {
    const folder = await withFolder(t)
    await mkdir(join(folder, 'archive/2026'), { recursive: true })
    await writeFile(join(folder, 'archive/2026/a.mp4'), 'media')
    await writeFile(join(folder, 'archive/2026/a.mp4.json'), '{}')
    const [block = assert.fail()] = await shellBlocks()
    await promisify(execFile)('sh', ['-euc', block], {
      cwd: folder,
      env: { ...process.env, ARCHIVE_DIR: spell(folder) },
    })
    assert.deepEqual(Object.keys(await tree(folder)).toSorted(), [
      'archive-old-sidecars/2026/a.mp4.json',
      'archive/2026/a.mp4',
    ])
  })

test('rows that name the archive by another mount point are told of with the remedy', async (t) => {
  const service = await withService(t)
  await service.sql`
    insert into media (id, user_id, filename, content_type, object_key, status, approved_at, archive_path)
    values (1, 7, 'a.mp4', 'video', 'k1', 'archived', now(), '/mnt/user/media/archive/2026/a.mp4')`
  const adopted = await service.run(['adopt', '--from-database'])
  assert.equal(adopted.code, 75, story(adopted))
  assert.match(adopted.stdout, /\/mnt\/user\/media\/archive\/.*set ARCHIVE_DIR/)
})
