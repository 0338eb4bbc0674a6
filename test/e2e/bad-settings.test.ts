import assert from 'node:assert/strict'
import { once } from 'node:events'
import { type AddressInfo, createServer } from 'node:net'
import { describe, test } from 'node:test'
import {
  approveMedium,
  assertArchived,
  assertKept,
  itemOf,
  mediaRows,
} from '../support/media-rows.ts'
import { type Ended, type Env, logOf, story, withService } from '../support/service.ts'

interface Expected {
  code: number
  says: RegExp
  remedy: RegExp
}

/** One clear error on standard error before any work: its sentence, its remedy, no stack, nothing else. */
function assertRefused(ended: Ended, { code, says, remedy }: Expected): void {
  assert.equal(ended.code, code, story(ended))
  assert.equal(ended.stdout, '', 'an error is no result')
  const lines = ended.stderr.split('\n').filter((line) => line !== '' && !line.startsWith('{'))
  assert.match(lines[0] ?? '', /^strongroom: /)
  assert.equal(lines.filter((line) => line.startsWith('strongroom: ')).length, 1, ended.stderr)
  assert.match(lines.join('\n'), says)
  assert.match(lines.at(-1) ?? '', remedy)
  assert.doesNotMatch(ended.stderr, /^\s+at |internal error/m)
}

/** A run that an outage ended: the same, as the one error in the log. */
function assertStopped(ended: Ended, { code, says, remedy }: Expected): void {
  assert.equal(ended.code, code, story(ended))
  const [error, ...more] = logOf(ended).filter(({ level }) => level === 'error')
  assert.deepEqual(more, [], 'one error for one cause')
  const sentence = error?.error?.message ?? ''
  assert.equal(ended.stderr.split(JSON.stringify(sentence).slice(1, -1)).length, 2, ended.stderr)
  assert.equal(ended.stdout.split(sentence).length, 2, 'once in the log, once in the summary')
  assert.match(error?.error?.message ?? '', says)
  assert.match(error?.error?.hint ?? '', remedy)
  assert.match(ended.stdout, says, 'the person who started it by hand is told as well')
}

const refusals: (Expected & { name: string; env: Env })[] = [
  {
    name: 'a missing variable',
    env: { DB_HOST: '' },
    code: 78,
    says: /DB_HOST is required but not set; for example DB_HOST=/,
    remedy: /docs\/configuration\.md/,
  },
  {
    name: 'shadow mode without a folder for it',
    env: { MODE: 'shadow' },
    code: 78,
    says: /SHADOW_DIR is required by MODE=shadow; for example SHADOW_DIR=/,
    remedy: /docs\/configuration\.md/,
  },
  {
    name: 'a wrong database password',
    env: { DB_PASSWORD: 'this-is-not-it' },
    code: 77,
    says: /database at 127\.0\.0\.1:\d+ refuses user "strongroom"/,
    remedy: /DB_PASSWORD/,
  },
  {
    name: 'a database that is not reachable',
    env: { DB_PORT: '1' },
    code: 69,
    says: /database at 127\.0\.0\.1:1 cannot be reached/,
    remedy: /DB_HOST and DB_PORT/,
  },
  {
    name: 'a database that does not exist',
    env: { DB_NAME: 'nowhere' },
    code: 78,
    says: /there is no database "nowhere" at 127\.0\.0\.1/,
    remedy: /DB_NAME/,
  },
  {
    name: 'a missing column',
    env: { MEDIA_COLUMN_APPROVED_AT: 'accepted_on' },
    code: 78,
    says: /media\.accepted_on/,
    remedy: /strongroom doctor.*MEDIA_COLUMN_/,
  },
  {
    name: 'a missing table',
    env: { AUDIT_TABLE: 'app.journal' },
    code: 78,
    says: /app\.journal/,
    remedy: /strongroom doctor.*AUDIT_/,
  },
  {
    name: 'a missing ffprobe',
    env: { FFPROBE_PATH: '/nowhere/ffprobe' },
    code: 69,
    says: /FFPROBE_PATH: \/nowhere\/ffprobe does not exist/,
    remedy: /install ffmpeg/,
  },
  {
    name: 'a program that is not ffprobe',
    env: { FFPROBE_PATH: '/bin/true' },
    code: 69,
    says: /FFPROBE_PATH: \/bin\/true does not answer like ffprobe/,
    remedy: /install ffmpeg/,
  },
  {
    name: 'an ARCHIVE_DIR that is not there',
    env: { ARCHIVE_DIR: '/nowhere/archive' },
    code: 74,
    says: /ARCHIVE_DIR \/nowhere\/archive does not exist/,
    remedy: /mkdir -p \/nowhere\/archive/,
  },
]

const outages: (Expected & { name: string; env: Env })[] = [
  {
    name: 'a bucket that does not exist',
    env: { R2_BUCKET: 'nowhere' },
    code: 78,
    says: /bucket "nowhere" at .* answered 404/,
    remedy: /R2_BUCKET.*jurisdiction/,
  },
  {
    name: 'a wrong bucket secret',
    env: { R2_SECRET_KEY: 'this-is-not-it' },
    code: 77,
    says: /answered 403 SignatureDoesNotMatch/,
    remedy: /R2_SECRET_KEY/,
  },
  {
    name: 'an unknown access key',
    env: { R2_ACCESS_KEY: 'this:is-not-it' },
    code: 77,
    says: /answered 403/,
    remedy: /R2_ACCESS_KEY/,
  },
  {
    name: 'a bucket endpoint where nothing listens',
    env: { R2_ENDPOINT: 'http://127.0.0.1:1' },
    code: 69,
    says: /http:\/\/127\.0\.0\.1:1.*cannot be reached/,
    remedy: /R2_ENDPOINT/,
  },
]

