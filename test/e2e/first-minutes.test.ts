/**
 * Ten things that go wrong in the first ten minutes: wrong owner, unmounted path, missing variable, wrong secret, wrong
 * bucket or jurisdiction, database not reachable, missing column, port taken, no space, clock off. Here as `doctor` tells
 * them; what a run says is in bad-settings, bad-disk, volume and folders, unless it is below.
 */
import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { chmod } from 'node:fs/promises'
import { type AddressInfo, createServer } from 'node:net'
import { dirname } from 'node:path'
import { describe, type TestContext, test } from 'node:test'
import { openDatabase } from '../../src/db/connect.ts'
import { withDemoBucket } from '../support/demo-bucket.ts'
import { approveMedium, assertKept, statesOf } from '../support/media-rows.ts'
import { nobodyRefused, runAsNobody, startTalking } from '../support/program.ts'
import { mountsRefused, withVolume } from '../support/scopes.ts'
import { type Ended, type Env, type Service, story, withService } from '../support/service.ts'

const secret = 'a-secret-of-at-least-32-bytes-1234'

interface Expected {
  code: number
  fails: RegExp
  /** The first of the next steps. */
  next: RegExp
}

/** The lines of the numbered list at the end. */
function stepsOf({ stdout }: Ended): string[] {
  const [, list = ''] = /next[^\n]*:\n((?: {2}\d\. .*\n)+)$/.exec(stdout) ?? []
  return list.split('\n').flatMap((line) => /^ {2}\d\. (.*)$/.exec(line)?.[1] ?? [])
}

function assertTold(ended: Ended, { code, fails, next }: Expected): void {
  assert.equal(ended.code, code, story(ended))
  const failed = ended.stdout.split('\n').filter((line) => line.startsWith('FAIL '))
  assert.equal(failed.length, 1, `one line for one cause: ${story(ended)}`)
  assert.match(failed[0] ?? '', fails)
  const steps = stepsOf(ended)
  assert.equal(steps.length, 1, `one step for one cause: ${story(ended)}`)
  assert.match(steps[0] ?? '', next)
  assert.doesNotMatch(ended.stdout + ended.stderr, /internal error|^\s+at /m)
}

/** To be called when the database is gone, and with it what was granted there. */
async function dropRole({ database }: Service, role: string): Promise<void> {
  const server = openDatabase({ ...database, database: 'postgres' })
  await server.script(`drop role ${role}`)
  await server.close()
}

/** A program whose clock is `shiftMs` ahead of all others. */
function clockAhead(shiftMs: number): Env {
  const shifted = `const Real = Date
    globalThis.Date = class extends Real {
      constructor(...given) { given.length === 0 ? super(Real.now() + ${shiftMs}) : super(...given) }
      static now() { return Real.now() + ${shiftMs} }
    }`
  return { NODE_OPTIONS: `--import=data:text/javascript,${encodeURIComponent(shifted)}` }
}

async function takenPort(t: TestContext): Promise<string> {
  const other = createServer((socket) => void socket.end()).listen(0, '0.0.0.0')
  t.after(() => void other.close())
  await once(other, 'listening')
  return String((other.address() as AddressInfo).port)
}

