import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import {
  type ArchivedFile,
  archivedFile,
  archivedFiles,
  archivedTotal,
  isReadingWanted,
  noteVerified,
  takeForScrub,
} from '../../src/db/archived.ts'
import { damagedFiles } from '../../src/db/damaged.ts'
import type { DueItem } from '../../src/media.ts'
import { intentFor, type PostgresStore, postgresStore } from '../contract/items-stores.ts'
import type { Scope } from '../support/scopes.ts'

const HOUR_MS = 3_600_000
const MONTH_MS = 720 * HOUR_MS

/** `count` archived items, archived so many days ago as their media id says. */
async function withArchived(t: Scope, count: number): Promise<PostgresStore> {
  const store = await postgresStore(t)
  const items = store.worker('a')
  for (let id = 1; id <= count; id++) await store.addMedia(id, { objectKey: `key ${id}` })
  for (const item of await items.claim(count, [])) {
    await items.commitIntent(item, intentFor(item, `folder/${item.media.mediaId}.mp4`))
    await items.record(item)
  }
  await store.sql`update strongroom.items set archived_at = now() - media_id * interval '1 day'`
  return store
}

function mediaIds(files: readonly ArchivedFile[]): number[] {
  return files.map(({ mediaId }) => mediaId).sort((a, b) => a - b)
}

async function hoursPass({ sql }: PostgresStore, hours: number): Promise<void> {
  const back = sql`${hours} * interval '1 hour'`
  await sql`update strongroom.items set verified_at = verified_at - ${back}, scrub_until = scrub_until - ${back}`
}

describe('what the scrub takes', { concurrency: 2 }, () => {
  test('is what was read longest ago, and nothing twice within an hour', async (t) => {
    const store = await withArchived(t, 5)
    const { database } = store
    const take = (days: number, limit = 2) =>
      takeForScrub(database, { limit, periodMs: days * 24 * HOUR_MS })
    assert.deepEqual(mediaIds(await take(2.5)), [4, 5])
    assert.deepEqual(mediaIds(await take(2.5)), [3])
    assert.deepEqual(await take(2.5), [])
    await hoursPass(store, 2)
    assert.deepEqual(mediaIds(await take(2.5, 9)), [3, 4, 5], 'whoever took them read none')
  })

  test('comes in that order, what was found damaged first', async (t) => {
    const store = await withArchived(t, 9)
    const { database, sql } = store
    await sql`update strongroom.items set damage = 'flipped', damaged_at = now() - interval '2 days',
      verified_at = now() - interval '30 hours' where media_id in (3, 7)`
    const taken = await takeForScrub(database, { limit: 9, periodMs: HOUR_MS })
    const age = (id: number) => (id === 3 || id === 7 ? 0 : id)
    assert.deepEqual(
      taken.map(({ mediaId }) => age(mediaId)),
      [0, 0, 9, 8, 6, 5, 4, 2, 1],
    )
  })

  test('is due again a period after it was read, or an hour after it was found damaged', async (t) => {
    const store = await withArchived(t, 3)
    const { database } = store
    const take = () => takeForScrub(database, { limit: 9, periodMs: MONTH_MS })
    await store.sql`update strongroom.items set archived_at = archived_at - interval '60 days'`
    const all = await take()
    assert.deepEqual(mediaIds(all), [1, 2, 3])
    for (const file of all)
      await noteVerified(database, file, file.mediaId === 2 ? 'damaged' : null)
    assert.deepEqual(await take(), [])
    const [damaged, ...others] = await damagedFiles(database, 9)
    assert.partialDeepStrictEqual(damaged, {
      mediaId: 2,
      archivePath: 'folder/2.mp4',
      damage: 'damaged',
    })
    assert.deepEqual(others, [])
    await hoursPass(store, 2)
    const [again] = await take()
    assert.equal(again?.mediaId, 2)
    await noteVerified(database, again as ArchivedFile, null)
    assert.deepEqual(await damagedFiles(database, 9), [])
    await hoursPass(store, 721)
    assert.deepEqual(mediaIds(await take()), [1, 2, 3])
  })

  test('is damaged again ever more seldom, but once a day', async (t) => {
    const store = await withArchived(t, 1)
    const { database } = store
    const take = async () =>
      mediaIds(await takeForScrub(database, { limit: 9, periodMs: MONTH_MS }))
    await store.sql`update strongroom.items set damage = 'flipped', damaged_at = now() - interval '5 hours',
      verified_at = now() - interval '2 hours'`
    assert.deepEqual(await take(), [], 'it was known for three hours')
    await hoursPass(store, 2)
    assert.deepEqual(await take(), [1])
    await store.sql`update strongroom.items set damaged_at = now() - interval '9 days', scrub_until = null`
    assert.deepEqual(await take(), [])
    await hoursPass(store, 21)
    assert.deepEqual(await take(), [1])
    await store.sql`update strongroom.items set state = 'lost', scrub_until = null,
      verified_at = now() - interval '23 hours', damaged_at = verified_at`
    assert.deepEqual(await take(), [])
    await hoursPass(store, 2)
    assert.deepEqual(await take(), [1])
  })

  test('is due at once where the clock of the database was years ahead for a while', async (t) => {
    const store = await withArchived(t, 4)
    const { database, sql } = store
    const take = async () =>
      mediaIds(await takeForScrub(database, { limit: 9, periodMs: MONTH_MS }))
    await sql`update strongroom.items set verified_at = now() - interval '1 hour'`
    assert.deepEqual(await take(), [])
    const ahead = sql`now() + interval '10 years'`
    await sql`update strongroom.items set verified_at = ${ahead} where media_id = 1`
    await sql`update strongroom.items set verified_at = ${ahead}, damage = 'flipped', damaged_at = ${ahead} where media_id = 2`
    await sql`update strongroom.items set verified_at = null, archived_at = ${ahead}, scrub_until = ${ahead} where media_id = 3`
    assert.deepEqual(await take(), [1, 2, 3])
    assert.deepEqual(await take(), [])
  })

  test('is nothing that is not in the archive', async (t) => {
    const store = await withArchived(t, 2)
    await store.sql`update strongroom.items set state = 'held' where media_id = 1`
    const taken = await takeForScrub(store.database, { limit: 9, periodMs: 0 })
    assert.deepEqual(mediaIds(taken), [2])
    assert.equal(await archivedFile(store.database, 1), null)
  })
})

