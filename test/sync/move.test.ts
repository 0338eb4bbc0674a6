import assert from 'node:assert/strict'
import { appendFile, link, readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, type TestContext, test } from 'node:test'
import type { MovableFile } from '../../src/db/second-files.ts'
import { AppError } from '../../src/errors.ts'
import { finishMove, moveFile } from '../../src/sync/move.ts'
import { type Point, secondPoints } from '../../src/sync/parts.ts'
import { tree } from '../support/checker.ts'
import { coded } from '../support/demo-bucket.ts'
import { type Medium, sourceOf } from '../support/media-rows.ts'
import { inBoth, PREFIX, quarantined, type Second, withReleased } from '../support/second.ts'
import { expireLeases, never, type Site } from '../support/worker.ts'

interface Scene {
  site: Site
  second: Second
  medium: Medium
  file: MovableFile
  /** In the archive. */
  path: string
  /** At which the process of this worker ends, as far as others can tell. */
  dieAt(point: Point): void
}

/** One medium, archived, and its source released. */
async function withMovable(t: TestContext): Promise<Scene> {
  let deadly: Point | null = null
  const { site, second, media } = await withReleased(t, {
    reached: (point) => {
      if (point === deadly) throw new AppError('DB_UNAVAILABLE', `dead at ${point}`)
    },
  })
  const [file] = await second.movable()
  assert.ok(file)
  return {
    site,
    second,
    medium: media[0],
    file,
    path: join(site.archiveDir, file.archivePath),
    dieAt(point) {
      deadly = point
      const { second: items } = second.parts
      // A dead process gives nothing back.
      second.parts.second = { ...items, giveBack: async () => false }
    },
  }
}

const isMoved = { state: 'moved', here: false, there: true, leased: false, damage: null }
const kept = { state: 'released', here: true, leased: false, damage: null }
const moving = secondPoints.filter((point) => !point.startsWith('recall'))
/** Before it the database does not know of the copy. */
const commit = moving.indexOf('moved')

