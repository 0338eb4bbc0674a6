import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { lstat, readdir, readFile, rm, utimes, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import { MARKER_PATH } from '../../src/archive-path.ts'
import { AppError } from '../../src/errors.ts'
import type { Disk } from '../../src/storage/disk.ts'
import { pinFile } from '../../src/storage/pinned-file.ts'
import { adoptCopy } from '../../src/sync/adopt.ts'
import { type AdoptParts, sweepAdoptions } from '../../src/sync/adopt-sidecar.ts'
import { TEMPORARY_FOLDER } from '../../src/sync/volume.ts'
import { film, order, otherFilm, partsOn, sha256, tree, withArchive } from '../support/adoption.ts'
import { hasCode, type Scope, withFolder } from '../support/scopes.ts'

describe('adopting a file from outside', () => {
  async function withOriginal(t: Scope, bytes = film) {
    const path = join(await withFolder(t), 'original.mp4')
    await writeFile(path, bytes)
    return { path, bytes }
  }

  async function copyOnce(
    t: Scope,
    parts: AdoptParts,
    original: { path: string },
    to = order('new/a.mp4'),
  ) {
    const from = await pinFile(original.path)
    t.after(() => from.close())
    return adoptCopy(parts, { ...to, from })
  }

  test('copies it, with its sidecar, and leaves the original as it is', async (t) => {
    const { root, parts, sidecar } = await withArchive(t)
    const original = await withOriginal(t)
    const before = await lstat(original.path)
    assert.equal((await copyOnce(t, parts, original)).outcome, 'adopted')
    assert.deepEqual(await readFile(join(root, 'new/a.mp4')), original.bytes)
    const said = await sidecar('new/a.mp4')
    assert.deepEqual([said.sha256, said.mime_type], [sha256(original.bytes), 'video/mp4'])
    const after = await lstat(original.path)
    assert.deepEqual([after.ino, after.mtimeMs, after.nlink], [before.ino, before.mtimeMs, 1])
    assert.deepEqual(await readdir(join(root, TEMPORARY_FOLDER)), [])
    assert.equal((await copyOnce(t, parts, original)).outcome, 'already')
  })

  test('never overwrites what lies there', async (t) => {
    const { root, parts, put } = await withArchive(t)
    const original = await withOriginal(t)
    await put('new/a.mp4', 'foreign')
    const before = await tree(root)
    await assert.rejects(copyOnce(t, parts, original), hasCode('NAME_TAKEN', /nobody's/))
    await rm(join(root, 'new/a.mp4'))
    await put('new/a.mp4.json', 'foreign')
    await assert.rejects(copyOnce(t, parts, original), hasCode('NAME_TAKEN', /no sidecar/))
    await rm(join(root, 'new/a.mp4.json'))
    assert.deepEqual(Object.keys(await tree(root)), [MARKER_PATH])
    assert.ok(before['new/a.mp4'])
  })

  test('takes its sidecar back when a foreign file comes between', async (t) => {
    const { root, parts, put } = await withArchive(t)
    const original = await withOriginal(t)
    const verify = async () => {
      await put('new/a.mp4', 'foreign')
      return { device: 0 }
    }
    const meddled = { ...parts, volume: { verify } }
    await assert.rejects(copyOnce(t, meddled, original), hasCode('NAME_TAKEN'))
    assert.deepEqual(Object.keys(await tree(root)).sort(), [MARKER_PATH, 'new/a.mp4'])
    assert.equal(await readFile(join(root, 'new/a.mp4'), 'utf8'), 'foreign')
  })

  test('leaves its sidecar to another adoption of the same that is faster', async (t) => {
    const { root, parts, sidecar } = await withArchive(t)
    const original = await withOriginal(t)
    // The other one begins once ours has placed its sidecar, and goes on from there.
    const link = async (from: string, to: string) => {
      if (to === 'new/a.mp4') await copyOnce(t, parts, original)
      return parts.disk.link(from, to)
    }
    const slower = { ...parts, disk: { ...parts.disk, link } }
    await assert.rejects(copyOnce(t, slower, original), hasCode('NAME_TAKEN'))
    assert.deepEqual(await readFile(join(root, 'new/a.mp4')), original.bytes)
    assert.equal((await sidecar('new/a.mp4')).sha256, sha256(original.bytes))
  })

  test('leaves its sidecar also to one that has no more than the name yet, where there are no hard links', async (t) => {
    const { root, parts, sidecar } = await withArchive(t)
    const original = await withOriginal(t)
    const reserved = Promise.withResolvers<void>()
    const beaten = Promise.withResolvers<void>()
    const rename = async (from: string, to: string) => {
      if (to === 'new/a.mp4') {
        reserved.resolve()
        await beaten.promise
      }
      return parts.disk.rename(from, to)
    }
    const faster = linkless({ ...parts, disk: { ...parts.disk, rename } })
    let other: ReturnType<typeof copyOnce> | undefined
    const link = async (_from: string, to: string) => {
      if (to === 'new/a.mp4') {
        other = copyOnce(t, faster, original)
        await reserved.promise
      }
      throw new AppError('LINK_REFUSED', 'no links here')
    }
    const slower = { ...parts, disk: { ...parts.disk, link } }
    await assert.rejects(copyOnce(t, slower, original), hasCode('NAME_TAKEN'))
    beaten.resolve()
    assert.equal((await other)?.outcome, 'adopted')
    assert.deepEqual(await readFile(join(root, 'new/a.mp4')), original.bytes)
    assert.equal((await sidecar('new/a.mp4')).sha256, sha256(original.bytes))
  })

  test('refuses bytes that the existing file with these ids does not have', async (t) => {
    const { parts } = await withArchive(t)
    await copyOnce(t, parts, await withOriginal(t))
    const other = await withOriginal(t, otherFilm)
    await assert.rejects(copyOnce(t, parts, other), hasCode('NAME_TAKEN', /other bytes/))
  })

  test('needs room for it', async (t) => {
    const { root, parts } = await withArchive(t)
    const disk = { ...parts.disk, room: async () => ({ freeBytes: 100, totalBytes: 1e9 }) }
    const original = await withOriginal(t)
    await assert.rejects(copyOnce(t, { ...parts, disk }, original), hasCode('DISK_FULL'))
    assert.deepEqual(Object.keys(await tree(root)), [MARKER_PATH])
  })

  test('does without hard links', async (t) => {
    const { root, parts, sidecar } = await withArchive(t)
    const original = await withOriginal(t)
    await copyOnce(t, linkless(parts), original)
    assert.deepEqual(await readFile(join(root, 'new/a.mp4')), original.bytes)
    assert.equal((await sidecar('new/a.mp4')).media_id, 42)
    await assert.rejects(
      copyOnce(
        t,
        linkless(parts),
        original,
        order('new/a.mp4', { media: { ...order('').media, mediaId: 1 } }),
      ),
      hasCode('NAME_TAKEN'),
    )
  })

  test('that dies before any operation of the disk is finished by the next one', async (t) => {
    const original = await withOriginal(t)
    let operations = 0
    for (let dieAt = 1; ; dieAt++) {
      const { root } = await withArchive(t)
      let left = Number.POSITIVE_INFINITY
      const dying = await partsOn(root, { wrap: (disk) => countingDown(disk, () => left--) })
      left = dieAt
      const died = await copyOnce(t, dying, original).catch((error: unknown) => error)
      if (!(died instanceof Error)) break
      operations = dieAt
      const names = Object.keys(await tree(root))
      const file = names.includes('new/a.mp4')
      if (file) assert.deepEqual(readFileSync(join(root, 'new/a.mp4')), original.bytes)
      assert.ok(!file || names.includes('new/a.mp4.json'), `a file without its sidecar at ${dieAt}`)
      const parts = await partsOn(root, {})
      const next = await copyOnce(t, parts, original)
      assert.equal(next.outcome, file ? 'already' : 'adopted', `after operation ${dieAt}`)
      assert.deepEqual(readFileSync(join(root, 'new/a.mp4')), original.bytes)
    }
    assert.ok(operations >= 15, `${operations} operations`)
  })

  test('leaves nothing behind for ever when it is killed', async (t) => {
    const { root, parts, put } = await withArchive(t)
    const [old, fresh] = ['adopt-0123456789abcdef.part', 'adopt-fedcba9876543210.json']
    for (const name of [old, fresh, '12.1.part', 'adopt-other'])
      await put(`${TEMPORARY_FOLDER}/${name}`, 'x')
    const now = Date.now()
    for (const name of [old, '12.1.part', 'adopt-other'])
      await utimes(join(root, TEMPORARY_FOLDER, name), 1, now / 1000 - 25 * 3600)
    // Another adoption may end between the look at the folder and the look at its file.
    const gone = 'adopt-aaaaaaaaaaaaaaaa.part'
    const list = async (path: string) => [gone, ...(await parts.disk.list(path))]
    const swept = await sweepAdoptions({ disk: { ...parts.disk, list } }, new Date(now))
    assert.deepEqual(swept, [`${TEMPORARY_FOLDER}/${old}`])
    assert.deepEqual((await readdir(join(root, TEMPORARY_FOLDER))).sort(), [
      '12.1.part',
      fresh,
      'adopt-other',
    ])
  })
})

function linkless(parts: AdoptParts): AdoptParts {
  const link = async () => {
    throw new AppError('LINK_REFUSED', 'no links here')
  }
  return { ...parts, disk: { ...parts.disk, link } }
}

/** Once `turn` has given 1, every operation fails, as for a process that is no more. */
function countingDown(disk: Disk, turn: () => number): Disk {
  const wrap =
    <A extends unknown[], R>(call: (...args: A) => Promise<R>) =>
    async (...args: A): Promise<R> => {
      if (turn() <= 1) throw new AppError('DISK_SICK', 'dead')
      return call(...args)
    }
  return {
    ...disk,
    create: wrap(disk.create),
    stat: wrap(disk.stat),
    read: wrap(disk.read),
    hash: wrap(disk.hash),
    makeFolder: wrap(disk.makeFolder),
    link: wrap(disk.link),
    rename: wrap(disk.rename),
    unlink: wrap(disk.unlink),
    syncFile: wrap(disk.syncFile),
    syncFolder: wrap(disk.syncFolder),
    room: wrap(disk.room),
  }
}
