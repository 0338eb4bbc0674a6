import assert from 'node:assert/strict'
import { describe, type TestContext, test } from 'node:test'
import { partsOfSyncer } from '../../src/commands/watched-parts.ts'
import { openArchives } from '../../src/db/archives.ts'
import { readHealth } from '../../src/db/health.ts'
import { acknowledgeItem } from '../../src/db/wishes.ts'
import { createStandings } from '../../src/notify/standing.ts'
import type { SyncService } from '../../src/open.ts'
import { intentFor, postgresStore } from '../contract/items-stores.ts'

/** So many archived files, and what is told of them: as the notifier does, only what began, or what is new of it. */
async function withFiles(t: TestContext, count: number) {
  const store = await postgresStore(t)
  const { database, sql } = store
  const items = store.worker('a')
  for (let id = 1; id <= count; id++) await store.addMedia(id)
  for (const item of await items.claim(count, [])) {
    await items.commitIntent(item, intentFor(item, `2026/01/${item.media.mediaId}.mp4`))
    await items.record(item)
  }
  const standings = createStandings()
  const clock = { jumpedMs: null as number | null }
  const leases = { clockJumpedMs: () => clock.jumpedMs } as SyncService['leases']
  const service = { archives: openArchives(database), database, leases }
  const told = async (): Promise<(string | null)[]> => {
    const news: (string | null)[] = []
    for (const { subject, look } of partsOfSyncer(service)) {
      const trouble = await look(new AbortController().signal)
      assert.ok(trouble !== 'unsure')
      const { title = '', cases = [] } = trouble ?? {}
      const failing = trouble && { since: new Date(), title, cases }
      if (standings.note(subject, failing).kind !== 'same') news.push(trouble?.detail ?? null)
    }
    return news
  }
  return {
    ...store,
    told,
    clock,
    lose: (mediaId: number, secondsAgo = 0) => sql`
      update strongroom.items set state = 'lost', damage = 'gone', verified_at = clock_timestamp(),
        damaged_at = clock_timestamp() - ${secondsAgo} * interval '1 s'
      where media_id = ${mediaId}`,
    restore: (mediaId: number) =>
      sql`update strongroom.items set state = 'released', damage = null where media_id = ${mediaId}`,
    acknowledge: async (mediaId: number) =>
      assert.ok((await acknowledgeItem(database, { mediaId, note: 'no backup' }))?.done),
    damaged: async () => (await readHealth(database, 'sync')).damaged?.archivePath ?? null,
  }
}

const lost = (mediaId: number, others = '') =>
  `2026/01/${mediaId}.mp4 (media ${mediaId}) is not what was archived: gone${others}`

describe('a file that is lost', () => {
  test('is told of by its name, also while another one is', async (t) => {
    const { told, lose, restore } = await withFiles(t, 2)
    await lose(2)
    assert.deepEqual(await told(), [lost(2)])
    await lose(1)
    assert.deepEqual(await told(), [lost(1, ', and 1 more')])
    assert.deepEqual(await told(), [])
    await restore(1)
    assert.deepEqual(await told(), [], 'the other one is lost still')
    await lose(1)
    assert.deepEqual(await told(), [lost(1, ', and 1 more')], 'it was whole meanwhile')
  })

  test('for good, and was acknowledged, fails neither health nor hides the next one', async (t) => {
    const { told, lose, restore, acknowledge, damaged } = await withFiles(t, 2)
    await lose(1)
    assert.deepEqual(await told(), [lost(1)])
    assert.equal(await damaged(), '2026/01/1.mp4')
    await acknowledge(1)
    assert.deepEqual([await told(), await damaged()], [[null], null])
    await lose(2)
    assert.deepEqual([await told(), await damaged()], [[lost(2)], '2026/01/2.mp4'])
    await acknowledge(2)
    await told()
    await restore(1)
    await lose(1)
    assert.deepEqual([await told(), await damaged()], [[lost(1)], '2026/01/1.mp4'], 'lost again')
  })

  test('beside so many others that somebody has to look anyway, brings no more messages', async (t) => {
    const { told, lose } = await withFiles(t, 22)
    for (let id = 22; id > 3; id--) await lose(id, id)
    assert.deepEqual(await told(), [lost(4, ', and 18 more')])
    await lose(3, 3)
    assert.deepEqual(await told(), [lost(3, ', and 19 more')])
    await lose(2, 2)
    assert.deepEqual(await told(), [])
  })

  test('among many that are restored one after the other, brings no message for each', async (t) => {
    const { told, lose, restore } = await withFiles(t, 24)
    for (let id = 1; id <= 24; id++) await lose(id, 100 - id)
    assert.deepEqual(await told(), [lost(20, ', and 19 more')])
    const news: (string | null)[] = []
    for (let id = 1; id <= 8; id++) {
      await restore(id)
      news.push(...(await told()))
    }
    assert.deepEqual(news, [lost(24, ', and 18 more')], 'once, when few enough are left')
  })
})

test('releases that are paused again are told of again, however short they ran', async (t) => {
  const { archives, told } = await withFiles(t, 0)
  await archives.pauseRelease('21 sources changed')
  assert.deepEqual(await told(), ['21 sources changed'])
  assert.deepEqual(await told(), [])
  await archives.resumeRelease()
  await archives.pauseRelease('22 sources changed')
  assert.deepEqual(await told(), ['22 sources changed'])
})

test('releases that wait for the database clock are told of as paused, until they run again', async (t) => {
  const { clock, told } = await withFiles(t, 0)
  clock.jumpedMs = 0
  assert.deepEqual(await told(), ["the database's clock jumped: what it calls due may not be"])
  clock.jumpedMs = 60_000
  assert.deepEqual(await told(), [])
  clock.jumpedMs = null
  assert.deepEqual(await told(), [null])
})
