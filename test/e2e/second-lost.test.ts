import assert from 'node:assert/strict'
import { mkdir, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { describe, test } from 'node:test'
import { tree } from '../support/checker.ts'
import { sourceOf } from '../support/media-rows.ts'
import { startTalking } from '../support/program.ts'
import { contentsOf, withSecondService } from '../support/second-service.ts'
import { story } from '../support/service.ts'

describe('what lies in the second bucket', { concurrency: 2 }, () => {
  test('is read again by verify --second, which names what is missing or differs', async (t) => {
    const { service, moving, paths, admin } = await withSecondService(t, 5)
    const cleaned = await service.run(['clean'], moving)
    assert.equal(cleaned.code, 75, story(cleaned))
    const well = await service.run(['verify', '--second'], moving)
    assert.equal(well.code, 0, story(well))
    assert.match(well.stdout, /^5 moved files checked \(.*\), all as they were archived\n$/)

    const keyOf = (mediaId: number) => `copies/${paths.get(mediaId)}`
    const place = { sql: service.sql, admin }
    const first = await sourceOf(place, keyOf(1))
    assert.ok(first)
    first[50] = (first[50] ?? 0) ^ 1
    await admin.put(keyOf(1), first)
    await admin.put(keyOf(2), 'short')
    await admin.delete(keyOf(3))
    await admin.delete(`${keyOf(4)}.json`)
    const bad = await service.run(['verify', '--second', '--json'], moving)
    assert.equal(bad.code, 74, story(bad))
    const noted = await service.sql`
      select trouble from strongroom.second_copies where trouble is not null`
    assert.equal(noted.length, 4)
    const lines = bad.stdout.trim().split('\n')
    const told = lines.map((line) => JSON.parse(line) as Record<string, unknown>)
    assert.deepEqual(
      told.slice(0, -1).map(({ verdict, media_id }) => [verdict, media_id]),
      [
        ['differs', 1],
        ['differs', 2],
        ['missing', 3],
        ['sidecar', 4],
      ],
    )
    assert.equal(told.at(-1)?.whole, 1)
    const one = await service.run(['verify', '--second', '--media', '5'], moving)
    assert.equal(one.code, 0, story(one))
    const elsewhere = { ...moving, SECOND_BUCKET: 'other' }
    const none = await service.run(['verify', '--second', '--media', '999'], moving)
    assert.equal(none.code, 1, story(none))
    assert.match(none.stderr, /media 999 has no file in the second bucket/)
    const other = await service.run(['verify', '--second', '--media', '5'], elsewhere)
    assert.equal(other.code, 74, story(other))
    assert.match(other.stdout, /elsewhere: media 5, /)
  })

  test('is asked for by a running service, which says when some of it is gone', async (t) => {
    const { service, moving, paths, admin } = await withSecondService(t, 2)
    const cleaned = await service.run(['clean'], moving)
    assert.equal(cleaned.code, 75, story(cleaned))
    await admin.delete(`copies/${paths.get(2)}`)
    await service.sql`update strongroom.second_copies set verified_at = now() - interval '8 days'`
    const env = { ...service.env, ...moving, FREE_SPACE_MIN: '0' }
    const program = startTalking(t, ['start'], {
      ...env,
      SERVER_PORT: '0',
      ADMIN_PORT: '0',
      UNRAID_TUNNEL_SECRET: 'a-secret-of-at-least-32-bytes-1234',
      LOG_LEVEL: 'debug',
      LOG_FORMAT: 'json',
    })
    await program.said(/"damage":"missing: there is no such object"/)
    await program.said(/"seen":2,"read":0,"damaged":1,.*looked into the second bucket/)
    const secret = { UNRAID_TUNNEL_SECRET: 'a-secret-of-at-least-32-bytes-1234' }
    const minted = await service.run(['token', '--media', '1'], secret)
    assert.match(minted.stderr, /second bucket: .* "strongroom recall --media 1"/)
    const sent = { ...moving, ...secret, SECOND_LINKS: 'redirect' }
    assert.doesNotMatch((await service.run(['token', '--media', '1'], sent)).stderr, /recall/)
    const why = await service.run(['why', '2'])
    assert.match(why.stdout, /not as it was archived: in the second bucket: missing/)
    assert.doesNotMatch((await service.run(['why', '1'])).stdout, /not as it was archived/)
    const health = await fetch(`http://127.0.0.1:${await program.port('admin')}/health/deep`)
    assert.equal(health.status, 503)
    const ended = await program.stop()
    assert.equal(ended.code, 0, story(ended))
    assert.equal(ended.stdout.match(/"name":"second bucket".*"stopped"/g)?.length, 1, 'one client')
    const runs = await service.sql`
      select status, items from strongroom.runs where job = 'verify'`
    assert.deepEqual([...runs], [{ status: 'partial', items: { seen: 2, read: 0, damaged: 1 } }])
  })

  test('comes back by a plain copy of the bucket when the database is lost', async (t) => {
    const { service, moving, seen, admin } = await withSecondService(t, 3)
    const before = await tree(service.archiveDir)
    const first = await service.run(['clean'], moving)
    assert.equal(first.code, 75, story(first))
    await service.sql`drop schema strongroom cascade`
    const accepted = await service.run(['accept-volume'])
    assert.equal(accepted.code, 0, story(accepted))
    const blind = await service.run(['fsck', '--from-sidecars', '--confirm'])
    assert.equal(blind.code, 0, story(blind))
    assert.match(blind.stdout, /3 sidecars whose file is not here/)
    const found = await service.run(['fsck'])
    assert.equal(found.code, 0, story(found))
    assert.match(found.stdout, /orphan: with a second bucket look there first/)

    for (const key of await admin.list()) {
      const path = join(service.archiveDir, key.slice('copies/'.length))
      await mkdir(dirname(path), { recursive: true })
      const bytes = await sourceOf({ sql: service.sql, admin }, key)
      await writeFile(path, bytes ?? '', { mode: 0o644 })
    }
    const rebuilt = await service.run(['fsck', '--from-sidecars', '--confirm'])
    assert.equal(rebuilt.code, 0, story(rebuilt))
    const verified = await service.run(['verify', '--all'])
    assert.equal(verified.code, 0, story(verified))
    assert.deepEqual(contentsOf(await tree(service.archiveDir)), contentsOf(before))
    assert.ok((await seen()).every(({ state, here }) => state === 'released' && here))

    await service.sql`update strongroom.items set archived_at = archived_at - interval '1 day'`
    const again = await service.run(['clean'], moving)
    assert.equal(again.code, 75, story(again))
    assert.ok((await seen()).every(({ state, here, there }) => state === 'moved' && !here && there))
  })

  test('is told by fsck where a file of it lies here, too, and clean removes what a move left', async (t) => {
    const { service, moving, seen } = await withSecondService(t, 2)
    const killed = await service.run(['clean'], { ...moving, STRONGROOM_HALT: 'moved:SIGKILL' })
    assert.equal(killed.signal, 'SIGKILL', story(killed))
    await service.expireLeases()
    const told = await service.run(['fsck', '--json'])
    assert.equal(told.code, 75, story(told))
    assert.match(told.stdout, /^\{"found":"both",[^\n]*\n[^\n]*"both":1,/)
    const cleaned = await service.run(['clean'], { ...moving, FREE_SPACE_MIN: '0' })
    assert.equal(cleaned.code, 0, story(cleaned))
    assert.deepEqual((await seen()).map(({ state, here }) => `${state} ${here}`).sort(), [
      'moved false',
      'released true',
    ])
    const well = await service.run(['fsck'])
    assert.equal(well.code, 0, story(well))
  })
})
