import assert from 'node:assert/strict'
import { existsSync } from 'node:fs'
import { readdir, readFile, rename, rm, symlink, truncate, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { describe, test } from 'node:test'
import { damagedFiles } from '../../src/db/damaged.ts'
import { AppError } from '../../src/errors.ts'
import {
  approveMedium,
  assertArchived,
  itemOf,
  type Medium,
  sourceOf,
} from '../support/media-rows.ts'
import type { Scope } from '../support/scopes.ts'
import {
  letReadingsAge,
  openWorker,
  type Site,
  type Worker,
  type WorkerOptions,
  withSite,
} from '../support/worker.ts'

interface Archived {
  site: Site
  worker: Worker
  media: Medium[]
  /** Absolute, in the order of the media. */
  files: string[]
}

/** `count` archived media, all of them due to be read again, none due for release. */
async function withArchived(
  t: Scope,
  count: number,
  options: WorkerOptions = {},
): Promise<Archived> {
  const site = await withSite(t)
  const worker = await openWorker(t, site, { releaseGraceMs: 86_400_000, ...options })
  const media: Medium[] = []
  const files: string[] = []
  for (let n = 0; n < count; n++) media.push(await approveMedium(site))
  await worker.sync()
  for (const medium of media) files.push(join(site.archiveDir, await assertArchived(site, medium)))
  await letReadingsAge(site)
  return { site, worker, media, files }
}

function only<T>(list: readonly T[]): T {
  const [first] = list
  assert.ok(first !== undefined)
  return first
}

async function flip(path: string): Promise<Buffer> {
  const bytes = await readFile(path)
  const at = bytes.length >> 1
  bytes[at] = (bytes[at] ?? 0) ^ 4
  await writeFile(path, bytes)
  return bytes
}

async function quarantined({ archiveDir }: Site): Promise<string[]> {
  const folder = join(archiveDir, '.strongroom/quarantine')
  const names = await readdir(folder, { recursive: true, withFileTypes: true })
  return names.filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name))
}

const damages: { what: string; spoil: (path: string) => Promise<unknown> }[] = [
  { what: 'a flipped bit', spoil: flip },
  { what: 'a truncated file', spoil: (path) => truncate(path, 7) },
  { what: 'a missing file', spoil: (path) => rm(path) },
  { what: 'a missing folder', spoil: (path) => rm(dirname(path), { recursive: true }) },
  { what: 'a file with other bytes', spoil: (path) => writeFile(path, 'something else') },
  { what: 'a torn sidecar', spoil: (path) => truncate(`${path}.json`, 70) },
  { what: 'a missing sidecar', spoil: (path) => rm(`${path}.json`) },
  { what: 'a flipped bit in the sidecar', spoil: (path) => flip(`${path}.json`) },
]

