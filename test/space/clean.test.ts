import assert from 'node:assert/strict'
import {
  appendFile,
  copyFile,
  link,
  mkdir,
  readdir,
  rename,
  symlink,
  unlink,
  utimes,
  writeFile,
} from 'node:fs/promises'
import { join } from 'node:path'
import { describe, type TestContext, test } from 'node:test'
import { openBackend } from '../../src/db/backend.ts'
import { AppError } from '../../src/errors.ts'
import { createStopStack } from '../../src/lifecycle.ts'
import { createLogTail } from '../../src/log-tail.ts'
import { openCleaning } from '../../src/open/cleaning.ts'
import type { CleanParts } from '../../src/space/clean.ts'
import { type CleanableDisk, cleanDisk, createMakeRoom, planDisk } from '../../src/space/cleaner.ts'
import type { SpaceState } from '../../src/sync/space.ts'
import { tree } from '../support/checker.ts'
import { parse } from '../support/config.ts'
import { approveMedium, type Medium } from '../support/media-rows.ts'
import {
  letReadingsAge,
  never,
  openWorker,
  type Site,
  type Worker,
  withSite,
} from '../support/worker.ts'

const GIB = 2 ** 30
const HOUR_MS = 3_600_000

/** As if so much were wanted that everything had to go. */
const low: SpaceState = {
  freeBytes: 0,
  totalBytes: 1000 * GIB,
  reservedBytes: 0,
  minBytes: GIB,
  neededBytes: 0,
  low: true,
}

interface Scene {
  site: Site
  worker: Worker
  rejected: Medium
  withdrawn: Medium
  /** Archived, rotten once and healed: its bad copy lies in quarantine. */
  healed: Medium
  disk(areas: string, state?: Partial<SpaceState>): Promise<CleanableDisk<CleanParts>>
  /** Everything that lies there has done so for so long. */
  age(hours: number): Promise<void>
  /** What lies in both folders, by the paths of the plans. */
  lies(): Promise<string[]>
}

