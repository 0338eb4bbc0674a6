import assert from 'node:assert/strict'
import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, type TestContext, test } from 'node:test'
import { withDemoBucket } from '../support/demo-bucket.ts'
import { uniqueMedia } from '../support/media-files.ts'
import {
  approveMedium,
  assertArchived,
  itemOf,
  type Medium,
  sourceOf,
  statesOf,
} from '../support/media-rows.ts'
import { isStopped } from '../support/program.ts'
import {
  type Service,
  type ServiceOptions,
  story,
  summaryOf,
  withService,
} from '../support/service.ts'

const once = ['sync', '--once', '--json']

function withReleasing(t: TestContext, options: ServiceOptions = {}): Promise<Service> {
  return withService(t, { ...options, env: { RELEASE_GRACE: '0' } })
}

async function runWell(service: Service) {
  const ended = await service.run(once)
  assert.equal(ended.code, 0, story(ended))
  return summaryOf(ended)
}

async function actionsOf({ sql }: Service, mediaId: number): Promise<string[]> {
  const rows = await sql<{ action: string }[]>`
    select action from audit_logs where media_id = ${mediaId} order by id`
  return rows.map(({ action }) => action)
}

describe('an approval that changes', { concurrency: 2 }, () => {
  for (const { how, change } of [
    { how: 'taken back', change: `status = 'pending'` },
    { how: 'followed by a deletion', change: 'deleted_at = now()' },
    { how: 'moved to another key', change: `object_key = 'elsewhere.png'` },
  ]) {
    test(`${how} while it is archived withdraws the copy and keeps the source`, async (t) => {
      const service = await withReleasing(t)
      const medium = await approveMedium(service)
      const running = service.start(once, { STRONGROOM_HALT: 'published:SIGSTOP' })
      await running.said('halted at published')
      await isStopped(running.pid)
      await service.sql.unsafe(`update media set ${change} where id = ${medium.mediaId}`)
      running.kill('SIGCONT')
      const ended = await running.ended
      assert.equal(summaryOf(ended).items.withdrawn, 1, story(ended))
      const [item] = await service.sql`select state from strongroom.items where generation = 1`
      assert.equal(item?.state, 'withdrawn')
      assert.deepEqual(await sourceOf(service, medium.key), medium.bytes)
      assert.deepEqual(await actionsOf(service, medium.mediaId), [])
      const shown = (await readdir(service.archiveDir)).filter((name) => name !== '.strongroom')
      for (const folder of shown) {
        const files = await readdir(join(service.archiveDir, folder), {
          recursive: true,
          withFileTypes: true,
        })
        assert.deepEqual(
          files.filter((entry) => entry.isFile()),
          [],
          'nothing is left to be served',
        )
      }
      const aside = await readdir(join(service.archiveDir, '.strongroom/withdrawn'), {
        recursive: true,
      })
      assert.ok(
        aside.some((name) => name.endsWith('.png')),
        'the copy is kept aside',
      )
    })
  }

  test('back to what is archived already sets the row to archived without a download', async (t) => {
    const service = await withReleasing(t)
    const medium = await approveMedium(service)
    await runWell(service)
    assert.deepEqual(await service.admin.list(), [], 'a download would find nothing')
    await service.sql`
      update media set status = 'approved', archive_path = null, checksum_sha256 = null where id = ${medium.mediaId}`
    const summary = await runWell(service)
    assert.equal(summary.reconciled?.reapproved, 1)
    assert.equal(summary.items.archived, 0)
    await assertArchived(service, medium)
    assert.deepEqual(await actionsOf(service, medium.mediaId), ['archived', 'source_deleted'])
  })

  test('to a new key archives a second generation and leaves the first where it is', async (t) => {
    const service = await withReleasing(t)
    const first = await approveMedium(service)
    await runWell(service)
    const path = await assertArchived(service, first)
    const bytes = uniqueMedia('image', 4242)
    await service.admin.put('second.png', bytes)
    await service.sql`
      update media set object_key = 'second.png', file_size = ${bytes.length}, status = 'approved', approved_at = now()
      where id = ${first.mediaId}`
    const summary = await runWell(service)
    assert.equal(summary.items.archived, 1)
    const second = await assertArchived(service, { ...first, key: 'second.png', bytes })
    assert.notEqual(second, path)
    assert.deepEqual(await readFile(join(service.archiveDir, path)), first.bytes)
    const items = await service.sql`
      select generation, state from strongroom.items where media_id = ${first.mediaId} order by generation`
    assert.deepEqual(
      [...items],
      [
        { generation: 1, state: 'released' },
        { generation: 2, state: 'released' },
      ],
    )
    assert.deepEqual(await service.admin.list(), [])
  })

  test('after a rejection, with the right bytes, archives them', async (t) => {
    const service = await withReleasing(t)
    const wrong = await approveMedium(service, { bytes: Buffer.from('not yet a picture') })
    assert.equal((await runWell(service)).items.rejected, 1)
    const bytes = uniqueMedia('image', 4343)
    await service.admin.put(wrong.key, bytes)
    await service.sql`
      update media set file_size = ${bytes.length}, approved_at = now() where id = ${wrong.mediaId}`
    await runWell(service)
    await assertArchived(service, { ...wrong, bytes })
    assert.deepEqual(await actionsOf(service, wrong.mediaId), [
      'archive_rejected',
      'archived',
      'source_deleted',
    ])
  })
})