describe('a scrub', { concurrency: 2 }, () => {
  for (const { what, spoil } of damages) {
    test(`heals ${what}, and nothing is damaged any more`, async (t) => {
      const { site, worker, media, files } = await withArchived(t, 2)
      await spoil(only(files))
      const done = await worker.scrub()
      assert.deepEqual(done, { read: 2, damaged: 1, healed: 1, lost: 0 })
      for (const medium of media) {
        await assertArchived(site, medium)
        assert.deepEqual(await sourceOf(site, medium.key), medium.bytes)
      }
      assert.deepEqual(await damagedFiles(site.database, 9), [])
      const item = await itemOf(site, only(media).mediaId)
      assert.deepEqual([item.state, item.lease_owner], ['archived', null])
      assert.deepEqual(await worker.scrub(), { read: 0, damaged: 0, healed: 0, lost: 0 })
    })
  }

  test('calls lost what has no source, sets it aside, and takes it back when it is restored', async (t) => {
    const { site, worker, media, files } = await withArchived(t, 1)
    const [medium, file] = [only(media), only(files)]
    await site.admin.delete(medium.key)
    const flipped = await flip(file)
    assert.equal((await worker.scrub()).lost, 1)
    assert.equal((await itemOf(site, medium.mediaId)).state, 'lost')
    await assert.rejects(readFile(file), { code: 'ENOENT' })
    const aside = await quarantined(site)
    assert.equal(aside.length, 2, 'with its sidecar')
    assert.deepEqual(await readFile(aside.find((path) => !path.endsWith('.json')) ?? ''), flipped)
    assert.equal((await damagedFiles(site.database, 9)).length, 1)
    const told = worker.lines.filter(
      ({ level, message }) => level === 'error' && /lost/.test(message),
    )
    assert.equal(told.length, 1)

    await writeFile(file, medium.bytes)
    await letReadingsAge(site)
    assert.equal((await worker.scrub()).healed, 1)
    assert.equal((await itemOf(site, medium.mediaId)).state, 'archived')
    await assertArchived(site, medium)
    assert.deepEqual(await damagedFiles(site.database, 9), [])
  })

  test('does not take another version for the source', async (t) => {
    const { site, worker, media, files } = await withArchived(t, 1)
    const [{ key, mediaId }, file] = [only(media), only(files)]
    await site.admin.put(key, 'another version')
    await rm(file)
    assert.equal((await worker.scrub()).lost, 1)
    assert.equal((await itemOf(site, mediaId)).state, 'lost')
    assert.deepEqual(await sourceOf(site, key), Buffer.from('another version'))
  })

  test('puts back what lies whole in quarantine', async (t) => {
    const { site, worker, media, files } = await withArchived(t, 1)
    const [medium, file] = [only(media), only(files)]
    await site.admin.delete(medium.key)
    await flip(file)
    assert.equal((await worker.scrub()).lost, 1)
    const aside = (await quarantined(site)).find((path) => !path.endsWith('.json')) ?? ''
    await writeFile(aside, medium.bytes)
    await letReadingsAge(site)
    assert.equal((await worker.scrub()).healed, 1)
    await assertArchived(site, medium)
  })

  test('leaves alone what the disk does not give and has no other copy', async (t) => {
    let away = ''
    const { site, worker, media, files } = await withArchived(t, 1, {
      disk: (disk) => ({
        ...disk,
        async hash(path, signal) {
          if (away.endsWith(path)) throw new AppError('DISK_SICK', `cannot read ${path}`)
          return disk.hash(path, signal)
        },
        async *chunks(path, signal) {
          if (away.endsWith(path)) throw new AppError('DISK_SICK', `cannot read ${path}`)
          yield* disk.chunks(path, signal)
        },
      }),
    })
    const [medium, file] = [only(media), only(files)]
    await site.admin.delete(medium.key)
    away = file
    assert.deepEqual(await worker.scrub(), { read: 1, damaged: 1, healed: 0, lost: 0 })
    assert.equal((await itemOf(site, medium.mediaId)).state, 'archived')
    away = ''
    await letReadingsAge(site)
    assert.deepEqual(await worker.scrub(), { read: 1, damaged: 0, healed: 0, lost: 0 })
    await assertArchived(site, medium)
    assert.deepEqual(await damagedFiles(site.database, 9), [])
  })

  test('reads on when the bucket is away, and heals when it is back', async (t) => {
    const { site, worker, media, files } = await withArchived(t, 3)
    await rm(only(files))
    site.fault = () => ({ kind: 'answer', status: 503, code: 'SlowDown' })
    const done = await worker.scrub()
    assert.deepEqual([done.read, done.damaged, done.healed], [3, 1, 0])
    const [noted] = await damagedFiles(site.database, 9)
    assert.match(noted?.damage ?? '', /^missing: /)
    site.fault = () => undefined
    await letReadingsAge(site)
    assert.equal((await worker.scrub()).healed, 1)
    for (const medium of media) await assertArchived(site, medium)
  })

  test('heals nothing when too much is wrong, says so once, and goes on when a person says so', async (t) => {
    const { site, worker, media, files } = await withArchived(t, 23)
    for (const file of files.slice(0, 21)) await rm(file)
    const requests: string[] = []
    site.fault = ({ method }) => {
      requests.push(method)
      return undefined
    }
    const done = await worker.scrub()
    assert.deepEqual([done.read, done.damaged, done.healed, done.lost], [23, 21, 0, 0])
    await letReadingsAge(site)
    const again = await (await openWorker(t, site)).scrub()
    assert.deepEqual([again.damaged, again.healed, again.lost], [21, 0, 0])
    assert.deepEqual(requests, [], 'nothing is asked of the bucket')
    assert.deepEqual(await quarantined(site), [])
    const alarms = worker.lines.filter(({ message }) => /too many archived files/.test(message))
    assert.equal(alarms.length, 1)
    assert.match(
      (await site.archives.find())?.healPaused?.reason ?? '',
      /^21 of 23 files are not what was archived/,
    )

    await letReadingsAge(site)
    await site.archives.resumeHealing()
    assert.equal((await worker.scrub()).healed, 21)
    for (const medium of media) await assertArchived(site, medium)
  })

  test('heals a minute after the first damage, however long it reads on', async (t) => {
    const { site, worker, media, files } = await withArchived(t, 8)
    const file = only(files)
    await rm(file)
    for (const isPast of [false, true]) {
      const seen: boolean[] = []
      let minutes = 0
      const pace = async () => void seen.push(existsSync(file))
      const now = () => (isPast ? minutes++ * 61_000 : 0)
      assert.equal((await worker.scrub({ pace, now })).healed, 1)
      assert.equal(seen.at(-1), isPast, 'while the last file was read')
      await assertArchived(site, only(media))
      await letReadingsAge(site)
      await site.sql`update strongroom.items set verified_at = verified_at - interval '1 hour'
        where media_id = ${only(media).mediaId}`
      await rm(file)
    }
  })

  test('counts what it found in a whole day, healed or not', async (t) => {
    const { site, worker, files } = await withArchived(t, 22)
    for (const file of files.slice(0, 20)) await truncate(file, 3)
    assert.equal((await worker.scrub()).healed, 20)
    await site.sql`update strongroom.items set verified_at = verified_at - interval '1 day'`
    await rm(files[21] ?? '')
    assert.equal((await worker.scrub()).healed, 0)
    assert.ok((await site.archives.find())?.healPaused)
  })

  test('leaves alone what is no file: a person may have meant it', async (t) => {
    const { site, worker, media, files } = await withArchived(t, 1)
    const file = only(files)
    await rename(file, `${file}.moved`)
    await symlink(`${file}.moved`, file)
    const done = await worker.scrub()
    assert.deepEqual([done.damaged, done.healed, done.lost], [1, 0, 0])
    assert.deepEqual(await readFile(file), only(media).bytes)
    assert.deepEqual(await quarantined(site), [])
  })
})
