import assert from 'node:assert/strict'
import {
  copyFile,
  mkdir,
  readFile,
  rename,
  rm,
  stat,
  symlink,
  truncate,
  utimes,
  writeFile,
} from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import { describe, test } from 'node:test'
import { type Archived, toldBy, withArchived } from '../support/archived.ts'
import { violations } from '../support/checker.ts'
import { withDemoBucket } from '../support/demo-bucket.ts'
import { uniqueMedia } from '../support/media-files.ts'
import { sha256Of } from '../support/media-rows.ts'
import type { Scope } from '../support/scopes.ts'
import { type Ended, type Service, story, withService } from '../support/service.ts'

type Site = Archived & { shaAt: (path: string) => Promise<string> }

/** `paths` begins with an empty one, so that each stands under its media id. */
async function withSite(t: Scope, count: number, env: Record<string, string> = {}): Promise<Site> {
  const archived = await withArchived(t, count, { bucket: await withDemoBucket(t), env })
  return {
    ...archived,
    paths: ['', ...archived.paths],
    shaAt: async (path) => sha256Of(await readFile(archived.at(path))),
  }
}

function linesOf(ended: Ended): Record<string, unknown>[] {
  const { found, summary } = toldBy<Record<string, unknown>>(ended)
  return [...found, summary]
}

function repairedBy(ended: Ended): unknown {
  return linesOf(ended).find((line) => 'repaired' in line)?.repaired
}

/** Two days ago. */
async function makeOld(path: string): Promise<void> {
  await writeFile(path, 'anything')
  const then = new Date(Date.now() - 2 * 86_400_000)
  await utimes(path, then, then)
}

