import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { type Config, parseConfig } from '../../src/config.ts'
import { isAppError } from '../../src/errors.ts'
import {
  complete,
  type Env,
  everything,
  fileReader,
  parse,
  refusal,
  tunnelSecret,
} from '../support/config.ts'

const second: Env = {
  SECOND_ENDPOINT: 'https://second.example.org',
  SECOND_BUCKET: 'b',
  SECOND_ACCESS_KEY: 'second-access-key',
  SECOND_SECRET_KEY: 'second-secret-key',
}

describe('accepted values', () => {
  const accepted: [env: Env, what: (config: Config) => unknown, expected: unknown][] = [
    [{ SYNC_INTERVAL: '1h30m' }, (c) => c.sync.schedule, { every: 5_400_000 }],
    [{ SYNC_INTERVAL: '90s' }, (c) => c.sync.schedule, { every: 90_000 }],
    [{ SYNC_INTERVAL: '1.5h' }, (c) => c.sync.schedule, { every: 5_400_000 }],
    [{ SYNC_INTERVAL: '1800' }, (c) => c.sync.schedule, { every: 1_800_000 }],
    [{ SYNC_INTERVAL: '*/5 * * * *' }, (c) => c.sync.schedule, { cron: '*/5 * * * *' }],
    [{ SYNC_INTERVAL: '0 0 3 * * MON' }, (c) => c.sync.schedule, { cron: '0 0 3 * * MON' }],
    [{ SYNC_INTERVAL: '* * * * * *' }, (c) => c.sync.schedule, { cron: '* * * * * *' }],
    [{ RELEASE_GRACE: '0' }, (c) => c.releaseGraceMs, 0],
    [{ RELEASE_GRACE: '0s' }, (c) => c.releaseGraceMs, 0],
    [{ RELEASE_GRACE: '720h' }, (c) => c.releaseGraceMs, 2_592_000_000],
    [{ SCRUB_PERIOD: '0' }, (c) => c.scrub.periodMs, 0],
    [{ SCRUB_RATE: '50' }, (c) => c.scrub.bytesPerSecond, 50_000_000],
    [{ RELEASE_DAILY_MAX: '0' }, (c) => c.releaseDailyMax, 0],
    [{ RELEASE_DAILY_MAX: '500' }, (c) => c.releaseDailyMax, 500],
    [{ SHUTDOWN_TIMEOUT: '1m' }, (c) => c.shutdownTimeoutMs, 60_000],
    [{ MODE: 'dry-run' }, (c) => c.mode, 'dry-run'],
    [{ MODE: 'LIVE' }, (c) => c.mode, 'live'],
    [{ DB_POOLER: 'yes' }, (c) => c.database?.pooler, true],
    [{ MIGRATE_ON_START: '0' }, (c) => c.migrateOnStart, false],
    [{ MIGRATE_ON_START: 'No' }, (c) => c.migrateOnStart, false],
    [{}, (c) => c.space.minimum, { percent: 1 }],
    [{ FREE_SPACE_MIN: '20GiB' }, (c) => c.space.minimum, { bytes: 20 * 2 ** 30 }],
    [{ FREE_SPACE_MIN: '1.5 gb' }, (c) => c.space.minimum, { bytes: 1.5e9 }],
    [{ FREE_SPACE_MIN: '0' }, (c) => c.space.minimum, { bytes: 0 }],
    [{ FREE_SPACE_MIN: '2.5%' }, (c) => c.space.target, { percent: 2.5 }],
    [
      { FREE_SPACE_MIN: '5%', FREE_SPACE_TARGET: '40GiB' },
      (c) => c.space.target,
      { bytes: 40 * 2 ** 30 },
    ],
    [{ SPACE_CHECK_INTERVAL: '1MiB' }, (c) => c.space.checkEveryBytes, 2 ** 20],
    [{}, (c) => c.space.clean.areas, []],
    [{}, (c) => c.space.clean.archivedAgeMs, 365 * 86_400_000],
    [{}, (c) => c.space.clean.minAgeMs, 30 * 86_400_000],
    [
      { FREE_SPACE_CLEAN: 'quarantine, Errors', FREE_SPACE_CLEAN_AGE: '1h' },
      (c) => [c.space.clean.areas, c.space.clean.minAgeMs],
      [['errors', 'quarantine'], 3_600_000],
    ],
    [{}, (c) => c.second, null],
    [
      { ...second, FREE_SPACE_CLEAN: 'archived', FREE_SPACE_ARCHIVED_AGE: '1h' },
      (c) => [c.space.clean.areas, c.space.clean.archivedAgeMs, c.second?.prefix],
      [['archived'], 3_600_000, ''],
    ],
    [{ ...second, SECOND_PREFIX: 'a/b.c' }, (c) => c.second?.prefix, 'a/b.c/'],
    [
      { ...second, SECOND_PREFIX: 'a/', SECOND_REGION: 'x', SECOND_SCRUB_PERIOD: '2h' },
      (c) => c.second,
      {
        endpoint: 'https://second.example.org',
        bucket: 'b',
        accessKey: 'second-access-key',
        secretKey: 'second-secret-key',
        region: 'x',
        prefix: 'a/',
        scrubPeriodMs: 7_200_000,
        links: null,
      },
    ],
    [
      { ...second, SECOND_ENDPOINT: complete.R2_ENDPOINT },
      (c) => c.second?.endpoint === c.bucket?.endpoint,
      true,
    ],
    [{ UMASK: '0027' }, (c) => c.archive.umask, 0o027],
    [{ DIRECT_IO: 'no' }, (c) => c.archive.directIo, false],
    [{ ARCHIVE_DIR: '/a/b/../c/' }, (c) => c.archive.dir, '/a/c'],
    [{ ARCHIVE_DIR: '/a', ERROR_DIR: '/a/errors' }, (c) => c.archive.errorDir, '/a/errors'],
    [{ R2_ENDPOINT: 'http://127.0.0.1:9000/' }, (c) => c.bucket?.endpoint, 'http://127.0.0.1:9000'],
    [{ SERVER_PORT: '0', ADMIN_PORT: '0' }, (c) => [c.serve.port, c.serve.adminPort], [0, 0]],
    [{ SERVE_PATH_PREFIX: '/archive/' }, (c) => c.serve.pathPrefix, '/archive'],
    [{ SERVE_PATH_PREFIX: '/' }, (c) => c.serve.pathPrefix, ''],
    [{ CORS_ORIGINS: '*' }, (c) => c.serve.corsOrigins, '*'],
    [
      { CORS_ORIGINS: 'https://App.example:443/, http://nas:8080' },
      (c) => c.serve.corsOrigins,
      ['https://app.example', 'http://nas:8080'],
    ],
    [{ PUBLIC_URL: 'https://m.example/x/' }, (c) => c.serve.publicUrl, 'https://m.example/x'],
    [
      { TRUSTED_PROXIES: '127.0.0.1, FD00:0::/8' },
      (c) => c.serve.trustedProxies,
      [
        { address: '127.0.0.1', prefixBits: 32 },
        { address: 'fd00::', prefixBits: 8 },
      ],
    ],
    [
      { SENDFILE_HEADER: 'x-sendfile', TRUSTED_PROXIES: '::1', ARCHIVE_DIR: '/a' },
      (c) => c.serve.offload,
      { header: 'X-Sendfile', prefix: '/a' },
    ],
    [
      { SENDFILE_HEADER: 'x-accel-redirect', SENDFILE_PREFIX: '/b/', TRUSTED_PROXIES: '::1' },
      (c) => c.serve.offload,
      { header: 'X-Accel-Redirect', prefix: '/b' },
    ],
    [{ SENDFILE_PREFIX: '/b/' }, (c) => c.serve.offload, null],
    [{ TOKEN_FAILURES_PER_MINUTE: '0' }, (c) => c.serve.tokenFailuresPerMinute, 0],
    [{ TZ: 'Europe/Berlin' }, (c) => c.timeZone, 'Europe/Berlin'],
    [{ TZ: 'US/Eastern' }, (c) => c.timeZone, 'US/Eastern'],
    [{ DB_HOST: '/var/run/postgresql' }, (c) => c.database?.host, '/var/run/postgresql'],
    [{ DB_HOST: '::1' }, (c) => c.database?.host, '::1'],
    [{ BATCH_SIZE: ' 20\r' }, (c) => c.sync.batchSize, 20],
    [{ MEDIA_TABLE: 'app.media' }, (c) => c.backend.mediaTable, 'app.media'],
    [{ MEDIA_COLUMN_OBJECT_KEY: 'r2_key' }, (c) => c.backend.mediaColumns.object_key, 'r2_key'],
    [{ MEDIA_COLUMN_TITLE: 'filename' }, (c) => c.backend.mediaColumns.title, 'filename'],
    [{ AUDIT_COLUMN_DETAILS: 'meta' }, (c) => c.backend.auditColumns.details, 'meta'],
    [{ STATUS_REJECTED: 'invalid' }, (c) => c.backend.status.rejected, 'invalid'],
    [{ KIND_AUDIO: 'sound' }, (c) => c.backend.kinds.audio, 'sound'],
  ]
  for (const [env, what, expected] of accepted) {
    test(`${JSON.stringify(env)} means ${JSON.stringify(expected)}`, () => {
      assert.deepEqual(what(parse(env)), expected)
    })
  }

  test('the older names of secrets and the bucket work', () => {
    const { DB_PASSWORD, R2_ACCESS_KEY, R2_SECRET_KEY, R2_BUCKET, ...rest } = complete
    const older = {
      ...rest,
      DB_PASS: DB_PASSWORD,
      R2_ACCESS_KEY_ID: R2_ACCESS_KEY,
      R2_SECRET_ACCESS_KEY: R2_SECRET_KEY,
      R2_BUCKET_NAME: R2_BUCKET,
    }
    const config = parseConfig(older, { needs: everything, readFile: fileReader() })
    assert.deepEqual(config, parse())
  })

  test('a previous token secret is opened too, and the current one signs', () => {
    const previous = 'the-previous-secret-of-the-tunnel'
    const config = parse({ UNRAID_TUNNEL_SECRET_PREVIOUS: previous })
    assert.deepEqual(config.serve.tokens?.secrets, [tunnelSecret, previous])
  })
})

