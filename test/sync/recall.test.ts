import assert from 'node:assert/strict'
import { readFile, rm, writeFile } from 'node:fs/promises'
import { describe, type TestContext, test } from 'node:test'
import { type MovedFile, movableFiles } from '../../src/db/second-files.ts'
import { AppError } from '../../src/errors.ts'
import { removeSeen, seeFile } from '../../src/storage/removal.ts'
import { finishMove, moveFile } from '../../src/sync/move.ts'
import { type Point, secondPoints } from '../../src/sync/parts.ts'
import { type RecallParts, recallFile } from '../../src/sync/recall.ts'
import { tree } from '../support/checker.ts'
import { coded } from '../support/demo-bucket.ts'
import type { Medium } from '../support/media-rows.ts'
import { inBoth, moveOnly, quarantined, type Second, withReleased } from '../support/second.ts'
import { contentsOf } from '../support/second-service.ts'
import { expireLeases, never, type Site } from '../support/worker.ts'

interface Scene {
  site: Site
  second: Second
  parts: RecallParts
  medium: Medium
  file: MovedFile
  path: string
  key: string
  /** The archive before the move. */
  before: Record<string, string>
}

/** One medium, moved to the second bucket. */
async function withMoved(t: TestContext): Promise<Scene> {
  const released = await withReleased(t)
  const { site, worker, second, media } = released
  const before = await tree(site.archiveDir)
  return {
    site,
    second,
    parts: { ...second.parts, space: worker.parts.space },
    medium: media[0],
    before,
    ...(await moveOnly(released)),
  }
}

const back = { state: 'released', here: true, there: true, leased: false, damage: null }
const stays = { state: 'moved', here: false, leased: false, damage: null }

describe('bringing a moved file back', { concurrency: 2 }, () => {
  test('leaves the archive as it was before the move, and the copy where it is', async (t) => {
    const { site, second, parts, medium, file, before } = await withMoved(t)
    assert.deepEqual(await recallFile(parts, file, never), { bytes: medium.bytes.length })
    assert.deepEqual(await second.seen(medium), back)
    assert.deepEqual(contentsOf(await tree(site.archiveDir)), contentsOf(before))
    assert.deepEqual(await inBoth(site), [])
    const again = await recallFile(parts, file, never)
    assert.ok('refused' in again)
    const young = { after: null, limit: 1, ageMs: 60_000 }
    await site.sql`update strongroom.items set archived_at = archived_at - interval '1 hour'`
    assert.deepEqual(await movableFiles(site.database, young), [], 'it was just wanted')
    const [movable] = await second.movable()
    assert.ok(movable, 'it may be moved again')
    const puts = () =>
      second.demo.server.requests.filter(({ operation }) => operation === 'PutObject').length
    const first = puts()
    assert.ok('bytes' in (await moveFile(second.parts, movable, never)))
    assert.equal(puts(), first, 'what lies there is read, not uploaded again')
    assert.deepEqual({ ...(await second.seen(medium)), there: true }, { ...stays, there: true })
  })

  for (const point of secondPoints.filter((name) => name.startsWith('recall'))) {
    for (const next of ['recall', 'clean'] as const) {
      test(`that dies at "${point}" loses nothing, and the next ${next} ends it`, async (t) => {
        const { site, second, parts, medium, file } = await withMoved(t)
        const dying: RecallParts = {
          ...parts,
          reached: (reached: Point) => {
            if (reached === point) throw new AppError('DB_UNAVAILABLE', `dead at ${point}`)
          },
          second: { ...parts.second, giveBack: async () => false },
        }
        await assert.rejects(recallFile(dying, file, never), coded('DB_UNAVAILABLE'))
        const at = await second.seen(medium)
        assert.deepEqual([at.state, at.there], ['moved', true])
        await expireLeases(site)
        if (next === 'recall') {
          assert.ok('bytes' in (await recallFile(parts, file, never)))
          assert.deepEqual(await second.seen(medium), back)
        } else {
          const [both] = await inBoth(site)
          assert.ok(both)
          assert.ok('bytes' in (await finishMove(second.parts, both, never)))
          assert.deepEqual(await second.seen(medium), { ...stays, there: true })
        }
        assert.deepEqual(await inBoth(site), [])
      })
    }
  }

  test('is refused where the copy is gone, has another size, or has other bytes', async (t) => {
    const { second, parts, medium, file, key } = await withMoved(t)
    const { admin } = second.demo
    for (const [spoil, why] of [
      [() => admin.put(key, Buffer.alloc(file.copy.sizeBytes, 'x')), /has other bytes/],
      [() => admin.put(key, 'x'), /no such object any more/],
      [() => admin.delete(key), /no such object any more/],
    ] as const) {
      await spoil()
      const outcome = await recallFile(parts, file, never)
      assert.match('refused' in outcome ? outcome.refused : '', why)
      const { there: _, ...at } = await second.seen(medium)
      assert.deepEqual(at, stays)
    }
    await admin.put(key, medium.bytes)
    assert.ok('bytes' in (await recallFile(parts, file, never)), 'the same bytes put there anew')
  })

  test('never replaces what lies in its place', async (t) => {
    const { second, parts, medium, file, path } = await withMoved(t)
    const reached = async (point: Point) => {
      if (point === 'recall-fetched') await writeFile(path, 'somebody wrote this')
    }
    const outcome = await recallFile({ ...parts, reached }, file, never)
    assert.ok('refused' in outcome)
    assert.equal(await readFile(path, 'utf8'), 'somebody wrote this')
    assert.equal((await second.seen(medium)).state, 'moved')
  })

  test('sets aside what is not what was archived, rotten or of somebody else', async (t) => {
    const { site, second, parts, medium, file, path } = await withMoved(t)
    await writeFile(path, 'somebody wrote this')
    assert.deepEqual(await recallFile(parts, file, never), { bytes: medium.bytes.length })
    assert.deepEqual(await second.seen(medium), back)
    assert.deepEqual(await quarantined(site), ['somebody wrote this'])
  })

  test('is refused before a byte is fetched where there is no room', async (t) => {
    const { second, parts, medium, file } = await withMoved(t)
    const reserve = async () => {
      throw new AppError('DISK_LOW', 'no room')
    }
    const before = second.demo.server.requests.length
    const recall = recallFile({ ...parts, space: { reserve } }, file, never)
    await assert.rejects(recall, coded('DISK_LOW'))
    const asked = second.demo.server.requests.slice(before).map(({ operation }) => operation)
    assert.deepEqual(asked, ['HeadObject'])
    assert.deepEqual(await second.seen(medium), { ...stays, there: true })
  })

  test('writes a sidecar anew that was lost meanwhile', async (t) => {
    const { parts, file, path } = await withMoved(t)
    const sidecar = await readFile(`${path}.json`)
    await rm(`${path}.json`)
    assert.ok('bytes' in (await recallFile(parts, file, never)))
    assert.deepEqual(await readFile(`${path}.json`), sidecar)
  })

  test('leaves a file that a mover, which slept since it looked, does not take for its own', async (t) => {
    const { site, second, parts, medium, file, path } = await withMoved(t)
    await writeFile(path, medium.bytes)
    const seen = await seeFile(site.archiveDir, file.archivePath)
    assert.ok(seen)
    assert.ok('bytes' in (await recallFile(parts, file, never)))
    assert.equal(await removeSeen(site.archiveDir, seen), 'changed')
    assert.deepEqual(await second.seen(medium), back)
  })
})
