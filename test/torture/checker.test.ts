import assert from 'node:assert/strict'
import { cpSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import type { Upload } from '../support/checker.ts'
import { sha256Of } from '../support/media-rows.ts'
import { type Scope, withFolder } from '../support/scopes.ts'
import { type Service, story, withService } from '../support/service.ts'
import { type Checker, openChecker } from './checker.ts'
import { type Event, type Evidence, openEvidence, type StoredVersion } from './evidence.ts'
import { type Copy, deletion, FOREIGN, type Seeded, seeded, stored } from './violations.ts'

const OURS = ['media', 'audit_logs', 'strongroom.items', 'strongroom.archives'] as const

/** A good outcome: media 1 to 3 are released, 4 is rejected, 5 and 6 are archived with their grace running. */
interface Good {
  service: Service
  evidence: Evidence
  checker: Checker
}

describe('the independent checker of the torture run', () => {
  const cleanups: (() => unknown)[] = []
  const scope: Scope = { after: (step) => void cleanups.push(step as () => unknown) }
  let good: Good
  before(async () => {
    good = await goodOutcome(scope)
  })
  after(async () => {
    for (const step of cleanups.reverse()) await step()
  })

  test('finds nothing wrong with a good outcome', async () => {
    const { checker, evidence } = good
    assert.deepEqual(await checker.judge('instant', evidence.folder), [])
    assert.deepEqual(await checker.judge('settled', evidence.folder), [])
  })
  test('knows that what was deleted may be stored anew before anybody records it', async () => {
    const { folder, restore } = await spoilt(good, replacedAfterDelete)
    try {
      assert.deepEqual(await good.checker.judge('instant', folder), [])
    } finally {
      await restore()
    }
  })
  test('is shown each thing that it can find, and docs/safety.md tells of them all', () => {
    const source = readFileSync(join(import.meta.dirname, 'checker.py'), 'utf8')
    const names = new Set([...source.matchAll(/yield "([a-z-]+)"/g)].map(([, name]) => name))
    assert.deepEqual([...new Set(seeded.map(({ name }) => name))].sort(), [...names].sort())
    const page = readFileSync(join(import.meta.dirname, '../../docs/safety.md'), 'utf8')
    for (const name of names) assert.ok(page.includes(`\`${name}\``), `${name} is told of`)
    assert.ok(page.includes(`in ${seeded.length} ways`))
  })
  for (const { name, what, spoil, settled } of seeded) {
    test(`finds "${name}" when ${what}`, async () => {
      const { folder, restore } = await spoilt(good, spoil)
      try {
        const instant = await good.checker.judge('instant', folder)
        const found = settled ? await good.checker.judge('settled', folder) : instant
        assert.ok(
          found.some(([found]) => found === name),
          JSON.stringify(found, null, 1),
        )
        if (settled) assert.ok(!instant.some(([found]) => found === name), 'only once settled')
      } finally {
        await restore()
      }
    })
  }
})

/** Killed between DELETE and record; then the backend stored another version, which the next worker saw. */
async function replacedAfterDelete({ sql, events, listing, key }: Copy): Promise<void> {
  const fresh = { ...stored({ events }, 1), md5: 'e'.repeat(32), sha256: 'e'.repeat(64) }
  events.push(fresh)
  listing[key(1)] = fresh.md5
  await sql`update strongroom.items set state = 'source_differs' where media_id = 1`
  await sql`delete from audit_logs where media_id = 1 and action = 'source_deleted'`
  await sql`update media set status = 'approved', approved_at = clock_timestamp() where id = 1`
}

async function goodOutcome(t: Scope): Promise<Good> {
  const service = await withService(t)
  const { sql, archiveDir } = service
  await mkdir(join(archiveDir, 'old'))
  await writeFile(join(archiveDir, FOREIGN), 'mine')
  await service.approve(4, (n) => (n === 3 ? { bytes: Buffer.from('no media') } : undefined))
  const first = await service.run(['sync', '--once'], { RELEASE_GRACE: '0' })
  assert.equal(first.code, 0, story(first))
  await service.approve(2)
  const second = await service.run(['sync', '--once'], { RELEASE_GRACE: '1h' })
  assert.equal(second.code, 0, story(second))

  const evidence = await openEvidence(join(await withFolder(t), 'evidence'), service)
  for (const upload of service.uploads) evidence.note(versionOf(upload))
  for (const { key, md5, mediaId } of service.uploads)
    if (mediaId <= 3) evidence.note(deletion(key, md5))
  evidence.note({ what: 'foreign', path: FOREIGN, sha256: sha256Of(Buffer.from('mine')) })
  await evidence.list()
  await sql`create schema kept`
  // So that what the database refuses can be seeded, too.
  await sql`drop index strongroom.archives_only_one`
  await sql`alter table strongroom.items drop constraint items_archive_path_key`
  for (const table of OURS)
    await sql.unsafe(`create table kept.${table.replace('.', '_')} as table ${table}`)
  return { service, evidence, checker: openChecker(t) }
}

function versionOf({ key, mediaId, md5, sha256, sizeBytes, fate }: Upload): StoredVersion {
  const good = fate === 'archived'
  return { what: 'upload', key, media_id: mediaId, md5, sha256, bytes: sizeBytes, good }
}

async function spoilt(
  { service, evidence }: Good,
  spoil: Seeded['spoil'],
): Promise<{ folder: string; restore: () => Promise<void> }> {
  const { sql, uploads } = service
  const folder = `${evidence.folder}-spoilt`
  const archive = `${folder}/archive`
  cpSync(evidence.folder, folder, { recursive: true })
  cpSync(service.archiveDir, archive, { recursive: true })
  const about = JSON.parse(readFileSync(join(folder, 'world.json'), 'utf8')) as object
  const listing = JSON.parse(readFileSync(join(folder, 'listing.json'), 'utf8')) as Copy['listing']
  const lines = readFileSync(join(folder, 'events.jsonl'), 'utf8').trim().split('\n')
  const events = lines.map((line) => JSON.parse(line) as Event)
  const paths = new Map(
    (await sql<{ id: number; archive_path: string }[]>`select id, archive_path from media`).map(
      ({ id, archive_path }) => [id, archive_path],
    ),
  )
  await spoil({
    sql,
    archive,
    listing,
    events,
    path: (mediaId) => join(archive, paths.get(mediaId) ?? ''),
    key: (mediaId) => uploads[mediaId - 1]?.key ?? '',
  })
  writeFileSync(join(folder, 'world.json'), JSON.stringify({ ...about, archive }))
  writeFileSync(join(folder, 'listing.json'), JSON.stringify(listing))
  writeFileSync(join(folder, 'events.jsonl'), events.map((one) => JSON.stringify(one)).join('\n'))
  return {
    folder,
    async restore() {
      rmSync(folder, { recursive: true })
      for (const table of OURS) {
        await sql.unsafe(`delete from ${table}`)
        await sql.unsafe(
          `insert into ${table} overriding system value table kept.${table.replace('.', '_')}`,
        )
      }
    },
  }
}