describe('wrong values', () => {
  const wrong: [env: Env, says: RegExp][] = [
    [
      { BATCH_SIZE: '0' },
      /^ {2}BATCH_SIZE must be a whole number from 1 to 1000; for example BATCH_SIZE=32$/m,
    ],
    [{ BATCH_SIZE: '1001' }, /BATCH_SIZE must/],
    [{ BATCH_SIZE: '1e1' }, /BATCH_SIZE must/],
    [{ BATCH_SIZE: '10; rm' }, /BATCH_SIZE must/],
    [{ SYNC_CONCURRENCY: '129' }, /SYNC_CONCURRENCY must be a whole number from 1 to 128/],
    [{ DB_PORT: 'tcp://10.0.0.1:5432' }, /DB_PORT must be a whole number from 1 to 65535/],
    [{ DB_SSLMODE: 'verify-ca' }, /DB_SSLMODE must be disable, prefer, require or verify-full/],
    [{ DB_POOLER: 'ture' }, /DB_POOLER must be true or false/],
    [{ MIGRATE_ON_START: 'on' }, /MIGRATE_ON_START must be true or false/],
    [{ MODE: 'dryrun' }, /MODE must be live, dry-run or shadow/],
    [{ LOG_LEVEL: 'verbose' }, /LOG_LEVEL must be debug, info, warn or error/],
    [{ SYNC_INTERVAL: '30' + 'x' }, /SYNC_INTERVAL must be a duration from 1s/],
    [{ SYNC_INTERVAL: '500ms' }, /SYNC_INTERVAL must be a duration from 1s/],
    [{ SYNC_INTERVAL: '-5m' }, /SYNC_INTERVAL must be a duration/],
    [{ SYNC_INTERVAL: '9999h' }, /SYNC_INTERVAL must be a duration/],
    [{ SYNC_INTERVAL: '61 * * * *' }, /SYNC_INTERVAL must be a valid cron expression/],
    [{ SYNC_INTERVAL: '* * * *' }, /SYNC_INTERVAL must be a valid cron expression/],
    [{ SYNC_INTERVAL: '* * * * * * *' }, /SYNC_INTERVAL must be a valid cron expression/],
    [{ SYNC_INTERVAL: '0 0 30 2 *' }, /SYNC_INTERVAL is a cron expression that never fires/],
    [{ SCRUB_RATE: '0' }, /SCRUB_RATE must be a whole number from 1/],
    [{ RELEASE_DAILY_MAX: '-1' }, /RELEASE_DAILY_MAX must be a whole number from 0/],
    [{ RELEASE_DAILY_MAX: '1.5' }, /RELEASE_DAILY_MAX must be a whole number/],
    [{ RELEASE_GRACE: '1d' }, /RELEASE_GRACE must be a duration from 0/],
    [{ SHUTDOWN_TIMEOUT: '0' }, /SHUTDOWN_TIMEOUT must be a duration from 1s to 1h/],
    [{ ARCHIVE_DIR: 'media' }, /ARCHIVE_DIR must be an absolute path/],
    [
      { ARCHIVE_LAYOUT: '{file}' },
      /ARCHIVE_LAYOUT has an unknown token(?:.|\n)*ARCHIVE_LAYOUT must contain/,
    ],
    [{ ARCHIVE_DIR: '/media/errors' }, /ERROR_DIR must differ from ARCHIVE_DIR/],
    [{ ERROR_DIR: '/media/archive/.strongroom/x' }, /ERROR_DIR must not lie in \.strongroom/],
    [{ FREE_SPACE_MIN: '20 gigabytes' }, /FREE_SPACE_MIN must be a size such as 20GiB/],
    [{ FREE_SPACE_MIN: '91%' }, /FREE_SPACE_MIN must be a size .* or a part of the disk/],
    [{ FREE_SPACE_MIN: '-1' }, /FREE_SPACE_MIN must be a size/],
    [{ FREE_SPACE_MIN: '9999999TiB' }, /FREE_SPACE_MIN must be a size/],
    [
      { FREE_SPACE_MIN: '20GB', FREE_SPACE_TARGET: '10GB' },
      /FREE_SPACE_TARGET must not be less than FREE_SPACE_MIN/,
    ],
    [
      { FREE_SPACE_MIN: '2%', FREE_SPACE_TARGET: '1%' },
      /FREE_SPACE_TARGET must not be less than FREE_SPACE_MIN/,
    ],
    [
      { FREE_SPACE_CLEAN: 'errors,all' },
      /FREE_SPACE_CLEAN must be some of errors, withdrawn, quarantine or archived/,
    ],
    [
      { FREE_SPACE_CLEAN: 'errors,archived' },
      /^ {2}SECOND_ENDPOINT is required by FREE_SPACE_CLEAN=archived/m,
    ],
    [
      { ...second, SECOND_SECRET_KEY: '', FREE_SPACE_CLEAN: 'archived' },
      /^ {2}SECOND_SECRET_KEY is required by FREE_SPACE_CLEAN=archived/m,
    ],
    [{ SECOND_LINKS: 'redirect' }, /^ {2}SECOND_ENDPOINT is required by SECOND_LINKS=redirect/m],
    [{ ...second, SECOND_LINKS: 'proxy' }, /SECOND_LINKS must be redirect/],
    [
      { SECOND_BUCKET: 'b' },
      /^ {2}SECOND_ENDPOINT is required by SECOND_BUCKET.*\n {2}SECOND_ACCESS_KEY is .*\n {2}SECOND_SECRET_KEY is /m,
    ],
    [
      { ...second, SECOND_ENDPOINT: 'https://second.example.org/b' },
      /SECOND_ENDPOINT must not have a path/,
    ],
    [
      { ...second, SECOND_ENDPOINT: complete.R2_ENDPOINT, SECOND_BUCKET: complete.R2_BUCKET },
      /SECOND_BUCKET must differ from R2_BUCKET/,
    ],
    ...[
      ['https://account.example', 'https://account.example.'],
      ['http://localhost:9000', 'http://127.0.0.1:9000'],
      ['http://minio:9000', 'https://minio:9000'],
    ].map(([R2_ENDPOINT = '', SECOND_ENDPOINT = '']): [Env, RegExp] => [
      { ...second, R2_ENDPOINT, SECOND_ENDPOINT, SECOND_BUCKET: complete.R2_BUCKET },
      /SECOND_BUCKET must differ from R2_BUCKET/,
    ]),
    [{ ...second, SECOND_PREFIX: '/a' }, /SECOND_PREFIX must be the beginning of a key/],
    [{ ...second, SECOND_PREFIX: '../a' }, /SECOND_PREFIX must be the beginning of a key/],
    [{ FREE_SPACE_ARCHIVED_AGE: '30m' }, /FREE_SPACE_ARCHIVED_AGE must be a duration from 1h/],
    [{ FREE_SPACE_CLEAN_AGE: 'soon' }, /FREE_SPACE_CLEAN_AGE must be a duration from 1h/],
    [{ FREE_SPACE_CLEAN_AGE: '30m' }, /FREE_SPACE_CLEAN_AGE must be a duration from 1h/],
    [{ SPACE_CHECK_INTERVAL: '1' }, /SPACE_CHECK_INTERVAL must be a size of at least 1MiB/],
    [{ UMASK: '777' }, /UMASK must be an octal mask/],
    [{ UMASK: '089' }, /UMASK must be an octal mask/],
    [{ FFPROBE_PATH: 'bin/ffprobe' }, /FFPROBE_PATH must be the name of a program/],
    [{ FFPROBE_PATH: '-x' }, /FFPROBE_PATH must be the name of a program/],
    [{ R2_ENDPOINT: 'account.r2.cloudflarestorage.com' }, /R2_ENDPOINT must be an http:/],
    [{ R2_ENDPOINT: 'https://user:pass@host' }, /R2_ENDPOINT must be an http:/],
    [{ R2_ENDPOINT: 'https://host/?x' }, /R2_ENDPOINT must be an http:/],
    [
      { R2_ENDPOINT: 'https://host/other' },
      /R2_ENDPOINT must not have a path; the bucket’s name belongs/,
    ],
    [{ R2_ENDPOINT: 'https://host/uploads/' }, /R2_ENDPOINT must not end with the bucket’s name/],
    [{ R2_BUCKET: 'a/b' }, /R2_BUCKET must be the bucket’s name/],
    [{ SERVER_PORT: '65536' }, /SERVER_PORT must be a whole number from 0 to 65535/],
    [
      { SERVER_PORT: '8081' },
      /ADMIN_PORT must differ from SERVER_PORT; for example ADMIN_PORT=8082/,
    ],
    [{ SERVE_PATH_PREFIX: 'archive' }, /SERVE_PATH_PREFIX must start with \//],
    [{ SERVE_PATH_PREFIX: '/a/../b' }, /SERVE_PATH_PREFIX must start with \//],
    [
      { SENDFILE_HEADER: 'sendfile' },
      /SENDFILE_HEADER must be X-Accel-Redirect or X-Sendfile; for example SENDFILE_HEADER=X-Accel-Redirect/,
    ],
    [
      { SENDFILE_HEADER: 'X-Sendfile' },
      /TRUSTED_PROXIES must name the front that SENDFILE_HEADER is for; for example TRUSTED_PROXIES=/,
    ],
    [
      { SENDFILE_HEADER: 'X-Accel-Redirect', TRUSTED_PROXIES: '::1' },
      /SENDFILE_PREFIX must name the internal location of nginx/,
    ],
    [{ SENDFILE_PREFIX: 'archive' }, /SENDFILE_PREFIX must be an absolute path/],
    [{ TRUSTED_PROXIES: 'cloudflared' }, /TRUSTED_PROXIES must be a list of addresses or ranges/],
    [{ TRUSTED_PROXIES: '10.0.0.1,' }, /TRUSTED_PROXIES must be a list of addresses or ranges/],
    [{ TRUSTED_PROXIES: '10.0.0.0/33' }, /TRUSTED_PROXIES must be a list of addresses or ranges/],
    [{ CORS_ORIGINS: 'https://a.example/b' }, /CORS_ORIGINS must be \* or origins/],
    [{ CORS_ORIGINS: 'null' }, /CORS_ORIGINS must be \* or origins/],
    [{ CORS_ORIGINS: '*,https://a.example' }, /CORS_ORIGINS must be \* or origins/],
    [{ PUBLIC_URL: 'ftp://x' }, /PUBLIC_URL must be an http:/],
    [
      { UNRAID_TUNNEL_SECRET: 'thirty-one bytes are not enough' },
      /UNRAID_TUNNEL_SECRET must have at least 32 bytes .*RFC 7518.*ALLOW_SHORT_SECRET/,
    ],
    [{ TZ: 'Europe/Berln' }, /TZ must be a time zone/],
    [{ MEDIA_TABLE: 'a.b.c' }, /MEDIA_TABLE must be a table’s name/],
    [{ MEDIA_TABLE: 'media"; drop' }, /MEDIA_TABLE must be a table’s name/],
    [{ MEDIA_COLUMN_ID: 'x'.repeat(64) }, /MEDIA_COLUMN_ID must be a column’s name/],
    [{ MEDIA_COLUMN_STATUS: 'title' }, /MEDIA_COLUMN_STATUS must differ from MEDIA_COLUMN_TITLE/],
    [
      { AUDIT_COLUMN_ACTION: 'details' },
      /AUDIT_COLUMN_DETAILS must differ from AUDIT_COLUMN_ACTION/,
    ],
    [{ STATUS_ARCHIVED: 'approved' }, /STATUS_ARCHIVED must differ from STATUS_APPROVED/],
    [{ ACTION_SOURCE_DELETED: 'archived' }, /ACTION_SOURCE_DELETED must differ/],
    [{ LOG_LEVEL: 'x'.repeat(10_000) }, /LOG_LEVEL is longer than 8192 characters/],
  ]
  for (const [env, says] of wrong) {
    test(`${JSON.stringify(env).slice(0, 90)} is refused`, () => assert.match(refusal(env), says))
  }

  test('are all in one error that says how many there are', () => {
    const message = refusal({ BATCH_SIZE: 'x', DB_PORT: 'y', DB_HOST: undefined })
    assert.equal(message.split('\n').length, 4)
    assert.match(message, /^3 settings are wrong:/)
  })

  test('are named by the variable that they came from', () => {
    const files = { '/run/size': 'many' }
    const message = refusal(
      { BATCH_SIZE_FILE: '/run/size', R2_BUCKET: '', R2_BUCKET_NAME: 'a/b' },
      files,
    )
    assert.match(message, /^ {2}BATCH_SIZE_FILE must be .*; for example a file that contains 32$/m)
    assert.match(message, /^ {2}R2_BUCKET_NAME must be /m)
  })

  test('shadow mode is refused to a command that may write, before anything else is judged', () => {
    assert.throws(
      () => parse({ MODE: 'shadow', DB_PORT: 'x' }),
      (error) => {
        assert.ok(isAppError(error, 'MODE_UNSUPPORTED'))
        assert.equal(error.exit, 78)
        assert.equal(error.message, 'MODE is shadow, and this command may write')
        return true
      },
    )
  })

  test('shadow mode needs a folder that is no part of the archive, and no parent of it', () => {
    const shadow = (env: Env) => parse({ MODE: 'shadow', ...env }, { shadow: true }).shadow
    assert.deepEqual(shadow({ SHADOW_DIR: '/media/shadow', SHADOW_KEEP: '3GB' }), {
      dir: '/media/shadow',
      keepBytes: 3_000_000_000,
    })
    assert.throws(() => shadow({}), /SHADOW_DIR is required by MODE=shadow/)
    for (const dir of ['/media/archive', '/media/archive/x', '/media', '/', '/media/errors/'])
      assert.throws(() => shadow({ SHADOW_DIR: dir }), /SHADOW_DIR must not be (ARCHIVE|ERROR)_DIR/)
    assert.equal(shadow({ SHADOW_DIR: '/media/archive2' })?.dir, '/media/archive2')
  })
})

test('a cron expression is judged alike in every time zone', () => {
  const { TZ } = process.env
  try {
    // In Berlin it means the hour that summer time skips, and nothing else.
    process.env.TZ = 'Europe/Berlin'
    const { schedule } = parse({ SYNC_INTERVAL: '0-4 2 * 3 SUN#L' }).sync
    assert.deepEqual(schedule, { cron: '0-4 2 * 3 SUN#L' })
  } finally {
    if (TZ === undefined) delete process.env.TZ
    else process.env.TZ = TZ
  }
})
