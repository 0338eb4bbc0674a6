import assert from 'node:assert/strict'
import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import { mediaKinds } from '../../src/media.ts'
import { violations } from '../support/checker.ts'
import { withDemoBucket } from '../support/demo-bucket.ts'
import { uniqueMedia } from '../support/media-files.ts'
import { sha256Of, sourceOf } from '../support/media-rows.ts'
import { withBucket } from '../support/s3.ts'
import { mountsRefused, withVolume } from '../support/scopes.ts'
import { secondEnv, withSecondService } from '../support/second-service.ts'
import { type Service, story, summaryOf, withService } from '../support/service.ts'

/** What ffprobe thinks of files is judged elsewhere. */
const PROBE = join(import.meta.dirname, '../torture/probe.sh')
const MIB = 2 ** 20

describe('a sync beside a second bucket', { concurrency: 2 }, () => {
  test('sets a row back to archived that was approved again while its file is moved, and fetches nothing', async (t) => {
    const { service, moving, seen } = await withSecondService(t, 2)
    const cleaned = await service.run(['clean'], moving)
    assert.equal(cleaned.code, 75, story(cleaned))
    await service.sql`update media set status = 'approved' where id = 1`
    await service.sql`update media set status = 'approved', approved_at = now() where id = 2`
    const synced = await service.run(['sync', '--once', '--json'])
    assert.ok(synced.code === 0 || synced.code === 75, story(synced))
    await service.expireLeases()
    const again = await service.run(['sync', '--once', '--json'])
    assert.equal(again.code, 0, story(again))
    assert.equal(summaryOf(again).items.archived, 0)
    const rows = await service.sql`select status from media order by id`
    assert.deepEqual(
      rows.map(({ status }) => status),
      ['archived', 'archived'],
    )
    const states = (await seen()).map(({ mediaId, state }) => [mediaId, state])
    assert.deepEqual(states, [
      [1, 'moved'],
      [2, 'moved'],
      [2, 'withdrawn'],
    ])
  })

  test('doctor says whether the second bucket answers, and by which settings it is reached', async (t) => {
    const { service, moving } = await withSecondService(t, 1)
    const well = await service.run(['doctor'], moving)
    assert.match(well.stdout, /the second bucket \S+ answers/)
    const wrong = await service.run(['doctor'], { ...moving, SECOND_SECRET_KEY: 'another key' })
    assert.match(wrong.stdout, /FAIL second bucket: [\s\S]*SECOND_ACCESS_KEY, SECOND_SECRET_KEY/)
    assert.doesNotMatch(wrong.stdout, /R2_SECRET_KEY/)
  })
})

describe('a small disk', { skip: mountsRefused() }, () => {
  test('is made room on by itself: what was archived longest ago is moved, and no more of it than is needed', async (t) => {
    const { folder } = await withVolume(t, 24 * MIB)
    const [archiveDir, errorDir] = [join(folder, 'archive'), join(folder, 'errors')]
    await Promise.all([mkdir(archiveDir), mkdir(errorDir)])
    const own = {
      ARCHIVE_DIR: archiveDir,
      ERROR_DIR: errorDir,
      FFPROBE_PATH: PROBE,
      RELEASE_GRACE: '0',
      FREE_SPACE_MIN: '0',
      FREE_SPACE_CLEAN: 'archived',
      FREE_SPACE_ARCHIVED_AGE: '1h',
    }
    const bucket = await withDemoBucket(t)
    const second = await withBucket(t)
    const made = await withService(t, { bucket, env: { ...own, ...secondEnv(second.config) } })
    const service: Service = { ...made, archiveDir, errorDir, env: { ...made.env, ...own } }
    const volume = await service.run(['init-volume'])
    assert.equal(volume.code, 0, story(volume))
    const approve = (count: number) => {
      const first = service.uploads.length + 1
      return service.approve(count, (n) => {
        const kind = mediaKinds[(first + n) % mediaKinds.length] ?? 'image'
        return { bytes: uniqueMedia(kind, first + n, MIB), fate: 'archived' }
      })
    }
    await approve(12)
    const first = await service.run(['sync', '--once'])
    assert.equal(first.code, 0, story(first))
    await service.sql`update strongroom.items set archived_at = archived_at - interval '2 hours'`
    await approve(2)
    const low = { FREE_SPACE_MIN: '13MiB', FREE_SPACE_TARGET: '16MiB' }
    const full = await service.run(['sync', '--once'], low)
    assert.equal(full.code, 0, story(full))
    assert.match(full.stderr, /"moved":5.*"message":"made room on the disk"/)
    const items = await service.sql<{ media_id: number; state: string; archive_path: string }[]>`
      select media_id, state, archive_path from strongroom.items order by archived_at, id`
    const moved = items.filter(({ state }) => state === 'moved')
    assert.equal(items.length, 14)
    assert.equal(moved.length, 5, 'from 11 MiB and a part to 16')
    assert.deepEqual(moved, items.slice(0, 5), 'those that were archived first')
    assert.ok(items.slice(5).every(({ state }) => state === 'released'))
    const place = { sql: service.sql, admin: second.admin }
    for (const { media_id, archive_path } of moved) {
      const bytes = await sourceOf(place, `copies/${archive_path}`)
      const upload = service.uploads.find(({ mediaId }) => mediaId === media_id)
      assert.equal(bytes && sha256Of(bytes), upload?.sha256)
    }
    const isHere = ({ mediaId }: { mediaId: number }) =>
      !moved.some(({ media_id }) => media_id === mediaId)
    const rest = { ...service, uploads: service.uploads.filter(isHere) }
    assert.deepEqual(
      (await violations(rest, { converged: false })).filter(
        (one) => !moved.some(({ media_id }) => JSON.stringify(one).includes(`media ${media_id}`)),
      ),
      [],
    )
  })
})