describe('fsck --repair', { concurrency: 2 }, () => {
  test('heals what has another copy, brings back what was moved, removes what is of no use, and touches nothing else', async (t) => {
    const { service, paths, at, shaAt } = await withSite(t, 8)
    const path = (id: number) => paths[id] ?? assert.fail()
    await rm(at(path(1)))
    await truncate(at(path(2)), 10)
    await rm(at(`${path(3)}.json`))
    await truncate(at(`${path(4)}.json`), 100)
    await mkdir(at('sorted'))
    await rename(at(path(5)), at('sorted/five.mp4'))
    await rename(at(`${path(5)}.json`), at('sorted/five.mp4.json'))
    await rename(at(path(6)), at('sorted/without its sidecar'))
    await rm(at(path(7)))
    await service.admin.delete(service.uploads[6]?.key ?? '')
    await writeFile(at('sorted/foreign.mp4'), 'nobody knows it')
    for (const [mediaId, legacy] of [
      [98, 'legacy/bare.png'],
      [99, 'legacy/torn.png'],
    ] as const)
      await adoptLegacy(service, { mediaId, path: legacy })
    await rm(at('legacy/bare.png.json'))
    await truncate(at('legacy/torn.png.json'), 100)
    const leftovers = [
      at('.strongroom/tmp/1.0.json'),
      at('.strongroom/tmp/adopt-0123456789abcdef.part'),
      join(service.errorDir, '.copy-0123456789abcdef'),
    ]
    for (const leftover of leftovers) await makeOld(leftover)
    const inodes = await Promise.all(
      ['sorted/five.mp4', 'sorted/without its sidecar'].map(async (p) => (await stat(at(p))).ino),
    )

    const ended = await service.run(['fsck', '--repair', '--json'])
    assert.equal(ended.code, 74, `the seventh is lost: ${story(ended)}`)
    assert.deepEqual(repairedBy(ended), {
      back: 2,
      healed: 6,
      lost: 1,
      removed: 2,
      left: 0,
      stopped: false,
    })
    for (const { mediaId, sha256 } of service.uploads.filter((upload) => upload.mediaId !== 7))
      assert.equal(await shaAt(path(mediaId)), sha256, `media ${mediaId}`)
    const now = await Promise.all([5, 6].map(async (id) => (await stat(at(path(id)))).ino))
    assert.deepEqual(now, inodes, 'they were moved, not fetched')
    assert.equal(await readFile(at('sorted/foreign.mp4'), 'utf8'), 'nobody knows it')
    for (const leftover of leftovers) await assert.rejects(stat(leftover))
    const after = await service.run(['fsck', '--json'])
    const kinds = linesOf(after).map((line) => line.found)
    assert.deepEqual(
      kinds.filter((kind) => kind !== 'aside'),
      ['missing', 'foreign', undefined],
      story(after),
    )
    const [lost] = await service.sql`select state from strongroom.items where media_id = 7`
    assert.equal(lost?.state, 'lost')

    // A person finds the lost one elsewhere, and puts it anywhere.
    await writeFile(at('sorted/found again'), bytesOf(7))
    const found = await service.run(['fsck', '--relocate', '--json'])
    assert.equal(found.code, 0, story(found))
    const [back] = await service.sql`select state from strongroom.items where media_id = 7`
    assert.equal(back?.state, 'archived')
    assert.equal(await shaAt(path(7)), service.uploads[6]?.sha256)
  })

  test('files that are moved in masses come back once a person has said so, the very same files', async (t) => {
    const { service, paths, at } = await withSite(t, 25, { RELEASE_GRACE: '0' })
    await adoptLegacy(service, { mediaId: 99, path: 'legacy/old.png' })
    const folder = dirname(dirname(paths[1] ?? ''))
    await rename(at(folder), at('put somewhere else'))
    await rename(at('legacy'), at('legacy too'))
    const inodeOf = async (path: string) => (await stat(at(path))).ino
    const first = paths[1] ?? ''
    const moved = await inodeOf(`put somewhere else/${first.slice(folder.length + 1)}`)

    const refused = await service.run(['fsck', '--relocate'])
    assert.equal(refused.code, 74, story(refused))
    assert.match(
      refused.stdout,
      /^nothing was repaired: so much is wrong at once \(26 files here\) .* add --confirm$/m,
    )
    await assert.rejects(stat(at(first)))
    const again = await service.run(['fsck', '--repair'])
    assert.equal(again.code, 74, 'it stays so')
    await assert.rejects(stat(at(first)))

    const ended = await service.run(['fsck', '--relocate', '--confirm', '--json'])
    assert.equal(ended.code, 0, story(ended))
    assert.match(JSON.stringify(repairedBy(ended)), /"back":26,"healed":0,"lost":0/)
    assert.equal(await inodeOf(first), moved)
    const clean = await service.run(['fsck', '--json'])
    assert.equal(clean.code, 0, story(clean))
    assert.equal(linesOf(clean).length, 1, 'no name is left where they were')
    const synced = await service.run(['sync', '--once'])
    assert.equal(synced.code, 0, story(synced))
    await rm(at('legacy'), { recursive: true })
    assert.deepEqual(await violations(service, { converged: true }), [])
  })

  test('equal bytes that are another medium’s stay there: what was adopted for it, and what its row names', async (t) => {
    const { service, paths, at, shaAt } = await withSite(t, 2)
    await mkdir(at('others'))
    for (const id of [1, 2]) await copyFile(at(paths[id] ?? ''), at(`others/${id}.png`))
    const adopted = await service.run([
      ...['adopt', at('others/1.png'), '--media-id', '98', '--user-id', '8'],
    ])
    assert.equal(adopted.code, 0, story(adopted))
    await service.sql`
      insert into media (id, user_id, filename, content_type, object_key, status, archive_path, approved_at)
      values (99, 8, 'old.png', 'image', 'uploads/old', 'archived', ${at('others/2.png')}, now())`
    for (const id of [1, 2]) await rm(at(paths[id] ?? ''))

    const ended = await service.run(['fsck', '--repair', '--json'])
    assert.equal(ended.code, 0, story(ended))
    for (const { mediaId, sha256 } of service.uploads)
      for (const path of [paths[mediaId] ?? '', `others/${mediaId}.png`])
        assert.equal(await shaAt(path), sha256, path)
    await stat(at('others/1.png.json'))
  })

  test('nothing is called lost that may lie where nobody can look', async (t) => {
    const { service, paths, at, shaAt } = await withSite(t, 2)
    const folder = Buffer.from(at('\u00fcbung'), 'latin1')
    await mkdir(folder)
    await adoptLegacy(service, { mediaId: 99, path: 'old.png' })
    const [, fetched = '', moved = ''] = paths
    await rename(at(moved), Buffer.concat([folder, Buffer.from('/film')]))
    await rm(at(fetched))
    await rm(at('old.png'))
    await service.admin.delete(service.uploads[1]?.key ?? '')

    const ended = await service.run(['fsck', '--repair', '--json'])
    assert.equal(ended.code, 74, story(ended))
    const repaired = { back: 0, healed: 1, lost: 0, removed: 0, left: 2, stopped: false }
    assert.deepEqual(repairedBy(ended), repaired)
    await rename(folder, at('exercise'))
    const found = await service.run(['fsck', '--relocate'])
    assert.equal(await shaAt(moved), service.uploads[1]?.sha256, story(found))
    const looked = await service.run(['fsck', '--repair', '--json'])
    assert.deepEqual(repairedBy(looked), { ...repaired, healed: 0, lost: 1, left: 0 })
  })

  test('wrong words change nothing', async (t) => {
    const service = await withService(t, { bucket: await withDemoBucket(t) })
    for (const { args, env, code, says } of [
      { args: ['--confirm'], env: {}, code: 64, says: /--confirm goes with/ },
      { args: ['--from-sidecars', '--repair'], env: {}, code: 64, says: /goes alone/ },
      { args: ['--relocate', '--repair'], env: {}, code: 64, says: /give one of them/ },
      { args: ['--repair'], env: { MODE: 'dry-run' }, code: 78, says: /MODE is dry-run, not live/ },
    ]) {
      const ended = await service.run(['fsck', ...args], env)
      assert.equal(ended.code, code, story(ended))
      assert.match(ended.stderr, says)
    }
  })
})