describe('moving an archived file to the second bucket', { concurrency: 2 }, () => {
  test('leaves its sidecar, puts file and sidecar there, and enters what was removed', async (t) => {
    const { site, second, medium, file, path } = await withMovable(t)
    const before = await tree(site.archiveDir)
    const sidecar = await readFile(`${path}.json`)
    const outcome = await moveFile(second.parts, file, never)
    assert.deepEqual(outcome, { bytes: medium.bytes.length })
    assert.deepEqual(await second.seen(medium), isMoved)
    const after = await tree(site.archiveDir)
    const gone = Object.keys(before).filter((name) => before[name] !== after[name])
    assert.deepEqual(gone, [file.archivePath])
    const keys = [`${PREFIX}${file.archivePath}`, `${PREFIX}${file.archivePath}.json`]
    assert.deepEqual(await second.demo.admin.list(), keys.sort())
    assert.deepEqual(await readFile(`${path}.json`), sidecar)
    const removals = await site.sql`
      select area, path, outcome, reason, media_id, item_id from strongroom.removals`
    assert.deepEqual(
      [...removals],
      [
        {
          area: 'archived',
          path: file.archivePath,
          outcome: 'removed',
          reason: `${second.parts.bucket.id} has it under ${PREFIX}${file.archivePath}, read back and equal`,
          media_id: medium.mediaId,
          item_id: file.item,
        },
      ],
    )
    const [copy] = await site.sql`
      select sha256, size_bytes, local_removed_at is not null as removed from strongroom.second_copies`
    assert.deepEqual(copy, { sha256: file.sha256, size_bytes: file.sizeBytes, removed: true })
    assert.deepEqual(await second.movable(), [])
    assert.deepEqual(await moveFile(second.parts, file, never), {
      kept: 'a worker has it in hand, or another version of the medium may need it',
    })
  })

  for (const [index, point] of moving.entries()) {
    test(`that ends at "${point}" has its bytes in a verified place, and is ended by the next`, async (t) => {
      const { site, second, medium, file, dieAt } = await withMovable(t)
      const { parts } = second
      const alive = parts.second
      dieAt(point)
      await assert.rejects(moveFile(parts, file, never), coded('DB_UNAVAILABLE'))
      const at = await second.seen(medium)
      assert.equal(at.state, index < commit ? 'released' : 'moved')
      assert.ok(at.state === 'released' ? at.here : at.there, JSON.stringify(at))
      await expireLeases(site)
      const next = { ...parts, second: alive, reached: () => {} }
      if (at.state === 'released') await moveFile(next, file, never)
      else {
        const [both] = await inBoth(site)
        assert.ok(both)
        await finishMove(next, both, never)
      }
      assert.deepEqual(await second.seen(medium), isMoved)
      assert.deepEqual(await inBoth(site), [])
    })
  }

  test('keeps the file wherever the bucket goes down, and moves it once it is up', async (t) => {
    const { second, medium, file } = await withMovable(t)
    const operations = ['HeadObject', 'PutObject', 'GetObject'] as const
    for (const [nth, operation] of operations.flatMap((one) => [
      [1, one] as const,
      [2, one] as const,
    ])) {
      for (const key of await second.demo.admin.list()) await second.demo.admin.delete(key)
      let seen = 0
      second.fault = (request) => {
        if (request.operation === operation) seen += 1
        return seen >= nth ? { kind: 'answer', status: 503, code: 'SlowDown' } : undefined
      }
      const move = moveFile(second.parts, file, never)
      await assert.rejects(
        move,
        coded('BUCKET_THROTTLED', 'BUCKET_UNAVAILABLE'),
        `${nth}. ${operation}`,
      )
      second.fault = () => undefined
      const { there: _, ...at } = await second.seen(medium)
      assert.deepEqual(at, kept, `${nth}. ${operation}`)
    }
    assert.ok('bytes' in (await moveFile(second.parts, file, never)))
  })

  test('keeps a file that the store alone fails for', async (t) => {
    const { second, medium, file } = await withMovable(t)
    second.fault = ({ key }) =>
      key === `${PREFIX}${file.archivePath}`
        ? { kind: 'answer', status: 500, code: 'InternalError' }
        : undefined
    const outcome = await moveFile(second.parts, file, never)
    assert.match('kept' in outcome ? outcome.kept : '', /although it answers otherwise/)
    const { there: _, ...at } = await second.seen(medium)
    assert.deepEqual(at, kept)
  })

  test('keeps a file that is not what was archived, and notes it', async (t) => {
    const { second, medium, file, path } = await withMovable(t)
    await appendFile(path, 'rot')
    const outcome = await moveFile(second.parts, file, never)
    assert.match('kept' in outcome ? outcome.kept : '', /no longer has the bytes/)
    assert.deepEqual(await second.demo.admin.list(), [])
    assert.match((await second.seen(medium)).damage ?? '', /no longer has the bytes/)
    assert.deepEqual(await second.movable(), [])
  })

  test('keeps a file without its sidecar, and one that has another name', async (t) => {
    const { site, second, medium, file, path } = await withMovable(t)
    await link(path, join(site.archiveDir, 'other name'))
    const named = await moveFile(second.parts, file, never)
    assert.match('kept' in named ? named.kept : '', /another name elsewhere/)
    await rm(join(site.archiveDir, 'other name'))
    await rm(`${path}.json`)
    const bare = await moveFile(second.parts, file, never)
    assert.match('kept' in bare ? bare.kept : '', /its sidecar is not there/)
    assert.deepEqual(await second.demo.admin.list(), [])
    assert.equal((await second.seen(medium)).here, true)
  })

  test('keeps the file where something else lies under its key, or that of its sidecar, and leaves that', async (t) => {
    const { site, second, medium, file } = await withMovable(t)
    const { admin, server } = second.demo
    const place = { sql: site.sql, admin }
    for (const ending of ['', '.json']) {
      for (const bytes of [Buffer.alloc(file.sizeBytes, 'x'), Buffer.from('x')]) {
        const key = `${PREFIX}${file.archivePath}${ending}`
        await admin.delete(key)
        await admin.put(key, bytes)
        const before = server.requests.length
        const outcome = await moveFile(second.parts, file, never)
        assert.match('kept' in outcome ? outcome.kept : '', /has something else under the key/)
        const { here, state, leased, damage } = await second.seen(medium)
        assert.deepEqual({ here, state, leased, damage }, kept)
        const puts = server.requests
          .slice(before)
          .filter((request) => request.operation === 'PutObject' && request.key === key)
        assert.deepEqual(puts, [], 'a store may know no condition')
        assert.deepEqual(await sourceOf(place, key), bytes)
        await admin.delete(key)
      }
    }
  })

  test('uses the same bytes that lie there already, and uploads them no second time', async (t) => {
    const { second, medium, file } = await withMovable(t)
    const key = `${PREFIX}${file.archivePath}`
    await second.demo.admin.put(key, medium.bytes)
    assert.ok('bytes' in (await moveFile(second.parts, file, never)))
    const puts = second.demo.server.requests.filter(
      (request) => request.operation === 'PutObject' && request.key === key,
    )
    assert.equal(puts.length, 1, 'the one of this test')
  })

  test('keeps the file where one bit comes back wrong', async (t) => {
    const { second, medium, file } = await withMovable(t)
    second.fault = ({ operation, key }) =>
      operation === 'GetObject' && key?.endsWith('.json') === false
        ? { kind: 'flip', atByte: 40 }
        : undefined
    const outcome = await moveFile(second.parts, file, never)
    assert.ok('kept' in outcome)
    second.fault = () => undefined
    const { there: _, ...at } = await second.seen(medium)
    assert.deepEqual(at, kept)
  })

  test('goes on where the answer to an upload was lost', async (t) => {
    const { second, medium, file } = await withMovable(t)
    let lost = 0
    second.fault = ({ operation }) => {
      if (operation !== 'PutObject' || lost === 2) return undefined
      lost += 1
      return { kind: 'lose-answer' }
    }
    assert.deepEqual(await moveFile(second.parts, file, never), { bytes: medium.bytes.length })
    assert.equal((await second.seen(medium)).there, true)
  })

  test('leaves a file that was written to after it was read', async (t) => {
    const { second, file, path } = await withMovable(t)
    const { parts } = second
    const reached = async (point: Point) => {
      if (point === 'removal-begun') await writeFile(path, 'somebody wrote this')
    }
    const outcome = await moveFile({ ...parts, reached }, file, never)
    assert.deepEqual(outcome, { kept: 'somebody wrote to it meanwhile' })
    assert.equal(await readFile(path, 'utf8'), 'somebody wrote this')
  })

  test('that was cut off sets aside what is not what was archived, and leaves the sidecar', async (t) => {
    const { site, second, medium, file, path, dieAt } = await withMovable(t)
    const { parts } = second
    const alive = parts.second
    dieAt('moved')
    await assert.rejects(moveFile(parts, file, never), coded('DB_UNAVAILABLE'))
    await expireLeases(site)
    await writeFile(path, 'rotten')
    const [both] = await inBoth(site)
    assert.ok(both)
    assert.deepEqual(await finishMove({ ...parts, second: alive }, both, never), { bytes: 0 })
    assert.deepEqual(await second.seen(medium), isMoved)
    assert.deepEqual(await inBoth(site), [])
    assert.deepEqual(await quarantined(site), ['rotten'])
    assert.ok(`${file.archivePath}.json` in (await tree(site.archiveDir)))
  })

  for (const [what, spoil] of [
    ['gone', (second: Second, key: string) => second.demo.admin.delete(key)],
    ['another object', (second: Second, key: string) => second.demo.admin.put(key, 'other')],
  ] as const) {
    test(`is undone where the copy is ${what} before the file was removed`, async (t) => {
      const { site, second, medium, file, dieAt } = await withMovable(t)
      const { parts } = second
      const alive = parts.second
      dieAt('moved')
      await assert.rejects(moveFile(parts, file, never), coded('DB_UNAVAILABLE'))
      await expireLeases(site)
      await spoil(second, `${PREFIX}${file.archivePath}`)
      const [both] = await inBoth(site)
      assert.ok(both)
      const outcome = await finishMove({ ...parts, second: alive }, both, never)
      assert.deepEqual(outcome, { kept: 'its second copy is gone: the file counts as before' })
      const { there: _, ...at } = await second.seen(medium)
      assert.deepEqual(at, kept)
      assert.deepEqual(await inBoth(site), [])
    })
  }

  test('is refused while another version of the medium is under way, or a worker has it', async (t) => {
    const { site, second, medium, file } = await withMovable(t)
    await site.sql`update strongroom.items set lease_owner = 'x', lease_until = now() + interval '1 hour'`
    assert.ok('kept' in (await moveFile(second.parts, file, never)))
    await site.sql`update strongroom.items set lease_owner = null, lease_until = null`
    await site.sql`
      insert into strongroom.items (media_id, generation, state, object_key, approved_at)
      values (${medium.mediaId}, 2, 'waiting', 'k', now())`
    assert.ok('kept' in (await moveFile(second.parts, file, never)))
    assert.deepEqual(await second.demo.admin.list(), [])
  })
})
