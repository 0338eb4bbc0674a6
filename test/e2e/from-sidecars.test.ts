import assert from 'node:assert/strict'
import { chmod, readdir, readFile, rename, truncate, utimes, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { describe, test } from 'node:test'
import { madeFile, makeArchive } from '../support/archive-of.ts'
import { withArchived } from '../support/archived.ts'
import { tree } from '../support/checker.ts'
import { withDemoBucket } from '../support/demo-bucket.ts'
import { type Installation, withInstallation } from '../support/installation.ts'
import { withGate } from '../support/locks.ts'
import { nobodyRefused, runAsNobody } from '../support/program.ts'
import type { Scope } from '../support/scopes.ts'
import { type Ended, type Service, story, withService } from '../support/service.ts'

/** 100,000 take some minutes, most of it to make them: STRONGROOM_TEST_SIDECARS=100000 node test/run.ts test/e2e/from-sidecars */
const SIDECARS = Number(process.env.STRONGROOM_TEST_SIDECARS ?? 5_000)
const REBUILD = ['fsck', '--from-sidecars', '--json']

/** An archive of many files, whose database was lost and has been made anew, empty; no bucket is configured. */
async function withLostDatabase(t: Scope, count: number): Promise<Installation> {
  const installation = await withInstallation(t)
  const { archiveDir, sql, run } = installation
  const made = await run('init-volume')
  assert.equal(made.code, 0, story(made))
  await sql`delete from strongroom.archives`
  await makeArchive(archiveDir, count)
  return installation
}

function summaryOf({ stdout }: Ended): Record<string, unknown> {
  return JSON.parse(stdout.trimEnd().split('\n').at(-1) ?? '') as Record<string, unknown>
}

describe('fsck --from-sidecars', { concurrency: 2 }, () => {
  test(`makes the catalogue of ${SIDECARS} files anew without reading one, also when it is killed on the way`, async (t) => {
    const { archiveDir, sql, start, run } = await withLostDatabase(t, SIDECARS)
    const refused = await run(...REBUILD)
    assert.equal(refused.code, 74, story(refused))
    assert.match(refused.stderr, /carries archive [0-9a-f-]{36}, which this database does not know/)
    assert.match(refused.stderr, /run "strongroom accept-volume"/)
    const accepted = await run('accept-volume')
    assert.equal(accepted.code, 0, story(accepted))

    const gate = await withGate(sql, 1)
    const killed = start(...REBUILD)
    await gate.reached
    await killed.stop('SIGKILL')
    await gate.open()

    const startedAt = performance.now()
    const ended = await run(...REBUILD)
    t.diagnostic(`${Math.round(performance.now() - startedAt)} ms`)
    assert.equal(ended.code, 0, story(ended))
    const { archived, known, refused: none } = summaryOf(ended)
    assert.equal(Number(archived) + Number(known), SIDECARS, story(ended))
    assert.ok(Number(known) > 0 && Number(archived) > 0, story(ended))
    assert.equal(none, 0)

    const items = await sql`
      select media_id, archive_path, state, etag, generation, approved_at, release_due > now() as later
      from strongroom.items order by media_id`
    assert.equal(items.length, SIDECARS)
    for (const id of [1, Math.ceil(SIDECARS / 2), SIDECARS]) {
      const { mediaId: media_id, archivePath: archive_path, etag, approvedAt } = madeFile(id)
      const known = { generation: 1, state: 'archived', later: true }
      const expected = { media_id, archive_path, etag, approved_at: approvedAt, ...known }
      assert.deepEqual({ ...items[id - 1] }, expected)
    }
    const [audited] = await sql`select count(*) from audit_logs where action = 'archived'`
    assert.equal(audited?.count, SIDECARS)
    const before = await tree(join(archiveDir, '.strongroom'))
    const clean = await run('fsck', '--json')
    assert.equal(clean.code, 0, story(clean))
    assert.equal(summaryOf(clean).items, SIDECARS)
    assert.deepEqual(await tree(join(archiveDir, '.strongroom')), before)
  })

  test('asks a slow database for a few hundred items at a time, which it makes before its time is up', async (t) => {
    const count = 1_000
    const { sql, run } = await withLostDatabase(t, count)
    await run('accept-volume')
    await sql.unsafe(`
      create function be_slow() returns trigger language plpgsql as $$ begin
        if (select count(*) from made) > 500 then
          raise 'canceling statement due to statement timeout' using errcode = 'query_canceled';
        end if;
        return null; end $$;
      create trigger be_slow after insert on strongroom.items referencing new table as made
        for each statement execute function be_slow()`)
    const ended = await run(...REBUILD)
    assert.equal(ended.code, 0, story(ended))
    assert.equal(summaryOf(ended).archived, count)
  })

  test('two runs at once make each item once', async (t) => {
    const count = 600
    const { sql, run } = await withLostDatabase(t, count)
    await run('accept-volume')
    const both = await Promise.all([run(...REBUILD), run(...REBUILD)])
    for (const ended of both) {
      assert.equal(ended.code, 0, story(ended))
      const { archived, known } = summaryOf(ended)
      assert.equal(Number(archived) + Number(known), count, story(ended))
    }
    const [items] = await sql`
      select count(*), count(distinct media_id) as media from strongroom.items where generation = 1`
    assert.deepEqual({ ...items }, { count, media: count })
    const [audited] = await sql`select count(*) from audit_logs`
    assert.equal(audited?.count, count)
  })

  test('says of each file what became of its source, and marks a media row only where key and ETag agree', async (t) => {
    const service = await withService(t)
    const { sql, admin } = service
    await service.approve(8)
    const first = await service.run(['sync', '--once'])
    assert.equal(first.code, 0, story(first))
    // The second is released, as its audit row says; of the third the source went without us.
    await sql`update strongroom.items set release_due = now() where media_id = 2`
    const second = await service.run(['sync', '--once'])
    assert.equal(second.code, 0, story(second))
    await admin.delete(keyOf(service, 3))
    await admin.put(keyOf(service, 4), Buffer.from('other bytes'))
    // An older archive of the backend's own rows: the fifth is approved anew, the sixth under another key.
    await sql`update media set status = 'approved' where id in (1, 4, 6)`
    await sql`update media set status = 'approved', approved_at = now() where id = 5`
    await sql`update media set object_key = 'uploads/other' where id = 6`
    const paths = await pathsOf(service)
    const at = (id: number) => join(service.archiveDir, paths.get(id) ?? '')
    await truncate(`${at(7)}.json`, 100)
    await rename(`${at(8)}.json`, `${at(8)}.moved`)
    await writeFile(join(service.archiveDir, 'foreign.mp4'), 'nobody knows it')
    const before = await tree(service.archiveDir)
    await sql`drop schema strongroom cascade`

    const plain = await service.run(['fsck'])
    assert.equal(plain.code, 78, story(plain))
    assert.match(plain.stderr, /run "strongroom migrate"/)
    const accepted = await service.run(['accept-volume'])
    assert.equal(accepted.code, 0, story(accepted))
    const unlisted = await service.run(['fsck', '--json'])
    assert.equal(unlisted.code, 75, story(unlisted))
    assert.equal(summaryOf(unlisted).unlisted, 6)
    const ended = await service.run(REBUILD)
    assert.equal(ended.code, 75, story(ended))
    const { archived, released, source_differs, refused, marked, kept, known } = summaryOf(ended)
    assert.deepEqual(
      { archived, released, source_differs, refused, marked, kept, known },
      { archived: 3, released: 2, source_differs: 1, refused: 1, marked: 2, kept: 0, known: 0 },
    )
    assert.match(ended.stdout, new RegExp(`"outcome":"refused","archive_path":"${paths.get(7)}"`))
    const states = await sql<{ media_id: number; state: string; status: string }[]>`
      select media_id, state, status from strongroom.items join media m on m.id = media_id order by media_id`
    assert.deepEqual(
      states.map((row) => [row.media_id, row.state, row.status]),
      [
        [1, 'archived', 'archived'],
        [2, 'released', 'archived'],
        [3, 'released', 'archived'],
        [4, 'source_differs', 'approved'],
        [5, 'archived', 'archived'],
        [6, 'archived', 'approved'],
      ],
    )
    assert.deepEqual(await tree(service.archiveDir), before, 'no file was touched')
    const again = await service.run(REBUILD)
    assert.deepEqual(
      { ...summaryOf(again), stopped: false },
      { ...summaryOf(ended), archived: 0, released: 0, source_differs: 0, marked: 0, known: 6 },
    )

    // From here on all is as it was: what is due is read again and released, the sixth has nothing to fetch.
    await sql`update strongroom.items set release_due = now() where media_id in (1, 5)`
    const last = await service.run(['sync', '--once', '--json'])
    assert.equal(last.code, 75, story(last))
    const objects = await admin.list()
    for (const id of [1, 5])
      assert.ok(!objects.includes(keyOf(service, id)), `source ${id} is gone`)
    for (const id of [4, 6]) assert.ok(objects.includes(keyOf(service, id)), `source ${id} is kept`)
  })

  test('names a folder that it may not read, and ends with 75', {
    skip: nobodyRefused(),
  }, async (t) => {
    const { archiveDir, env, run } = await withLostDatabase(t, 3)
    await run('accept-volume')
    await chmod(archiveDir, 0o755)
    const closed = dirname(madeFile(2).archivePath)
    await chmod(join(archiveDir, closed), 0o700)
    const ended = await runAsNobody(REBUILD, env)
    assert.equal(ended.code, 75, story(ended))
    const { archived, refused } = summaryOf(ended)
    assert.deepEqual({ archived, refused }, { archived: 2, refused: 1 })
    assert.match(ended.stdout, new RegExp(`"archive_path":"${closed}"`))
  })

  test('sources that are all gone mean another bucket, until a person says otherwise', async (t) => {
    const service = await withService(t, { bucket: await withDemoBucket(t) })
    const { sql } = service
    await service.approve(25)
    const synced = await service.run(['sync', '--once'], { RELEASE_GRACE: '0' })
    assert.equal(synced.code, 0, story(synced))
    await sql`drop schema strongroom cascade`
    await sql`delete from audit_logs`
    await service.run(['accept-volume'])
    const refused = await service.run(REBUILD)
    assert.equal(refused.code, 74, story(refused))
    assert.match(refused.stderr, /25 sources were looked for and none is in bucket/)
    assert.match(refused.stderr, /--confirm/)
    const [none] = await sql`select count(*) from strongroom.items`
    assert.equal(none?.count, 0)
    const confirmed = await service.run([...REBUILD, '--confirm'])
    assert.equal(confirmed.code, 0, story(confirmed))
    assert.equal(summaryOf(confirmed).released, 25)
  })

  test('the newest approval is the newest generation, in whatever order sidecars are found', async (t) => {
    const service = await withService(t, { env: { ARCHIVE_LAYOUT: '{sha256_2}/{sha256}.{ext}' } })
    const { sql } = service
    await service.approve(10)
    const first = await service.run(['sync', '--once'])
    assert.equal(first.code, 0, story(first))
    // Another upload of its kind three times: a generation each, in folders that tell nothing of their order.
    for (let n = 1; n <= 3; n++) {
      await sql`
        update media set status = 'approved', approved_at = now(), file_size = null,
          object_key = (select object_key from strongroom.items where media_id = ${1 + 3 * n} and generation = 1)
        where id = 1`
      const next = await service.run(['sync', '--once'])
      assert.equal(next.code, 0, story(next))
    }
    const newest = () => sql<{ path: string }[]>`
      select archive_path as path from strongroom.items where media_id = 1 order by generation`
    const before = await newest()
    assert.equal(before.length, 4)
    await sql`drop schema strongroom cascade`
    await service.run(['accept-volume'])
    const ended = await service.run(REBUILD)
    assert.equal(ended.code, 0, story(ended))
    assert.deepEqual([...(await newest())], [...before])
    const idle = await service.run(['sync', '--once', '--json'])
    assert.equal(idle.code, 0, story(idle))
  })

  test('leaves the last bytes of a file that was lost before: they are no other item’s', async (t) => {
    const bucket = await withDemoBucket(t)
    const { service, paths, at } = await withArchived(t, 2, { bucket })
    const { sql, run, admin, uploads } = service
    const [path = ''] = paths
    const aside = at('.strongroom/quarantine')
    // One bit flips, and the source is gone.
    const bytes = await readFile(at(path))
    bytes.writeUInt8(bytes.readUInt8() ^ 1)
    await writeFile(at(path), bytes)
    await admin.delete(uploads[0]?.key ?? '')
    await run(['verify', '--repair'])
    for (const name of await readdir(aside, { recursive: true }))
      await utimes(join(aside, name), 0, 0)
    const before = await tree(aside)
    assert.ok(Object.keys(before).some((name) => name.endsWith('.png')))

    await sql`drop schema strongroom cascade`
    for (const args of [['accept-volume'], ['fsck', '--from-sidecars', '--confirm']]) {
      const ended = await run(args)
      assert.equal(ended.code, 0, story(ended))
    }
    const [item] = await sql`select id, media_id from strongroom.items`
    assert.deepEqual({ ...item }, { id: 1, media_id: 2 }, 'its number is another’s now')
    const env = { FREE_SPACE_CLEAN: 'quarantine', FREE_SPACE_MIN: '90%' }
    const planned = await run(['clean', '--dry-run'], env)
    assert.match(planned.stdout, /item 1 is of another medium/, story(planned))
    await run(['clean'], env)
    assert.deepEqual(await tree(aside), before)
  })
})

function keyOf({ uploads }: Service, mediaId: number): string {
  return uploads.find((upload) => upload.mediaId === mediaId)?.key ?? assert.fail()
}

async function pathsOf({ sql }: Service): Promise<Map<number, string>> {
  const rows = await sql<{ id: number; path: string }[]>`
    select media_id as id, archive_path as path from strongroom.items`
  return new Map(rows.map(({ id, path }) => [id, path]))
}
