import assert from 'node:assert/strict'
import { describe, type TestContext, test } from 'node:test'
import { damagedFiles } from '../../src/db/damaged.ts'
import { movedItems, noteSecondLook, takeSecondDue } from '../../src/db/second-files.ts'
import { moveFile } from '../../src/sync/move.ts'
import { type VerifySecondParts, verifySecond } from '../../src/sync/verify-second.ts'
import type { Medium } from '../support/media-rows.ts'
import { PREFIX, type Second, withReleased } from '../support/second.ts'
import { never, type Site } from '../support/worker.ts'

const DAY_MS = 86_400_000
const WEEK_MS = 7 * DAY_MS

interface Scene {
  site: Site
  second: Second
  media: Medium[]
  /** Of each medium, in the second bucket. */
  keys: string[]
  /** Looks at what is due; of each the medium's place in `media`, the verdict, and whether it was read. */
  look(readMs?: number): Promise<[number, string, boolean][]>
  /** What was asked for in the second bucket since this was called last. */
  asked(): string[]
  pass(days: number): Promise<void>
  configure(bucket: VerifySecondParts['bucket']): void
}

/** So many media, moved to the second bucket. */
async function withMoved(t: TestContext, count: number): Promise<Scene> {
  const { site, second, media } = await withReleased(t, { count })
  const keys: string[] = []
  for (const movable of await second.movable()) {
    assert.ok('bytes' in (await moveFile(second.parts, movable, never)))
    keys[media.findIndex(({ mediaId }) => mediaId === movable.mediaId)] =
      `${PREFIX}${movable.archivePath}`
  }
  const { database } = site
  const partsFor = (readMs: number): VerifySecondParts => ({
    bucket: configured,
    log: second.parts.log,
    next: () => takeSecondDue(database, { limit: 10, lookMs: WEEK_MS, readMs }),
    again: async (item) => (await movedItems(database, [item]))[0] ?? null,
    note: (item, look) => noteSecondLook(database, item, look),
    pace: async () => {},
  })
  let told = second.demo.server.requests.length
  let configured: VerifySecondParts['bucket'] = second.parts.bucket
  return {
    configure(bucket) {
      configured = bucket
    },
    site,
    second,
    media,
    keys,
    async look(readMs = 0) {
      const seen: [number, string, boolean][] = []
      for await (const { file, verdict, read } of verifySecond(partsFor(readMs), never))
        seen.push([media.findIndex(({ mediaId }) => mediaId === file.mediaId), verdict, read])
      return seen.sort(([a], [b]) => a - b)
    },
    asked() {
      const fresh = second.demo.server.requests.slice(told)
      told += fresh.length
      return fresh.map(({ operation }) => operation).sort()
    },
    async pass(days) {
      await site.sql`
        update strongroom.second_copies set verified_at = verified_at - ${days} * interval '1 day',
          looked_at = looked_at - ${days} * interval '1 day', look_until = look_until - ${days} * interval '1 day'`
    },
  }
}