const ofSettings: (Expected & { name: string; env: Env })[] = [
  {
    name: 'an archive on a path where nothing is mounted',
    env: { ARCHIVE_DIR: '/nowhere/archive' },
    code: 74,
    fails: /archive: ARCHIVE_DIR \/nowhere\/archive does not exist/,
    next: /^mount the archive there, or create the folder for a new one/,
  },
  {
    name: 'an archive that would go with its container',
    env: { ARCHIVE_DIR: '/nowhere/archive', REQUIRE_MOUNT: 'true' },
    code: 74,
    fails: /archive: ARCHIVE_DIR \/nowhere\/archive is on no mounted volume/,
    next: /^mount one; for a container/,
  },
  {
    name: 'a wrong database password',
    env: { DB_PASSWORD: 'this-is-not-it' },
    code: 77,
    fails: /database: the database at .* refuses user "strongroom"/,
    next: /^check DB_USER and DB_PASSWORD/,
  },
  {
    name: 'a wrong bucket secret',
    env: { R2_SECRET_KEY: 'this-is-not-it' },
    code: 77,
    fails: /bucket: bucket ".*" at http.* answered 403 SignatureDoesNotMatch/,
    next: /^Check R2_ACCESS_KEY, R2_SECRET_KEY/,
  },
  {
    name: 'a wrong bucket',
    env: { R2_BUCKET: 'nowhere' },
    code: 78,
    fails: /bucket: bucket "nowhere" at http.* answered 404/,
    next: /^Check R2_BUCKET and R2_ENDPOINT\. On R2 a bucket with a jurisdiction/,
  },
  {
    name: 'a database that is not reachable',
    env: { DB_PORT: '1' },
    code: 69,
    fails: /database: the database at 127\.0\.0\.1:1 cannot be reached/,
    next: /^check DB_HOST and DB_PORT, and that the database is running/,
  },
  {
    name: 'a missing column',
    env: { MEDIA_COLUMN_APPROVED_AT: 'accepted_on' },
    code: 78,
    fails: /table public\.media is missing or lacks accepted_on/,
    next: /MEDIA_COLUMN_….*alter table "public"."media" add column "accepted_on" timestamptz;$/,
  },
  {
    name: 'a column that is spelt otherwise',
    env: { MEDIA_COLUMN_DELETED_AT: 'Deleted_At' },
    code: 78,
    fails: /MEDIA_COLUMN_DELETED_AT=Deleted_At names no column of public\.media/,
    next: /^set MEDIA_COLUMN_DELETED_AT=deleted_at, if that column was meant$/,
  },
  {
    name: 'a table of another name',
    env: { MEDIA_TABLE: 'uploads' },
    code: 78,
    fails: /table uploads is missing or lacks id, /,
    next: /^name your own table in place of uploads with MEDIA_TABLE/,
  },
  {
    name: 'a missing ffprobe',
    env: { FFPROBE_PATH: '/nowhere/ffprobe' },
    code: 69,
    fails: /ffprobe: FFPROBE_PATH: \/nowhere\/ffprobe does not exist/,
    next: /apt install ffmpeg/,
  },
]