/** The seventh upload of {@link Service.approve}. */
function bytesOf(mediaId: number): Buffer {
  return uniqueMedia((['video', 'image', 'audio'] as const)[mediaId % 3] ?? 'image', mediaId)
}

/** A file that an older service archived. */
async function adoptLegacy(
  { sql, run, archiveDir }: Service,
  { mediaId, path }: { mediaId: number; path: string },
): Promise<void> {
  await mkdir(dirname(join(archiveDir, path)), { recursive: true })
  await writeFile(join(archiveDir, path), uniqueMedia('image', mediaId))
  await sql`
    insert into media (id, user_id, filename, content_type, object_key, status, archive_path, approved_at)
    values (${mediaId}, 7, 'old.png', 'image', 'uploads/old', 'archived', ${path}, now())`
  const ended = await run(['adopt', '--from-database'])
  assert.equal(ended.code, 0, story(ended))
}

test('a file that was moved with its sidecar comes back, though the path of another row ends as its new one', async (t) => {
  const options = { bucket: await withDemoBucket(t), env: { RELEASE_GRACE: '0' } }
  const { service, paths, at } = await withArchived(t, 2, options)
  const path = paths[1] ?? assert.fail()
  const name = basename(path)
  await service.sql`
    insert into media (id, user_id, filename, content_type, object_key, status, archive_path, approved_at)
    values (912, 8, ${name}, 'image', 'uploads/old', 'archived', ${`2026/11/912/${name}`}, now())`
  await mkdir(at('2'))
  await rename(at(path), at(`2/${name}`))
  await rename(at(`${path}.json`), at(`2/${name}.json`))
  const ended = await service.run(['fsck', '--repair', '--json'])
  assert.match(ended.stdout, /"back":1/, story(ended))
})

test('a link in place of a sidecar, beside a file of equal size, ends no repair', async (t) => {
  const { service, paths, at } = await withArchived(t, 2, { bucket: await withDemoBucket(t) })
  await mkdir(at('others'))
  await copyFile(at(paths[0] ?? assert.fail()), at('others/copy'))
  await symlink('/nowhere', at('others/copy.json'))
  for (const path of paths) await rm(at(path))
  const ended = await service.run(['fsck', '--repair', '--json'])
  assert.equal(ended.code, 0, story(ended))
})