test('a reading is wanted of nothing that is in the archive no more', async (t) => {
  const store = await withArchived(t, 1)
  await store.sql`update strongroom.items set reading_wanted_at = now()`
  assert.equal(await isReadingWanted(store.database), true)
  await store.sql`update strongroom.items set state = 'moved'`
  assert.equal(await isReadingWanted(store.database), false)
})

test('what was read is not noted of a version that took its place meanwhile', async (t) => {
  const store = await withArchived(t, 1)
  const [file] = await takeForScrub(store.database, { limit: 1, periodMs: 0 })
  assert.ok(file)
  await noteVerified(store.database, { ...file, sha256: 'ef'.repeat(32) }, 'damaged')
  assert.deepEqual(await damagedFiles(store.database, 9), [])
})

test('all archived files are found page by page, or those of one medium, and summed up', async (t) => {
  const store = await withArchived(t, 5)
  const { database } = store
  const page = (after: number, mediaId: number | null = null) =>
    archivedFiles(database, { after, limit: 2, mediaId, share: 1 })
  const first = await page(0)
  const second = await page(first.at(-1)?.item ?? 0)
  assert.deepEqual([first, second].map(mediaIds), [
    [1, 2],
    [3, 4],
  ])
  assert.deepEqual(mediaIds(await page(0, 4)), [4])
  assert.deepEqual(await archivedTotal(database, null), { files: 5, bytes: 25 })
  assert.deepEqual(await archivedTotal(database, 4), { files: 1, bytes: 5 })
  const [due] = (await store.worker('b').claimDue(1, [])) as [DueItem | undefined]
  assert.equal(due, undefined, 'their grace is not over')
})