describe('in the first ten minutes doctor names the cause, once, with what to do', {
  concurrency: 2,
}, () => {
  test('of what is wrong in the settings', async (t) => {
    const service = await withService(t)
    for (const { name, env, ...expected } of ofSettings)
      await t.test(`${name} ends doctor with exit code ${expected.code}`, async () =>
        assertTold(await service.run(['doctor'], env), expected),
      )
  })

  test('a missing variable is named beside the misspelt one that was set', async (t) => {
    const service = await withService(t)
    for (const args of [['doctor'], ['sync', '--once'], ['start', '--role', 'sync']]) {
      const ended = await service.run(args, { DB_HOST: '', DB_HSOT: '127.0.0.1' })
      assert.equal(ended.code, 78, story(ended))
      assert.match(
        ended.stderr,
        /^strongroom: one setting is wrong:\n {2}DB_HOST is required but not set; .*\n {2}\(DB_HSOT is no setting and is ignored; was DB_HOST meant\?\)\n {2}docs/,
      )
    }
  })

  test('an archive of another owner is named with the chown that helps', {
    skip: nobodyRefused(),
  }, async (t) => {
    const service = await withService(t)
    const medium = await approveMedium(service)
    await chmod(dirname(service.archiveDir), 0o755)
    const remedy = `as root run: chown 99:100 ${service.archiveDir}`
    assertTold(await runAsNobody(['doctor'], service.env), {
      code: 74,
      fails: /archive: ARCHIVE_DIR .* belongs to 0:0, and 99:100 may not write there/,
      next: new RegExp(`^${remedy}$`),
    })
    const ended = await runAsNobody(['sync', '--once'], service.env)
    assert.equal(ended.code, 74, story(ended))
    assert.match(ended.stderr, /^strongroom: ARCHIVE_DIR .* belongs to 0:0, and 99:100 may not/m)
    assert.ok(ended.stderr.endsWith(`  ${remedy}\n`), story(ended))
    await assertKept(service, medium)
  })

  test('a port that is taken is named, unless Strongroom itself runs there', async (t) => {
    const service = await withService(t)
    const port = await takenPort(t)
    assertTold(await service.run(['doctor'], { SERVER_PORT: port }), {
      code: 69,
      fails: new RegExp(`ports: cannot listen on 0\\.0\\.0\\.0:${port} \\(EADDRINUSE\\)`),
      next: /SERVER_PORT or ADMIN_PORT/,
    })
    const own = { ...service.env, UNRAID_TUNNEL_SECRET: secret, LOG_LEVEL: 'info' }
    const ours = String(await startTalking(t, ['start', '--role', 'serve'], own).port('serve'))
    const ended = await service.run(['doctor'], { SERVER_PORT: ours })
    assert.equal(ended.code, 0, story(ended))
    assert.match(ended.stdout, new RegExp(`^ok   port ${ours}: Strongroom runs there$`, 'm'))
  })

  test('a full disk is named before the first file does', { skip: mountsRefused() }, async (t) => {
    const { folder } = await withVolume(t, 16 * 1024 * 1024)
    const service = await withService(t, { env: { ARCHIVE_DIR: folder } })
    assertTold(await service.run(['doctor']), {
      code: 74,
      fails: new RegExp(`archive: ${folder} has only 16\\.0 MiB free`),
      next: /^make room on that disk/,
    })
  })

  for (const [ahead, minutes] of [
    ['ahead of', 20],
    ['behind', -20],
  ] as const)
    test(`a clock 20 minutes ${ahead} the others is the cause of all that the bucket refuses`, async (t) => {
      const bucket = await withDemoBucket(t)
      const service = await withService(t, { bucket })
      const told = await service.run(['doctor'], clockAhead(minutes * 60_000))
      assert.equal(told.code, 69, story(told))
      assert.match(
        told.stdout,
        new RegExp(
          `^FAIL clock: this machine’s clock is (?:20:0\\d|19:5\\d) ${ahead} the database’s and the bucket’s .*refuses every request$`,
          'm',
        ),
      )
      assert.deepEqual(stepsOf(told), [
        'set the clock of that machine from the network (timedatectl set-ntp true, or chrony)',
      ])
    })

  test('a clock two minutes off is named for the links that it spoils', async (t) => {
    const service = await withService(t)
    assertTold(await service.run(['doctor'], clockAhead(120_000)), {
      code: 69,
      fails:
        /clock: this machine’s clock is (?:2:0\d|1:5\d) ahead of the database’s and the bucket’s .*; beyond a minute links open files/,
      next: /^set the clock of that machine/,
    })
  })
})