/** An archive in which each kind of thing was set aside by the program itself. */
async function withSetAside(t: TestContext): Promise<Scene> {
  const site = await withSite(t)
  const { sql, database } = site
  let withdrawing = 0
  const worker = await openWorker(t, site, {
    releaseGraceMs: HOUR_MS,
    async reached(point, item) {
      if (point !== 'published' || item.id !== withdrawing) return
      await sql`update media set status = 'pending' where id = (select media_id from strongroom.items where id = ${item.id})`
    },
  })
  const rejected = await approveMedium(site, { bytes: Buffer.from('no picture') })
  const healed = await approveMedium(site)
  await worker.sync()
  const withdrawn = await approveMedium(site)
  withdrawing = 3
  await worker.sync()
  const [row] = await sql<{ archive_path: string }[]>`
    select archive_path from strongroom.items where media_id = ${healed.mediaId}`
  await appendFile(join(site.archiveDir, row?.archive_path ?? ''), 'rot')
  await letReadingsAge(site)
  assert.equal((await worker.scrub()).healed, 1)
  const program = {
    version: '0',
    searchPath: undefined,
    logTail: createLogTail(),
    log: worker.parts.log,
    stops: createStopStack(worker.parts),
    reached: () => {},
  }
  t.after(() => program.stops.stopAll())
  const backend = await openBackend(database, parse().backend)
  return {
    site,
    worker,
    rejected,
    withdrawn,
    healed,
    async disk(areas, state = {}) {
      const config = parse({ FREE_SPACE_CLEAN: areas, FREE_SPACE_CLEAN_AGE: '24h' })
      const service = { ...worker.parts, database, backend, secondBucket: null }
      const [disk] = openCleaning(config, program, service)
      assert.ok(disk)
      return { ...disk, state: async () => ({ ...low, ...state }) }
    },
    async age(hours) {
      const then = new Date(Date.now() - hours * HOUR_MS)
      for (const root of [join(site.archiveDir, '.strongroom'), site.errorDir])
        for (const name of await readdir(root, { recursive: true }))
          await utimes(join(root, name), then, then).catch(() => {}) // a link that leads nowhere
      await sql`update strongroom.items set updated_at = ${then}`
    },
    async lies() {
      const kept = Object.keys(await tree(join(site.archiveDir, '.strongroom')))
      return [
        ...kept.filter((path) => /^(?:withdrawn|quarantine)\//.test(path)),
        ...Object.keys(await tree(site.errorDir)),
      ].sort()
    },
  }
}

async function cleanAll(disk: CleanableDisk<CleanParts>) {
  const planned = await planDisk(disk)
  return { plan: planned.plan, done: await cleanDisk(planned, { signal: never }) }
}

describe('cleaning', { concurrency: 2 }, () => {
  test('removes what is named, once it is old enough, enters each file, and nothing else', async (t) => {
    const scene = await withSetAside(t)
    const { site } = scene
    const before = await tree(site.archiveDir)
    const own = await scene.lies()
    const files = own.filter((path) => !/^[a-z]+\/[^/]+$/.test(path))
    assert.equal(files.length, 6, `copy and report, twice file and sidecar: ${own}`)
    await writeFile(join(site.errorDir, 'notes.txt'), 'a person wrote this')
    await symlink('/etc/passwd', join(site.errorDir, '1-1.1-link'))
    await writeFile(join(site.errorDir, '999-999.1-other.jpg'), 'of another database')
    for (const file of ['1-1.1-link', '999-999.1-other.jpg'])
      await writeFile(join(site.errorDir, `${file}.report.json`), JSON.stringify({ file }))
    await mkdir(join(site.archiveDir, '.strongroom/withdrawn/mine'))
    await writeFile(join(site.archiveDir, '.strongroom/quarantine/readme'), 'a person wrote this')
    const strangers = (await scene.lies()).filter((path) => !own.includes(path))

    await scene.age(23)
    const all = await scene.disk('errors,withdrawn,quarantine')
    assert.deepEqual((await cleanAll(all)).plan.remove, [])
    await scene.age(25)
    const { plan, done } = await cleanAll(all)
    assert.deepEqual(plan.remove.map(({ unit }) => unit.shelf.area).sort(), [
      'errors',
      'quarantine',
      'withdrawn',
    ])
    assert.deepEqual(plan.keep.map(({ path }) => path.split('/').at(-1)).sort(), [
      '1-1.1-link',
      '999-999.1-other.jpg',
      'mine',
      'notes.txt',
      'readme',
    ])
    assert.equal(done.files, 6)
    assert.equal(done.bytes, plan.freesBytes)
    assert.deepEqual(await scene.lies(), strangers)
    const entered = await site.sql<{ path: string; outcome: string; media_id: string }[]>`
      select path, outcome, media_id from strongroom.removals where ended_at is not null`
    const removed = entered.map(({ path }) => path.replace('.strongroom/', '')).sort()
    assert.deepEqual(removed, files)
    assert.ok(entered.every(({ outcome }) => outcome === 'removed'))
    const after = await tree(site.archiveDir)
    const gone = Object.keys(before).filter((path) => !(path in after))
    assert.ok(
      gone.every((path) => own.includes(path.replace('.strongroom/', ''))),
      String(gone),
    )
    assert.deepEqual(await readdir(join(site.archiveDir, '.strongroom/quarantine')), ['readme'])
    assert.deepEqual(await readdir(join(site.archiveDir, '.strongroom/withdrawn')), ['mine'])
    assert.deepEqual(scene.worker.parts.leases.held(), [])
  })

  test('removes only what is named, and no more than is wanted, the oldest first', async (t) => {
    const scene = await withSetAside(t)
    await scene.age(48)
    const none = await scene.disk('')
    assert.deepEqual((await cleanAll(none)).plan.keep, [])
    const { plan } = await cleanAll(await scene.disk('errors'))
    assert.deepEqual(
      plan.remove.map(({ unit }) => unit.shelf.area),
      ['errors'],
    )
    const [first] = await readdir(join(scene.site.archiveDir, '.strongroom/quarantine'))
    const older = new Date(Date.now() - 99 * HOUR_MS)
    const folder = join(scene.site.archiveDir, '.strongroom/quarantine', first ?? '')
    for (const name of await readdir(folder)) await utimes(join(folder, name), older, older)
    await utimes(folder, older, older)
    const little = await scene.disk('withdrawn,quarantine', { freeBytes: 10 * GIB - 1 })
    const next = await planDisk({ ...little, targetOf: () => 10 * GIB })
    assert.deepEqual(
      next.plan.remove.map(({ unit }) => unit.shelf.area),
      ['quarantine'],
    )
    assert.deepEqual(
      next.plan.keep.map(({ reason }) => reason),
      ['enough would be free without it'],
    )
    const met = await planDisk({ ...little, targetOf: () => 10 * GIB - 1 })
    assert.deepEqual([met.plan.remove, met.plan.wantedBytes], [[], 0])
  })

  test('leaves all that somebody may still need, and says why', async (t) => {
    const scene = await withSetAside(t)
    const { site, withdrawn, healed, rejected } = scene
    const { sql } = site
    await scene.age(48)
    const disk = await scene.disk('errors,withdrawn,quarantine')
    const lies = (await scene.lies()).find((path) => /^quarantine.*\.json$/.test(path))
    const sidecar = join(site.archiveDir, '.strongroom', lies ?? '')
    const stays = async (area: string, why: RegExp) => {
      const { plan } = await planDisk(disk)
      const kept = plan.keep.find(({ path }) => path.includes(area))
      assert.match(kept?.reason ?? 'it goes', why)
    }
    const copyGone = (
      mediaId: number,
      sizeBytes: number,
      trouble = 'missing: there is no such object',
    ) => sql`
      insert into strongroom.second_copies (item_id, bucket_id, key, etag, size_bytes, sha256, verified_at, trouble)
      select id, 'b', 'k', 'e', ${sizeBytes}, 's', now(), ${trouble}
      from strongroom.items where media_id = ${mediaId} order by generation desc limit 1`
    const inTurn: [
      area: string,
      why: RegExp,
      spoil: () => Promise<unknown>,
      undo: () => Promise<unknown>,
    ][] = [
      [
        'withdrawn',
        /media row is approved again/,
        () => sql`update media set status = 'approved' where id = ${withdrawn.mediaId}`,
        () => sql`update media set status = 'pending' where id = ${withdrawn.mediaId}`,
      ],
      [
        'withdrawn',
        /its item is withdrawing/,
        () =>
          sql`update strongroom.items set state = 'withdrawing' where media_id = ${withdrawn.mediaId}`,
        () =>
          sql`update strongroom.items set state = 'withdrawn' where media_id = ${withdrawn.mediaId}`,
      ],
      [
        'quarantine',
        /archived file is damaged/,
        () =>
          sql`update strongroom.items set damage = 'bad', size_bytes = 1 where media_id = ${healed.mediaId}`,
        () =>
          sql`update strongroom.items set damage = null, size_bytes = ${healed.bytes.length} where media_id = ${healed.mediaId}`,
      ],
      [
        'quarantine',
        /its item is lost/,
        () =>
          sql`update strongroom.items set state = 'lost', size_bytes = 1 where media_id = ${healed.mediaId}`,
        () =>
          sql`update strongroom.items set state = 'archived', size_bytes = ${healed.bytes.length} where media_id = ${healed.mediaId}`,
      ],
      [
        'withdrawn',
        /very size is lost or damaged/,
        () =>
          sql`update strongroom.items set damage = 'bad', size_bytes = ${withdrawn.bytes.length} where media_id = ${healed.mediaId}`,
        () =>
          sql`update strongroom.items set damage = null, size_bytes = ${healed.bytes.length} where media_id = ${healed.mediaId}`,
      ],
      [
        'quarantine',
        /a worker has its item in hand/,
        () =>
          sql`update strongroom.items set lease_until = now() + interval '1 hour' where media_id = ${healed.mediaId}`,
        () =>
          sql`update strongroom.items set lease_until = null where media_id = ${healed.mediaId}`,
      ],
      // As after a loss of the database, when items are counted anew.
      [
        'quarantine',
        /^item 2 is of another medium$/,
        () => sql`update strongroom.items set media_id = 77 where media_id = ${healed.mediaId}`,
        () => sql`update strongroom.items set media_id = ${healed.mediaId} where media_id = 77`,
      ],
      [
        'quarantine',
        /^item 2 is of another file$/,
        () =>
          sql`update strongroom.items set sha256 = reverse(sha256) where media_id = ${healed.mediaId}`,
        () =>
          sql`update strongroom.items set sha256 = reverse(sha256) where media_id = ${healed.mediaId}`,
      ],
      [
        'quarantine',
        /^no sidecar beside it says what it is$/,
        () => rename(sidecar, `${sidecar}.away`),
        () => rename(`${sidecar}.away`, sidecar).then(() => scene.age(48)),
      ],
      [
        'withdrawn',
        /another version of the medium/,
        () =>
          sql`update strongroom.items set media_id = ${withdrawn.mediaId}, generation = 9, state = 'missing' where media_id = ${rejected.mediaId}`,
        () =>
          sql`update strongroom.items set media_id = ${rejected.mediaId}, generation = 1, state = 'rejected' where generation = 9`,
      ],
      [
        'withdrawn',
        /another version of the medium/,
        async () => {
          await sql`update strongroom.items set media_id = ${withdrawn.mediaId}, generation = 9, state = 'moved' where media_id = ${rejected.mediaId}`
          await copyGone(withdrawn.mediaId, 1)
        },
        async () => {
          await sql`update strongroom.items set media_id = ${rejected.mediaId}, generation = 1, state = 'rejected' where generation = 9`
          await sql`delete from strongroom.second_copies`
        },
      ],
      [
        'withdrawn',
        /very size is lost or damaged/,
        () => copyGone(healed.mediaId, withdrawn.bytes.length),
        () => sql`delete from strongroom.second_copies`,
      ],
      // Of a former bucket nothing is known to be wrong.
      [
        'withdrawn',
        /^it goes$/,
        () => copyGone(healed.mediaId, withdrawn.bytes.length, 'elsewhere: it is in a, which …'),
        () => sql`delete from strongroom.second_copies`,
      ],
      [
        `${rejected.mediaId}-1.1-`,
        /of another medium/,
        () => sql`update strongroom.items set media_id = 77 where media_id = ${rejected.mediaId}`,
        () => sql`update strongroom.items set media_id = ${rejected.mediaId} where media_id = 77`,
      ],
    ]
    for (const [area, why, spoil, undo] of inTurn) {
      await spoil()
      await stays(area, why)
      await undo()
    }
    const [copy = ''] = (await readdir(site.errorDir)).filter((name) => !name.endsWith('.json'))
    await link(join(site.errorDir, copy), join(site.errorDir, 'another name'))
    await stays(copy, /another name elsewhere/)
    await unlink(join(site.errorDir, 'another name'))
    assert.equal((await planDisk(disk)).plan.remove.length, 3, 'with all that undone they go')
  })

  test('takes no archived file for a rejected copy, whatever its uploader called it', async (t) => {
    const scene = await withSetAside(t)
    const { errorDir, archiveDir, sql } = scene.site
    const [row] = await sql<{ archive_path: string }[]>`
      select archive_path from strongroom.items where media_id = ${scene.healed.mediaId}`
    // As where ARCHIVE_LAYOUT files into ERROR_DIR: each file with its sidecar.
    const named = `${scene.rejected.mediaId}-1.1-holiday.png`
    for (const name of [named, `${named}.report`])
      for (const ending of ['', '.json'])
        await copyFile(
          join(archiveDir, `${row?.archive_path}${ending}`),
          join(errorDir, name + ending),
        )
    await scene.age(48)
    await cleanAll(await scene.disk('errors'))
    const left = [named, `${named}.json`, `${named}.report`, `${named}.report.json`]
    assert.deepEqual((await readdir(errorDir)).sort(), left)
  })

  test('keeps what is in quarantine where the archived file turns out to be bad', async (t) => {
    const scene = await withSetAside(t)
    const { site, healed } = scene
    await scene.age(48)
    const [row] = await site.sql<{ archive_path: string }[]>`
      select archive_path from strongroom.items where media_id = ${healed.mediaId}`
    await appendFile(join(site.archiveDir, row?.archive_path ?? ''), 'rotten again')
    const before = await scene.lies()
    const { done } = await cleanAll(await scene.disk('quarantine'))
    assert.deepEqual(
      done.kept.map(({ reason }) => reason),
      ['its archived file is not whole, or in hand'],
    )
    assert.deepEqual(await scene.lies(), before)
    const [noted] = await site.sql<{ damage: string | null; lease_owner: string | null }[]>`
      select damage, lease_owner from strongroom.items where media_id = ${healed.mediaId}`
    assert.match(noted?.damage ?? '', /no longer has the bytes/)
    assert.equal(noted?.lease_owner, null)
  })

  test('keeps what the disk gives no report or sidecar of, and goes on with all others', async (t) => {
    const scene = await withSetAside(t)
    await scene.age(48)
    const disk = await scene.disk('errors,withdrawn,quarantine')
    const shelves = disk.parts.shelves.map(({ disk, ...shelf }) => {
      const read: typeof disk.read = (path, most) => {
        if (shelf.area === 'withdrawn') return disk.read(path, most)
        throw new AppError('DISK_SICK', 'one bad sector')
      }
      return { ...shelf, disk: { ...disk, read } }
    })
    const { plan } = await planDisk({ ...disk, parts: { ...disk.parts, shelves } })
    assert.deepEqual(
      plan.remove.map(({ unit }) => unit.shelf.area),
      ['withdrawn'],
    )
    assert.deepEqual(plan.keep.map(({ reason }) => reason).sort(), [
      'no report of Strongroom’s lies beside it',
      'no sidecar beside it says what it is',
    ])
  })

  test('looks again before it removes: what changed since the plan stays', async (t) => {
    const scene = await withSetAside(t)
    const { site, withdrawn } = scene
    await scene.age(48)
    const disk = await scene.disk('errors,withdrawn')
    const planned = await planDisk(disk)
    const [copy = ''] = (await readdir(site.errorDir)).filter((name) => !name.endsWith('.json'))
    await appendFile(join(site.errorDir, copy), 'a person works on it')
    await site.sql`update media set status = 'approved' where id = ${withdrawn.mediaId}`
    const done = await cleanDisk(planned, { signal: never })
    assert.deepEqual(done.kept.map(({ reason }) => reason).sort(), [
      'its media row is approved again',
      'somebody wrote to it meanwhile',
    ])
    assert.ok((await readdir(site.errorDir)).includes(copy))
    const ends = await site.sql<
      { outcome: string }[]
    >`select outcome from strongroom.removals order by id`
    assert.deepEqual(
      ends.map(({ outcome }) => outcome),
      ['changed', 'removed'],
    )
  })

  test('removes nothing while the archive is away or the database cannot be told', async (t) => {
    const scene = await withSetAside(t)
    await scene.age(48)
    const disk = await scene.disk('errors,withdrawn,quarantine')
    const planned = await planDisk(disk)
    const before = await scene.lies()
    const refuse = (code: 'VOLUME_MISSING' | 'DB_UNAVAILABLE') => async () => {
      throw new AppError(code, 'away')
    }
    for (const away of [
      { verify: refuse('VOLUME_MISSING') },
      { begin: refuse('DB_UNAVAILABLE') },
    ]) {
      const parts = { ...disk.parts, ...away }
      await assert.rejects(cleanDisk({ ...planned, disk: { ...disk, parts } }, { signal: never }))
      assert.deepEqual(await scene.lies(), before)
    }
  })

  test('is tried when there is too little room, and after it was in vain not for a while', async (t) => {
    const scene = await withSetAside(t)
    const clock = { ms: 0 }
    let looks = 0
    const disk = await scene.disk('errors')
    const state = async () => {
      looks += 1
      return low
    }
    const makeRoom = createMakeRoom([{ ...disk, state }], { signal: never, now: () => clock.ms })
    await Promise.all([makeRoom(), makeRoom()])
    const first = looks
    await makeRoom()
    assert.equal(looks, first, 'nothing is old enough yet')
    await scene.age(48)
    clock.ms = 10 * 60_000
    await makeRoom()
    assert.deepEqual(await readdir(scene.site.errorDir), [])
  })

  test('takes the age of a withdrawn item from the clock of the database alone', async (t) => {
    const scene = await withSetAside(t)
    const disk = await scene.disk('withdrawn')
    const ahead = () => new Date(Date.now() + 9000 * HOUR_MS)
    const { plan } = await planDisk({ ...disk, parts: { ...disk.parts, now: ahead } })
    assert.deepEqual(plan.remove, [])
    assert.match(plan.keep[0]?.reason ?? '', /lain there only since/)
  })

  test('takes what a download needs besides what is to stay free', async (t) => {
    const scene = await withSetAside(t)
    await scene.age(48)
    const needed = { freeBytes: 10 * GIB, neededBytes: 9 * GIB + 1 }
    const { plan } = await planDisk(await scene.disk('errors', needed))
    assert.deepEqual([plan.wantedBytes, plan.remove.length], [1, 1])
  })
})