/** Two rows for one object, the second not approved yet. */
async function sharing(service: Service, keys: [string, string]): Promise<[Medium, Medium]> {
  const bytes = uniqueMedia('image', 777)
  const first = await approveMedium(service, { key: keys[0], bytes })
  const second = await approveMedium(service, {
    key: keys[1],
    bytes,
    uploaded: keys[1] !== keys[0],
  })
  await service.sql`update media set status = 'pending' where id = ${second.mediaId}`
  return [first, second]
}

describe('a source that is not only ours to delete', { concurrency: 2 }, () => {
  const nfc = 'uploads/\u00fcbung.png'
  const nfd = 'uploads/u\u0308bung.png'
  for (const { what, keys, ownObjects } of [
    { what: 'two rows share', keys: ['a.png', 'a.png'], ownObjects: false },
    { what: 'two rows share in two spellings (NFC, NFD)', keys: [nfc, nfd], ownObjects: true },
    { what: 'two rows share in two spellings (NFD, NFC)', keys: [nfd, nfc], ownObjects: true },
  ] satisfies { what: string; keys: [string, string]; ownObjects: boolean }[]) {
    test(`and that ${what} stays until both are archived`, async (t) => {
      // R2, like our own server, takes spellings for one object; Swift has two.
      const options = ownObjects ? { bucket: await withDemoBucket(t) } : {}
      const service = await withReleasing(t, options)
      const [first, second] = await sharing(service, keys)
      const one = await service.run(once)
      assert.equal(one.code, 0, story(one))
      assert.equal(summaryOf(one).released?.released, 0)
      await assertArchived(service, first)
      assert.equal((await service.admin.list()).length, 1)

      await service.sql`update media set status = 'approved' where id = ${second.mediaId}`
      await runWell(service)
      for (const medium of [first, second]) {
        await assertArchived(service, medium)
        assert.deepEqual(await actionsOf(service, medium.mediaId), ['archived', 'source_deleted'])
      }
      assert.deepEqual(await statesOf(service), { released: 2 })
      assert.deepEqual(await service.admin.list(), [])
    })
  }

  test('stays for RELEASE_GRACE, a day unless it is set otherwise', async (t) => {
    const service = await withService(t)
    const medium = await approveMedium(service)
    await runWell(service)
    await runWell(service)
    await assertArchived(service, medium)
    assert.deepEqual(await sourceOf(service, medium.key), medium.bytes)
    const [due] = await service.sql<{ hours: number }[]>`
      select round(extract(epoch from release_due - archived_at) / 3600)::int as hours from strongroom.items`
    assert.equal(due?.hours, 24)
    await service.sql`update strongroom.items set release_due = now()`
    assert.equal((await runWell(service)).released?.released, 1)
    assert.equal(await sourceOf(service, medium.key), null)
  })

  test('stays while releases are paused, for which everybody sees the reason', async (t) => {
    const service = await withReleasing(t)
    const early = await service.run(['release', 'pause'])
    assert.equal(early.code, 78, story(early))
    assert.equal((await service.run(['init-volume'])).code, 0)
    const paused = await service.run(['release', 'pause', '--reason', 'moving house'])
    assert.equal(paused.code, 0, story(paused))
    assert.equal((await service.run(['release', 'pause'])).code, 0)
    const told = await service.run(['sync', '--once'])
    assert.match(
      told.stdout,
      /^releases are paused since \S+: moving house; "strongroom release resume" goes on$/m,
      'a second pause keeps the reason',
    )
    const medium = await approveMedium(service)
    assert.equal((await runWell(service)).released?.released, 0)
    await assertArchived(service, medium)
    assert.deepEqual(await sourceOf(service, medium.key), medium.bytes)
    const status = await service.run(['release', 'status'])
    assert.match(
      status.stdout,
      /releases are paused since \S+: moving house\n.*\n {2}archived: 1\n/,
    )

    const resumed = await service.run(['release', 'resume'])
    assert.match(resumed.stdout, /releases are running/)
    assert.equal((await runWell(service)).released?.released, 1)
    assert.deepEqual(await service.admin.list(), [])
    assert.match(
      (await service.run(['release', 'status'])).stdout,
      /running\nin the last 24 hours: 1 released, .*\n {2}released: 1\n/,
    )
  })

  test('stays when its bytes are others than the archived ones, and the run says so', async (t) => {
    const service = await withService(t)
    const medium = await approveMedium(service)
    await runWell(service)
    const other = uniqueMedia('image', 888)
    await service.admin.put(medium.key, other)
    await service.sql`update strongroom.items set release_due = now()`
    const ended = await service.run(once)
    assert.equal(ended.code, 75, story(ended))
    assert.equal((await itemOf(service, medium.mediaId)).state, 'source_differs')
    assert.deepEqual(await sourceOf(service, medium.key), other)
    await assertArchived(service, medium)
  })
})
