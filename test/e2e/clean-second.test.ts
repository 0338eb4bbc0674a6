import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import { secondPoints } from '../../src/sync/parts.ts'
import { tree } from '../support/checker.ts'
import { withDemoBucket } from '../support/demo-bucket.ts'
import { contentsOf, withSecondService } from '../support/second-service.ts'
import { story } from '../support/service.ts'

const moved = (mediaId: number) => ({ mediaId, state: 'moved', here: false, there: true })

describe('strongroom clean with FREE_SPACE_CLEAN=archived', { concurrency: 2 }, () => {
  test('says what would go where, changes nothing, and then moves it', async (t) => {
    const { service, moving, paths, seen, admin } = await withSecondService(t, 3)
    const before = await tree(service.archiveDir)
    const plan = await service.run(['clean', '--dry-run'], moving)
    assert.equal(plan.code, 75, 'more is wanted than may go')
    for (const [mediaId, path] of paths)
      assert.match(
        plan.stdout,
        new RegExp(`would be moved: media ${mediaId} .*${path} to \\S+/copies/${path}\n`),
      )
    assert.deepEqual(await tree(service.archiveDir), before)
    assert.deepEqual(await admin.list(), [])
    const young = await service.run(['clean', '--dry-run', '--json'], {
      ...moving,
      FREE_SPACE_ARCHIVED_AGE: '48h',
    })
    assert.deepEqual(JSON.parse(young.stdout).move, [])

    const done = await service.run(['clean'], moving)
    assert.equal(done.code, 75, story(done))
    assert.match(done.stdout, /3 files removed, 3 of them moved to the second bucket/)
    assert.deepEqual(await seen(), [1, 2, 3].map(moved))
    const after = await tree(service.archiveDir)
    const gone = Object.keys(before).filter((name) => before[name] !== after[name])
    assert.deepEqual(gone.sort(), [...paths.values()].sort())
    const fsck = await service.run(['fsck', '--json'])
    assert.equal(fsck.code, 0, story(fsck))
    const verified = await service.run(['verify'])
    assert.equal(verified.code, 0, story(verified))
    const again = await service.run(['clean'], { ...moving, FREE_SPACE_MIN: '0' })
    assert.match(again.stdout, /nothing has to go/)
  })

  test('moves no more than is needed, and nothing where the second bucket is down', async (t) => {
    const demo = await withDemoBucket(t, {
      onRequest: () => (down ? { kind: 'answer', status: 503, code: 'SlowDown' } : undefined),
    })
    let down = true
    const { service, moving, seen } = await withSecondService(t, 2, demo)
    const refused = await service.run(['clean'], moving)
    assert.equal(refused.code, 69, story(refused))
    assert.match(refused.stderr, /SECOND_|asks for fewer requests/)
    down = false
    assert.ok((await seen()).every(({ state, here }) => state === 'released' && here))
    await service.expireLeases()
    const idle = await service.run(['clean'], { ...moving, FREE_SPACE_MIN: '0' })
    assert.equal(idle.code, 0, story(idle))
    assert.deepEqual(await demo.admin.list(), [])
  })

  test('killed at any moment has every byte in a verified place, and the next one goes on', async (t) => {
    const { service, moving, seen } = await withSecondService(t, 8)
    for (const point of secondPoints.filter((name) => !name.startsWith('recall'))) {
      const killed = await service.run(['clean'], {
        ...moving,
        STRONGROOM_HALT: `${point}:SIGKILL`,
      })
      assert.equal(killed.signal, 'SIGKILL', story(killed))
      for (const one of await seen())
        assert.ok(one.state === 'moved' ? one.there : one.state === 'released' && one.here, point)
      await service.expireLeases()
    }
    const last = await service.run(['clean'], moving)
    assert.equal(last.code, 75, story(last))
    assert.deepEqual(await seen(), [1, 2, 3, 4, 5, 6, 7, 8].map(moved))
    const open = await service.sql`
      select item_id from strongroom.second_copies where local_removed_at is null`
    assert.deepEqual([...open], [])
  })
})

describe('strongroom recall', { concurrency: 2 }, () => {
  test('brings back what it is told to, byte by byte, and says what it cannot', async (t) => {
    const { service, moving, paths, seen, admin } = await withSecondService(t, 3)
    const before = await tree(service.archiveDir)
    const bytes = await readFile(join(service.archiveDir, paths.get(3) ?? ''))
    const cleaned = await service.run(['clean'], moving)
    assert.equal(cleaned.code, 75, story(cleaned))
    const recalled = await service.run(['recall', '--media', '1'], moving)
    assert.equal(recalled.code, 74, 'there is no room by these settings')
    const roomy = { ...moving, FREE_SPACE_MIN: '0' }
    const one = await service.run(['recall', '--media', '1'], roomy)
    assert.equal(one.code, 0, story(one))
    assert.match(one.stdout, new RegExp(`^media 1, ${paths.get(1)}: back, `))
    assert.match(one.stdout, /\n1 file brought back, /)
    assert.deepEqual(
      (await seen()).map(({ state }) => state),
      ['released', 'moved', 'moved'],
    )
    const twice = await service.run(['recall', '--media', '1'], roomy)
    assert.equal(twice.code, 1, story(twice))
    assert.match(twice.stderr, /media 1 has no file in the second bucket/)
    const both = await service.run(['recall', '1', '2'], roomy)
    assert.equal(both.code, 1, story(both))
    for (const args of [['recall'], ['recall', '2', '--media', '2'], ['recall', 'x']])
      assert.equal((await service.run(args, roomy)).code, 64)
    const without = await service.run(['recall', '2'])
    assert.equal(without.code, 78, story(without))
    assert.match(without.stderr, /SECOND_ENDPOINT/)

    await admin.delete(`copies/${paths.get(3)}`)
    const rest = await service.run(['recall', '2', '3', '--json'], roomy)
    assert.equal(rest.code, 75, story(rest))
    const lines = rest.stdout.trim().split('\n')
    assert.deepEqual(
      lines.map((line) => JSON.parse(line).recalled),
      [true, false],
    )
    await admin.put(`copies/${paths.get(3)}`, bytes)
    const last = await service.run(['recall', '3'], roomy)
    assert.equal(last.code, 0, story(last))
    assert.deepEqual(contentsOf(await tree(service.archiveDir)), contentsOf(before))
  })

  test('killed at any moment loses nothing, and is ended by the next', async (t) => {
    const { service, moving, seen } = await withSecondService(t, 2)
    const before = await tree(service.archiveDir)
    await service.run(['clean'], moving)
    const roomy = { ...moving, FREE_SPACE_MIN: '0' }
    for (const point of secondPoints.filter((name) => name.startsWith('recall'))) {
      const halted = { ...roomy, STRONGROOM_HALT: `${point}:SIGKILL` }
      const killed = await service.run(['recall', '1', '2'], halted)
      assert.equal(killed.signal, 'SIGKILL', story(killed))
      assert.ok((await seen()).every(({ state, there }) => state === 'moved' && there))
      await service.expireLeases()
    }
    const last = await service.run(['recall', '1', '2'], roomy)
    assert.equal(last.code, 0, story(last))
    const idle = await service.run(['sync', '--once'])
    assert.equal(idle.code, 0, story(idle))
    assert.deepEqual(contentsOf(await tree(service.archiveDir)), contentsOf(before))
  })
})
