import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import { promisify } from 'node:util'
import { withArchived } from '../support/archived.ts'
import { photograph } from '../support/checker.ts'
import { withDemoBucket } from '../support/demo-bucket.ts'
import { connectionOf, withReader } from '../support/reader.ts'
import { type Service, story, withService } from '../support/service.ts'

const DRY = ['sync', '--once', '--dry-run', '--json']

/** Everything in the database as SQL text. */
async function dump(database: Service['database']): Promise<string> {
  const { stdout } = await promisify(execFile)('pg_dump', connectionOf(database), {
    env: { PATH: process.env.PATH, PGPASSWORD: database.password ?? '' },
    maxBuffer: 64 * 1024 * 1024,
  })
  // Newer versions frame each dump with a random word.
  return stdout.replace(/^\\(un)?restrict .*$/gm, '')
}

interface Line {
  media_id?: number
  would?: string
  dry_run?: boolean
  warnings?: { code: string; message: string }[]
}

function linesOf(stdout: string): Line[] {
  return stdout
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as Line)
}

describe('a dry run writes nothing anywhere', { concurrency: 2 }, () => {
  test('it needs no more than to read the media table and to ask the bucket', async (t) => {
    const readOnlyKey = { accessKey: 'reader', secretKey: 'reader-secret' }
    const demo = await withDemoBucket(t, { readOnlyKey })
    const service = await withService(t, { bucket: demo })
    const reader = await withReader(t, service)
    await service.approve(4, (n) => (n === 2 ? 'no object' : undefined))
    const before = { ...(await photograph(service)), dump: await dump(service.database) }
    const sent = demo.server.requests.length

    const ended = await service.run(DRY, {
      ...reader,
      R2_ACCESS_KEY: readOnlyKey.accessKey,
      R2_SECRET_KEY: readOnlyKey.secretKey,
    })
    assert.equal(ended.code, 0, story(ended))
    const lines = linesOf(ended.stdout)
    assert.deepEqual(
      lines.slice(0, -1).map(({ media_id, would }) => [media_id, would]),
      [
        [1, 'archive'],
        [2, 'archive'],
        [3, 'report-missing'],
        [4, 'archive'],
      ],
    )
    const { warnings, ...last } = lines.at(-1) ?? {}
    assert.deepEqual(last, { dry_run: true, archive: 3, 'report-missing': 1 })
    assert.deepEqual(
      warnings?.map(({ message }) => message.replaceAll(/role "\w+"/g, 'it')),
      [
        'it may not make the schema strongroom',
        'it may not change public.media, it may not add to public.audit_logs',
      ],
      'what a real run needs besides is told',
    )
    const operations = new Set(demo.server.requests.slice(sent).map(({ operation }) => operation))
    assert.deepEqual([...operations], ['HeadObject', 'ListObjectsV2'], 'not one object was read')
    const after = { ...(await photograph(service)), dump: await dump(service.database) }
    assert.deepEqual(after, before)
    assert.doesNotMatch(after.dump, /create schema/i, 'our schema was not made')
  })

  test('it says of each row of a half-done sync what is left to do, and changes no byte', async (t) => {
    const service = await withService(t)
    await service.approve(2)
    const first = await service.run(['sync', '--once'])
    assert.equal(first.code, 0, story(first))
    await service.approve(3, (n) => (n === 1 ? { bytes: Buffer.from('no media') } : undefined))
    const killed = await service.run(['sync', '--once'], {
      STRONGROOM_HALT: 'published:SIGKILL',
      SYNC_CONCURRENCY: '1',
    })
    assert.equal(killed.signal, 'SIGKILL', story(killed))
    const before = { ...(await photograph(service)), dump: await dump(service.database) }

    for (const [args, env] of [
      [DRY, {}],
      [['sync', '--once', '--json'], { MODE: 'dry-run' }],
    ] as const) {
      const ended = await service.run(args, env)
      assert.equal(ended.code, 0, story(ended))
      assert.deepEqual(linesOf(ended.stdout).at(-1), { dry_run: true, leave: 1, archive: 2 })
    }
    const after = { ...(await photograph(service)), dump: await dump(service.database) }
    assert.deepEqual(after, before)
  })

  test('a reader that leaves early, as head does, ends nothing with a stack trace', async (t) => {
    const service = await withService(t)
    await service.approve(20)
    const shell = [join(import.meta.dirname, '../../bin/strongroom'), ...DRY, '| head -n 1'].join(
      ' ',
    )
    const { stdout, stderr } = await promisify(execFile)('bash', ['-o', 'pipefail', '-c', shell], {
      env: service.env as NodeJS.ProcessEnv,
    })
    assert.equal(linesOf(stdout).length, 1)
    assert.doesNotMatch(stderr, /EPIPE| at /)
  })

  test('it works while there is no archive at ARCHIVE_DIR, and makes none', async (t) => {
    const service = await withService(t)
    await service.approve(1)
    const before = await photograph(service)
    const ARCHIVE_DIR = `${service.archiveDir}/not/there`
    const ended = await service.run(DRY, { ARCHIVE_DIR, ERROR_DIR: `${service.archiveDir}/nor` })
    assert.equal(ended.code, 0, story(ended))
    const { warnings, ...last } = linesOf(ended.stdout).at(-1) ?? {}
    assert.deepEqual(last, { dry_run: true, archive: 1 })
    assert.deepEqual(
      warnings?.map(({ code }) => code),
      ['VOLUME_MISSING'],
    )
    assert.deepEqual(await photograph(service), before)
  })

  test('it foretells that a row of which no sidecar could be written is held', async (t) => {
    const service = await withService(t)
    await service.approve(2)
    await service.sql`update media set approved_at = 'infinity' where id = 2`
    const foretold = linesOf((await service.run(DRY)).stdout)
    assert.deepEqual(
      foretold.slice(0, -1).map(({ media_id, would }) => [media_id, would]),
      [
        [1, 'archive'],
        [2, 'hold'],
      ],
    )
    const ended = await service.run(['sync', '--once', '--json'])
    const { items } = JSON.parse(ended.stdout) as { items: Record<string, number> }
    assert.deepEqual([items.archived, items.held], [1, 1], story(ended))
  })

  test('what would write is refused in MODE=dry-run', async (t) => {
    const service = await withService(t)
    const [medium] = await service.approve(2)
    const synced = await service.run(['sync', '--once'])
    assert.equal(synced.code, 0, story(synced))
    const [row] = await service.sql<{ path: string }[]>`
      select archive_path as path from strongroom.items where media_id = ${medium?.mediaId ?? 0}`
    const file = join(service.archiveDir, row?.path ?? '')
    await rm(file)
    await rm(`${file}.json`)
    await service.sql`update media set status = 'approved' where id = 2`
    const before = { ...(await photograph(service)), dump: await dump(service.database) }
    for (const args of [
      ['reconcile'],
      ['verify', '--repair'],
      ['fsck', '--repair'],
      ['fsck', '--relocate'],
      ['fsck', '--from-sidecars'],
      ['clean'],
      ['recall', '1'],
      ['release', 'pause'],
      ['release', 'resume'],
      ['token', 'revoke', 'a-jti'],
      ['init-volume'],
      ['accept-volume'],
      ['migrate'],
      ['retry', '1'],
      ['acknowledge', '1'],
      ['doctor', '--public-url', 'https://media.example.org'],
      ['adopt', '/etc/hostname', '--media-id', '9', '--user-id', '1', '--into', 'here'],
    ]) {
      const ended = await service.run(args, {
        MODE: 'dry-run',
        UNRAID_TUNNEL_SECRET: 'a-secret-of-at-least-32-bytes-1234',
      })
      assert.equal(ended.code, 78, `${args}: ${story(ended)}`)
      assert.match(ended.stderr, /MODE is dry-run, not live, and .*\n {2}set MODE=live/)
    }
    const adopted = await service.run(['adopt', '--from-database'], { MODE: 'dry-run' })
    assert.match(adopted.stdout, /nothing was written/, story(adopted))
    assert.deepEqual({ ...(await photograph(service)), dump: await dump(service.database) }, before)
  })

  test('verify reads and notes nothing in MODE=dry-run', async (t) => {
    const { service, paths, at } = await withArchived(t, 2)
    await rm(at(paths[0] ?? ''))
    const before = { ...(await photograph(service)), dump: await dump(service.database) }
    const ended = await service.run(['verify'], { MODE: 'dry-run' })
    assert.equal(ended.code, 74, story(ended))
    assert.match(ended.stdout, /^missing: media 1, /)
    assert.deepEqual({ ...(await photograph(service)), dump: await dump(service.database) }, before)
  })

  test('it ends with a warning for each thing that would stop a real run', async (t) => {
    const service = await withService(t)
    await service.approve(2, (n) => (n === 1 ? 'no object' : undefined))
    const dry = ['sync', '--once', '--dry-run']
    const blocked = { ARCHIVE_DIR: '/nowhere/archive', FFPROBE_PATH: '/nowhere/ffprobe' }
    const ended = await service.run(dry, blocked)
    assert.equal(ended.code, 0, story(ended))
    const lines = ended.stdout.trimEnd().split('\n')
    assert.match(
      lines[0] ?? '',
      /^media 1: would be archived as \d{4}\/\d\d\/1\/1\.\w+ \(\d+ bytes\)$/,
    )
    assert.match(lines[1] ?? '', /^media 2: would count as missing: the bucket has no object/)
    assert.equal(lines[2], 'dry run: 1 to archive, 1 missing in the bucket; nothing was written')
    assert.match(
      lines[3] ?? '',
      /^warning: a real run would stop: ARCHIVE_DIR \/nowhere\/archive does not exist; mount the archive/,
    )
    assert.match(lines[4] ?? '', /^warning: a real run would stop: FFPROBE_PATH: .*; [Ii]nstall/)
    assert.equal(lines.length, 5)

    const synced = await service.run(['sync', '--once'])
    assert.equal(synced.code, 75, story(synced))
    const well = await service.run(dry)
    assert.doesNotMatch(well.stdout, /warning/)
    await rm(join(service.archiveDir, '.strongroom'), { recursive: true })
    const unmounted = await service.run(dry)
    assert.match(
      unmounted.stdout,
      /^warning: a real run would stop: \S+ is not the archive: it has no marker \(expected [0-9a-f-]{36}\); mount/m,
    )
  })

  const setUps: {
    name: string
    code: number
    env?: Record<string, string>
    prepare: (service: Service) => Promise<unknown>
  }[] = [
    {
      name: 'an archive that this database does not know',
      code: 74,
      prepare: ({ sql }) => sql`drop schema strongroom cascade`,
    },
    {
      name: 'a schema of a newer version',
      code: 78,
      prepare: ({ sql }) => sql`insert into strongroom.migrations (name) values ('9999_of_it.sql')`,
    },
    {
      name: 'a schema that is not to be made at the start',
      code: 78,
      env: { MIGRATE_ON_START: 'false' },
      prepare: ({ sql }) => sql`delete from strongroom.migrations where name like '0001%'`,
    },
  ]
  for (const { name, code, env = {}, prepare } of setUps)
    test(`it foretells that ${name} would stop the run, in the very words`, async (t) => {
      const { service } = await withArchived(t, 1)
      await prepare(service)
      const foretold = linesOf((await service.run(DRY, env)).stdout).at(-1)?.warnings
      const ended = await service.run(['sync', '--once'], env)
      assert.equal(ended.code, code, story(ended))
      assert.equal(foretold?.length, 1)
      assert.ok(ended.stderr.includes(foretold[0]?.message ?? 'nothing'), foretold[0]?.message)
    })
})