describe('a look at what is in the second bucket', { concurrency: 2 }, () => {
  test('is due at once where the clock of the database was years ahead for a while', async (t) => {
    const { look, pass } = await withMoved(t, 1)
    await pass(-3_650)
    assert.deepEqual(await look(WEEK_MS), [[0, 'whole', true]])
    await pass(-3_650)
    assert.deepEqual(await look(), [[0, 'whole', false]])
    assert.deepEqual(await look(), [])
  })

  test('comes once a week, and fetches nothing but the sidecars', async (t) => {
    const { look, asked, pass } = await withMoved(t, 2)
    assert.deepEqual(await look(), [], 'just moved, and read back then')
    await pass(8)
    asked()
    assert.deepEqual(await look(), [
      [0, 'whole', false],
      [1, 'whole', false],
    ])
    const [head, get] = ['HeadObject', 'GetObject']
    assert.deepEqual(asked(), [get, get, head, head, head, head])
    await pass(6)
    assert.deepEqual(await look(), [])
    await pass(2)
    assert.equal((await look()).length, 2)
  })

  test('reads what was read longer ago than it is told, and what has another ETag', async (t) => {
    const { site, look, pass } = await withMoved(t, 2)
    await pass(3)
    await site.sql`update strongroom.second_copies set etag = 'another', looked_at = now() - interval '8 days'
      where item_id = (select max(item_id) from strongroom.second_copies)`
    const [[, verdict, read] = [], ...others] = await look()
    assert.deepEqual([verdict, read, others], ['whole', true, []])
    await pass(8)
    const seen = (await look()).map(([, found, whole]) => [found, whole])
    assert.deepEqual(seen, [
      ['whole', false],
      ['whole', false],
    ])
    assert.equal((await look(2 * DAY_MS)).filter(([, , whole]) => whole).length, 2)
    assert.deepEqual(await look(2 * DAY_MS), [])
  })

  test('notes what is wrong, looks at it again each day, and takes it back when it is well', async (t) => {
    const { site, second, media, keys, look, pass } = await withMoved(t, 4)
    const { admin } = second.demo
    const [gone = '', short = '', other = '', torn = ''] = keys
    const flipped = Buffer.from(media[2]?.bytes ?? [])
    flipped[9] = (flipped[9] ?? 0) ^ 1
    const sidecar = await second.parts.bucket.head(`${torn}.json`, never)
    assert.ok(sidecar)
    await admin.delete(gone)
    await admin.put(short, 'short')
    await admin.put(other, flipped)
    await admin.delete(`${torn}.json`)
    await pass(8)
    assert.deepEqual(await look(), [
      [0, 'missing', false],
      [1, 'differs', false],
      [2, 'differs', false],
      [3, 'sidecar', false],
    ])
    const damages = (await damagedFiles(site.database, 9)).map(({ damage }) => damage)
    assert.equal(damages.length, 4)
    for (const damage of damages)
      assert.match(damage, /^in the second bucket: (missing|differs|sidecar): /)
    assert.deepEqual(await look(), [], 'not again at once')
    await pass(1.1)
    assert.equal((await look()).length, 4)

    for (const [n, key] of [gone, short, other].entries())
      await admin.put(key, media[n]?.bytes ?? '')
    await pass(1.1)
    assert.deepEqual(await look(), [
      [0, 'whole', true],
      [1, 'whole', true],
      [2, 'whole', true],
      [3, 'sidecar', false],
    ])
    const [left, ...more] = await damagedFiles(site.database, 9)
    assert.equal(left?.mediaId, media[3]?.mediaId)
    assert.deepEqual(more, [])
  })

  test('tells of what is in a bucket that is configured no more, and asks another one for nothing', async (t) => {
    const { site, second, look, asked, pass, configure } = await withMoved(t, 1)
    const { bucket } = second.parts
    for (const [configured, id] of [
      [null, bucket.id],
      [bucket, 'https://former.example/copies'],
    ] as const) {
      await site.sql`update strongroom.second_copies set bucket_id = ${id}, trouble = null`
      await pass(8)
      configure(configured)
      asked()
      assert.deepEqual(await look(DAY_MS), [[0, 'elsewhere', false]])
      assert.deepEqual(asked(), [])
      const [{ damage = '' } = {}] = await damagedFiles(site.database, 9)
      assert.equal(
        damage,
        `in the second bucket: elsewhere: it is in ${id}, which SECOND_* does not name`,
      )
    }
    await site.sql`update strongroom.second_copies set bucket_id = ${bucket.id}`
    await pass(1.1)
    assert.deepEqual(await look(), [[0, 'whole', false]], 'its bytes were never in doubt')
    const gone = 'missing: there is no such object'
    await site.sql`update strongroom.second_copies set bucket_id = 'https://former.example/copies', trouble = ${gone}`
    await pass(1.1)
    assert.deepEqual(await look(), [[0, 'elsewhere', false]])
    const [known] = await damagedFiles(site.database, 9)
    assert.equal(known?.damage, `in the second bucket: ${gone}`, 'it is known to be so')
    await site.sql`update strongroom.second_copies set bucket_id = ${bucket.id}`
    await pass(1.1)
    assert.deepEqual(await look(), [[0, 'whole', true]])
    assert.deepEqual(await damagedFiles(site.database, 9), [])
  })

  test('leaves alone what another node has in hand, and what was brought back', async (t) => {
    const { site, look, pass } = await withMoved(t, 2)
    await pass(30)
    await site.sql`
      with copies as (select item_id, row_number() over (order by item_id) as n from strongroom.second_copies)
      update strongroom.second_copies s set
        look_until = case when n = 1 then now() + interval '1 minute' end,
        recalled_at = case when n = 2 then now() end
      from copies c where c.item_id = s.item_id`
    assert.deepEqual(await look(DAY_MS), [])
  })

  test('calls nothing wrong that one look in two found well', async (t) => {
    const { site, second, look, pass } = await withMoved(t, 1)
    await pass(8)
    let denied = 0
    second.fault = ({ operation }) =>
      operation === 'HeadObject' && denied++ === 0
        ? { kind: 'answer', status: 404, code: 'NoSuchKey' }
        : undefined
    assert.deepEqual(await look(), [[0, 'whole', false]])
    assert.ok(denied > 1)
    assert.deepEqual(await damagedFiles(site.database, 9), [])
  })

  test('tells of what the store fails to give although it answers otherwise, and goes on', async (t) => {
    const { site, second, keys, look, pass } = await withMoved(t, 3)
    await pass(8)
    second.fault = ({ key }) =>
      key === keys[1] ? { kind: 'answer', status: 500, code: 'InternalError' } : undefined
    assert.deepEqual(await look(), [
      [0, 'whole', false],
      [1, 'unreadable', false],
      [2, 'whole', false],
    ])
    const [{ damage = '' } = {}] = await damagedFiles(site.database, 9)
    assert.match(damage, /unreadable: the store fails for ".*" although it answers otherwise/)
  })

  test('takes it for an outage where the store fails for one after the other', async (t) => {
    const { second, look, pass } = await withMoved(t, 5)
    await pass(8)
    second.fault = ({ key }) =>
      key === null ? undefined : { kind: 'answer', status: 500, code: 'InternalError' }
    await assert.rejects(look(), { code: 'BUCKET_UNAVAILABLE' })
  })

  test('notes nothing while the bucket is away', async (t) => {
    const { site, second, look, pass } = await withMoved(t, 1)
    await pass(8)
    second.fault = () => ({ kind: 'answer', status: 403, code: 'AccessDenied' })
    await assert.rejects(look(), { code: 'BUCKET_DENIED' })
    assert.deepEqual(await damagedFiles(site.database, 9), [])
    second.fault = () => undefined
    assert.deepEqual(await look(), [], 'for an hour it is in hand')
    await pass(0.1)
    assert.deepEqual(await look(), [[0, 'whole', false]])
  })
})
