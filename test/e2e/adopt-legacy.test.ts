import assert from 'node:assert/strict'
import { mkdir, readFile, symlink, unlink, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { test } from 'node:test'
import { MARKER_PATH } from '../../src/archive-path.ts'
import { mediaKinds } from '../../src/media.ts'
import { parseSidecar } from '../../src/sidecar.ts'
import { film, sha256, tree } from '../support/adoption.ts'
import { type Installation, withInstallation } from '../support/installation.ts'
import { withGate } from '../support/locks.ts'
import { uniqueMedia, uniqueMediaTypes } from '../support/media-files.ts'
import type { TestSql } from '../support/postgres.ts'
import { fileUrl, tokenFor } from '../support/program.ts'
import type { Scope } from '../support/scopes.ts'
import { story, withService } from '../support/service.ts'

/** 10,000 take some minutes: STRONGROOM_TEST_LEGACY_FILES=10000 node test/run.ts test/e2e/adopt-legacy */
const FILES = Number(process.env.STRONGROOM_TEST_LEGACY_FILES ?? 60)
const ADOPT = ['adopt', '--from-database']
const secret = 'a-secret-of-at-least-32-bytes-1234'

interface Legacy extends Installation {
  put(path: string, bytes: Buffer | string): Promise<void>
  /** A row as the service before us left it; `more` are its columns. */
  row(id: number, archivePath: string | null, more?: Record<string, unknown>): Promise<void>
  /** Everything in the backend's tables. */
  backend(): Promise<string>
}

/** Tables and an archive that another service filled; no bucket is configured. */
async function withLegacy(t: Scope): Promise<Legacy> {
  const serving = { SERVER_PORT: '0', UNRAID_TUNNEL_SECRET: secret }
  const installation = await withInstallation(t, serving)
  const { archiveDir, sql } = installation
  return {
    ...installation,
    async put(path, bytes) {
      await mkdir(dirname(join(archiveDir, path)), { recursive: true })
      await writeFile(join(archiveDir, path), bytes)
    },
    row: (id, archivePath, more = {}) => insertRow(sql, { id, archive_path: archivePath, ...more }),
    async backend() {
      const [all] = await sql<{ rows: string }[]>`
        select coalesce(json_agg(m order by id), '[]')::text || (select count(*) from audit_logs) as rows from media m`
      return all?.rows ?? ''
    },
  }
}

async function insertRow(sql: TestSql, more: Record<string, unknown>): Promise<void> {
  const columns = {
    user_id: 7,
    title: `Title ${more.id}`,
    filename: `film ${more.id}.mp4`,
    content_type: 'video',
    object_key: `uploads/${more.id}.mp4`,
    status: 'archived',
    approved_at: new Date('2024-05-06T07:08:09.123Z'),
    ...more,
  }
  await sql`insert into media ${sql(columns)}`
}

test(`${FILES} files of the old service are adopted where they lie, also by a run that is killed and started again`, async (t) => {
  const { archiveDir, sql, put, row, start, run, backend } = await withLegacy(t)
  const fileOf = (id: number) => {
    const kind = mediaKinds[id % mediaKinds.length] ?? 'image'
    const path = `2024/${id % 12}/${id}.${uniqueMediaTypes[kind].extension}`
    return { kind, path, bytes: uniqueMedia(kind, id) }
  }
  const ids = Array.from({ length: FILES }, (_, n) => n + 1)
  for (const id of ids) {
    const { kind, path, bytes } = fileOf(id)
    await put(path, bytes)
    const facts = { content_type: kind, file_size: bytes.length }
    await row(id, path, id % 2 === 0 ? facts : { ...facts, checksum_sha256: sha256(bytes) })
  }
  const before = { tree: await tree(archiveDir), backend: await backend() }

  await run('migrate')
  const gate = await withGate(sql, FILES / 4)
  const killed = start(...ADOPT)
  await gate.reached
  assert.notEqual((await killed.stop('SIGKILL')).code, 0, 'it was at work still')
  await gate.open()
  const again = await run(...ADOPT)
  assert.equal(again.code, 0, story(again))
  const [, fresh, already] =
    /^(\d+) adopted, (\d+) already, 0 missing, 0 mismatched, 0 refused\n$/.exec(again.stdout) ?? []
  assert.equal(Number(fresh) + Number(already), FILES, story(again))
  assert.ok(Number(already) >= FILES / 4, 'what the killed run recorded is not read again')

  assert.equal(await backend(), before.backend, 'the backend’s tables are as they were')
  const after = await tree(archiveDir)
  for (const [path, facts] of Object.entries(before.tree)) assert.equal(after[path], facts, path)
  const added = Object.keys(after).filter((path) => !(path in before.tree))
  const sidecars = ids.map((id) => `${fileOf(id).path}.json`)
  const others = added.filter((path) => !sidecars.includes(path))
  // The killed run may have been writing one for each file that it had in hand.
  assert.ok(others.length <= 1 + 8, others.join())
  assert.ok(others.every((path) => path === MARKER_PATH || path.includes('/tmp/adopt-')))
  const items = await sql<
    { media_id: number; archive_path: string; sha256: string; state: string }[]
  >`
    select media_id, archive_path, sha256, state from strongroom.items order by media_id`
  assert.equal(items.length, FILES)
  for (const [n, item] of items.entries()) {
    const { path, bytes, kind } = fileOf(n + 1)
    assert.deepEqual(
      { ...item },
      { media_id: n + 1, archive_path: path, sha256: sha256(bytes), state: 'kept' },
    )
    const sidecar = parseSidecar(await readFile(join(archiveDir, `${path}.json`)))
    assert.deepEqual(
      [sidecar.media_id, sidecar.sha256, sidecar.content_type, sidecar.source?.key],
      [n + 1, sha256(bytes), kind, `uploads/${n + 1}.mp4`],
    )
  }

  const program = start('start', '--role', 'serve')
  const port = await program.port('serve')
  for (const id of [1, Math.ceil(FILES / 2), FILES]) {
    const { path, bytes } = fileOf(id)
    const token = tokenFor(secret, { media_id: id })
    const old = await fetch(`http://127.0.0.1:${port}/${path}?token=${token}`)
    assert.equal(old.status, 200, 'the old link works')
    assert.deepEqual(Buffer.from(await old.arrayBuffer()), bytes)
    assert.equal((await fetch(fileUrl(port, path, token))).status, 200)
  }
  await program.stop()
})

test('what cannot be adopted is named with its reason, and nothing else is held up by it', async (t) => {
  const legacy = await withLegacy(t)
  const { archiveDir, sql, put, row, run, backend } = legacy
  await fillWithTroubles(legacy)
  const before = { tree: await tree(archiveDir), backend: await backend() }

  const dry = await run(...ADOPT, '--dry-run')
  assert.equal(dry.code, 75, story(dry))
  assert.match(dry.stdout, /missing {4}media 10 at gone\.mp4: gone\.mp4 does not exist\n/)
  assert.match(
    dry.stdout,
    /adopted {4}media 3 at \/slashed\.mp4: it has \d+ bytes, its row says 1\n/,
  )
  assert.match(dry.stdout, /would be: 8 adopted, 0 already, 1 missing, 1 mismatched, 6 refused /)
  assert.deepEqual(await tree(archiveDir), before.tree, 'a dry run writes nothing')
  const [ours] = await sql<
    { n: string }[]
  >`select count(*) as n from pg_namespace where nspname = 'strongroom'`
  assert.equal(Number(ours?.n), 0, 'and makes no schema')

  const real = await run(...ADOPT)
  assert.equal(real.code, 75, story(real))
  for (const line of [
    /missing {4}media 10 at gone\.mp4: /,
    /mismatched media 11 at rotten\.mp4: the SHA-256 of rotten\.mp4 is [0-9a-f]{64}, and not f{64}/,
    /mismatched media 12 at foreign\.mp4: foreign\.mp4\.json is there already and is no sidecar/,
    /mismatched media (?:6|13) at twice\.mp4: .*media (?:6|13)/,
    /refused {4}media 14 at link\.mp4: /,
    /refused {4}media 15 at \.hidden\.mp4: .* begins with a dot/,
    /refused {4}media 16 at list\.json: /,
    /refused {4}media 22: its row says archived, and not where\n/,
    /refused {4}media 24: its row says archived, and not where\n/,
    /refused {4}media 23 at never\.mp4: .*time of approval must lie between 1970 and 9999/,
    /adopted {4}media 3 at \/slashed\.mp4: it has \d+ bytes, its row says 1\n/,
    /adopted {4}media 4 at page\.html: served as application\/octet-stream: /,
    /\n6 adopted, 0 already, 1 missing, 3 mismatched, 6 refused\n$/,
  ])
    assert.match(real.stdout, line)
  assert.equal(await backend(), before.backend)
  const items = await sql<{ media_id: number; archive_path: string; object_key: string }[]>`
    select media_id, archive_path, object_key from strongroom.items order by media_id`
  assert.deepEqual(
    items
      .filter(({ archive_path: path }) => path !== 'twice.mp4')
      .map((item) => Object.values(item).join(' ')),
    [
      '1 whole/path.mp4 uploads/1.mp4',
      '2 dotted.mp4 uploads/2.mp4',
      '3 slashed.mp4 uploads/3.mp4',
      '4 page.html uploads/4.mp4',
      '5 bare.mp4 ',
    ],
  )

  const again = await run(...ADOPT, '--json')
  assert.equal(again.code, 75, story(again))
  const summary = JSON.parse(again.stdout.trim().split('\n').at(-1) ?? '')
  assert.deepEqual(summary, {
    dry_run: false,
    adopted: 0,
    already: 6,
    missing: 1,
    mismatched: 3,
    refused: 6,
  })
  await put('gone.mp4', film)
  await row(17, 'late.mp4')
  await put('late.mp4', film)
  const mended = await run(...ADOPT)
  assert.match(mended.stdout, /\n2 adopted, 6 already, 0 missing, 3 mismatched, 6 refused\n$/)
})

async function fillWithTroubles({ archiveDir, sql, put, row }: Legacy): Promise<void> {
  for (const path of [
    'whole/path.mp4',
    'dotted.mp4',
    'slashed.mp4',
    'bare.mp4',
    'twice.mp4',
    'rotten.mp4',
    'foreign.mp4',
    '.hidden.mp4',
    'list.json',
    'deleted.mp4',
    'pending.mp4',
    'never.mp4',
  ])
    await put(path, film)
  await put('page.html', '<!doctype html>')
  await put('foreign.mp4.json', '{"of":"another program"}')
  await symlink(join(archiveDir, 'bare.mp4'), join(archiveDir, 'link.mp4'))
  await row(1, join(archiveDir, 'whole/path.mp4'))
  await row(2, './dotted.mp4', { checksum_sha256: sha256(film).toUpperCase() })
  await row(3, '/slashed.mp4', { file_size: 1 })
  await row(4, 'page.html')
  const nothing = {
    user_id: null,
    title: null,
    filename: null,
    content_type: null,
    approved_at: null,
  }
  await row(5, 'bare.mp4', { ...nothing, object_key: '', checksum_sha256: '' })
  await row(6, 'twice.mp4')
  await row(10, 'gone.mp4')
  await row(11, 'rotten.mp4', { checksum_sha256: 'f'.repeat(64) })
  await row(12, 'foreign.mp4')
  await row(13, 'twice.mp4')
  await row(14, 'link.mp4')
  await row(15, '.hidden.mp4')
  await row(16, 'list.json')
  await row(20, 'deleted.mp4', { deleted_at: new Date() })
  await row(21, 'pending.mp4', { status: 'pending' })
  await row(22, '')
  await row(23, 'never.mp4')
  await row(24, null)
  await sql`update media set approved_at = 'infinity' where id = 23`
}

test('an archive that is not mounted misses no file, and its files keep their state', async (t) => {
  const { archiveDir, put, row, run } = await withLegacy(t)
  await put('a.mp4', film)
  await row(1, 'a.mp4')
  assert.equal((await run(...ADOPT)).code, 0)
  await row(2, 'b.mp4')
  await unlink(join(archiveDir, MARKER_PATH))
  const ended = await run(...ADOPT)
  assert.equal(ended.code, 74, story(ended))
  assert.doesNotMatch(ended.stdout, /missing/)
})

test('tables that do not say where the files lie are refused with the setting that can', async (t) => {
  const { sql, run } = await withLegacy(t)
  await sql`alter table media drop column archive_path`
  const ended = await run(...ADOPT)
  assert.equal(ended.code, 78, story(ended))
  assert.match(ended.stderr, /media\.archive_path.*\n.*MEDIA_COLUMN_ARCHIVE_PATH/)
})

test('the source of an adopted file is never released, and a row approved again is archived as it was', async (t) => {
  const service = await withService(t, { env: { RELEASE_GRACE: '0' } })
  await mkdir(join(service.archiveDir, 'old'))
  await writeFile(join(service.archiveDir, 'old/1.mp4'), film)
  await service.admin.put('uploads/1.mp4', film, { ContentType: 'video/mp4' })
  await insertRow(service.sql, { id: 1, archive_path: 'old/1.mp4' })
  const adopted = await service.run(ADOPT)
  assert.equal(adopted.code, 0, story(adopted))
  await service.sql`update media set status = 'approved' where id = 1`
  for (const _ of ['once', 'again']) {
    const ended = await service.run(['sync', '--once'])
    assert.equal(ended.code, 0, story(ended))
  }
  const [row] = await service.sql<{ status: string; archive_path: string }[]>`
    select status, archive_path from media where id = 1`
  assert.deepEqual({ ...row }, { status: 'archived', archive_path: 'old/1.mp4' })
  const items = await service.sql<{ state: string }[]>`select state from strongroom.items`
  assert.deepEqual(
    items.map(({ state }) => state),
    ['kept'],
  )
  assert.deepEqual(await service.admin.list(), ['uploads/1.mp4'])
  const verified = await service.run(['verify'])
  assert.equal(verified.code, 0, story(verified))
})