describe('what is wrong with the settings is said once, with its remedy', {
  concurrency: 2,
}, () => {
  test('what cannot be started ends at once and touches nothing', async (t) => {
    const service = await withService(t, { env: { LOG_LEVEL: 'info' } })
    const medium = await approveMedium(service)
    const before = await mediaRows(service)
    for (const { name, env, ...expected } of refusals) {
      await t.test(`${name} ends a sync with exit code ${expected.code}`, async () => {
        assertRefused(await service.run(['sync', '--once'], env), expected)
        assert.deepEqual(await mediaRows(service), before)
      })
    }
    await assertKept(service, medium)
  })

  test('an outage of the bucket burns no attempt, and the next run goes on', async (t) => {
    const service = await withService(t, { env: { LOG_LEVEL: 'info', SYNC_CONCURRENCY: '1' } })
    const media = [await approveMedium(service), await approveMedium(service)]
    for (const { name, env, ...expected } of outages) {
      await t.test(`${name} stops a run with exit code ${expected.code}`, async () => {
        assertStopped(await service.run(['sync', '--once'], env), expected)
        for (const medium of media) {
          await assertKept(service, medium)
          const { state, attempts, lease_owner: owner } = await itemOf(service, medium.mediaId)
          assert.deepEqual([state, attempts, owner], ['waiting', 0, null])
        }
      })
    }
    const mended = await service.run(['sync', '--once'])
    assert.equal(mended.code, 0, story(mended))
    for (const medium of media) await assertArchived(service, medium)
  })

  test('all wrong settings are named at once, and no secret with them', async (t) => {
    const service = await withService(t)
    const ended = await service.run(['sync', '--once'], {
      DB_PORT: 'five',
      RELEASE_GRACE: 'soon',
      R2_BUCKET: '',
      UNRAID_TUNNEL_SECRET: 'tooshort-hush',
    })
    assertRefused(ended, { code: 78, says: /4 settings are wrong/, remedy: /strongroom config/ })
    for (const name of ['DB_PORT', 'RELEASE_GRACE', 'R2_BUCKET', 'UNRAID_TUNNEL_SECRET'])
      assert.match(ended.stderr, new RegExp(`^  ${name} `, 'm'))
    assert.doesNotMatch(ended.stderr, /hush/)
  })

  test('no error shows a password or key', async (t) => {
    const service = await withService(t)
    await approveMedium(service)
    for (const env of [
      { DB_PASSWORD: 'hush-password' },
      { DATABASE_URL: `postgres://strongroom:hush-url@127.0.0.1:${service.database.port}/app` },
      { R2_SECRET_KEY: 'hush-secret', R2_ACCESS_KEY: 'hush:key' },
    ]) {
      const ended = await service.run(['sync', '--once'], env)
      assert.equal(ended.code, 77, story(ended))
      assert.doesNotMatch(ended.stderr + ended.stdout, /hush/)
    }
  })

  test('an unknown command or flag is wrong usage, exit code 64', async (t) => {
    const service = await withService(t)
    for (const [args, help] of [
      [['snyc'], 'strongroom --help'],
      [['sync'], 'strongroom sync --help'],
      [['sync', '--once', '--fast'], 'strongroom sync --help'],
      [['token', '--media', '0'], 'strongroom token --help'],
      [['release', 'pause', '--why'], 'strongroom release pause --help'],
    ] as const) {
      const ended = await service.run(args)
      assert.equal(ended.code, 64, story(ended))
      const [error, hint] = ended.stderr
        .trimEnd()
        .split('\n')
        .filter((line) => !/^\(/.test(line))
      assert.match(error ?? '', /^strongroom: /)
      assert.ok(hint?.startsWith(`  "${help}" `), ended.stderr)
    }
    const listed = await service.run(['release', '--help'])
    for (const verb of ['pause', 'resume', 'status'])
      assert.match(listed.stdout, new RegExp(`^ {2}${verb}.* {2}\\w+ .*$`, 'm'))
  })

  test('a port that is taken ends start with exit code 69', async (t) => {
    const service = await withService(t)
    const other = createServer().listen(0, '0.0.0.0')
    t.after(() => void other.close())
    await once(other, 'listening')
    const port = String((other.address() as AddressInfo).port)
    const ended = await service.run(['start', '--role', 'serve'], {
      SERVER_PORT: port,
      ADMIN_PORT: '0',
      UNRAID_TUNNEL_SECRET: 'a-secret-of-at-least-32-bytes-1234',
    })
    assertRefused(
      { ...ended, stdout: '' },
      {
        code: 69,
        says: new RegExp(`cannot listen on 0\\.0\\.0\\.0:${port}`),
        remedy: /SERVER_PORT/,
      },
    )
  })
})