describe('a role that was only just made', { concurrency: 2 }, () => {
  test('is granted what doctor prints, and then migrates and archives', async (t) => {
    const service = await withService(t)
    const { sql } = service
    const role = `fresh_${randomBytes(8).toString('hex')}`
    await sql.unsafe(`create role ${role} login password 'fresh'`)
    t.after(() => dropRole(service, role))
    const env = { DB_USER: role, DB_PASSWORD: 'fresh', RELEASE_GRACE: '0' }
    const [medium] = await service.approve(1)
    assert.ok(medium)
    const told = await service.run(['doctor'], env)
    assert.equal(told.code, 77, story(told))
    const grants = told.stdout.match(/^ {4}grant .*;$/gm) ?? []
    assert.match(grants[0] ?? '', /grant create on database ".*" to "fresh_/)
    for (const statement of grants) await sql.unsafe(statement)
    const well = await service.run(['doctor'], env)
    assert.equal(well.code, 0, story(well))
    for (const args of [['migrate'], ['sync', '--once'], ['doctor']]) {
      const ended = await service.run(args, env)
      assert.equal(ended.code, 0, story(ended))
    }
    assert.deepEqual(await statesOf(service), { released: 1 })
  })

  test('may have no right to write for a dry run, and doctor only notes it', async (t) => {
    const service = await withService(t)
    const role = `reader_${randomBytes(8).toString('hex')}`
    await service.sql.unsafe(
      `create role ${role} login password 'fresh'; grant select on media to ${role}`,
    )
    t.after(() => dropRole(service, role))
    const env = { DB_USER: role, DB_PASSWORD: 'fresh', MODE: 'dry-run' }
    const ended = await service.run(['doctor'], env)
    assert.equal(ended.code, 0, story(ended))
    assert.match(ended.stdout, /^note role ".*" may not change public\.media$/m)
  })
})

test('doctor says before the first sync that there is no schema yet, and what makes it', async (t) => {
  const ended = await (await withService(t)).run(['doctor'])
  assert.equal(ended.code, 0, story(ended))
  assert.match(ended.stdout, /^note this database has no schema strongroom yet\n.* the first sync/m)
  assert.doesNotMatch(ended.stdout, /\.sql/)
})

test('what is asked for before the first sync is answered with the command that comes first', async (t) => {
  const service = await withService(t)
  for (const args of [
    ['token', '--media', '1'],
    ['release', 'status'],
    ['runs'],
    ['why', '1'],
    ['fsck'],
  ]) {
    const ended = await service.run(args, { UNRAID_TUNNEL_SECRET: secret })
    assert.equal(ended.code, 78, story(ended))
    assert.match(ended.stderr, /this database has no schema strongroom yet\n.*"strongroom migrate"/)
  }
})

test('an archive is not called unknown by a database that was not asked, nor offered to the wrong one', async (t) => {
  const service = await withService(t)
  await service.approve(1)
  const filled = await service.run(['sync', '--once'])
  assert.equal(filled.code, 0, story(filled))
  for (const env of [{ DB_PORT: '1' }, { DB_PASSWORD: 'wrong' }, { DB_NAME: 'nowhere' }]) {
    const ended = await service.run(['doctor'], env)
    assert.equal(ended.stdout.match(/^FAIL /gm)?.length, 1, story(ended))
    assert.match(ended.stdout, /^FAIL database: /m)
    assert.doesNotMatch(ended.stdout, /unknown to this database|accept-volume/)
  }
  const other = await service.run(['doctor'], { DB_NAME: 'postgres' })
  assert.match(other.stdout, /unknown to this database\n {4}check that DB_NAME is the database/)
})

describe('doctor ends with at most three next steps', { concurrency: 2 }, () => {
  test('those of a new user when all is well', async (t) => {
    const service = await withService(t)
    const ended = await service.run(['doctor'], { UNRAID_TUNNEL_SECRET: secret })
    assert.equal(ended.code, 0, story(ended))
    assert.match(ended.stdout, /^everything is as it must be; next:$/m)
    assert.deepEqual(
      stepsOf(ended).map((step) => step.split(':')[0]),
      ['strongroom sync --once --dry-run', 'strongroom start', 'strongroom token --media ID'],
    )
    const [first] = stepsOf(await service.run(['doctor']))
    assert.match(first ?? '', /^set UNRAID_TUNNEL_SECRET/)
  })

  test('the first three causes when more is wrong', async (t) => {
    const service = await withService(t)
    const ended = await service.run(['doctor'], {
      FFPROBE_PATH: '/nowhere/ffprobe',
      R2_ENDPOINT: 'http://127.0.0.1:1',
      DB_PORT: '1',
      ARCHIVE_DIR: '/nowhere/archive',
      SERVER_PORT: await takenPort(t),
    })
    assert.equal(ended.code, 69, story(ended))
    assert.equal(ended.stdout.match(/^FAIL /gm)?.length, 5, story(ended))
    const steps = stepsOf(ended)
    assert.equal(steps.length, 3)
    for (const [n, says] of [/FFPROBE_PATH/, /R2_ENDPOINT/, /DB_HOST and DB_PORT/].entries())
      assert.match(steps[n] ?? '', says)
  })

  test('with --compose standard output is the compose file alone', async (t) => {
    const service = await withService(t)
    const ended = await service.run(['doctor', '--compose'], { UNRAID_TUNNEL_SECRET: secret })
    assert.equal(ended.code, 0, story(ended))
    assert.match(ended.stdout, /^# Made by .*\n#.*\nservices:\n {2}strongroom:\n/)
    assert.ok(ended.stdout.includes(`source: "${service.archiveDir}"`))
    assert.ok(
      !ended.stdout.includes(secret) && !ended.stdout.includes(service.env.R2_SECRET_KEY ?? ' '),
    )
    assert.match(ended.stderr, /^ok {3}bucket .* answers$/m)
    assert.match(ended.stderr, /everything is as it must be/)
  })
})
