import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { effectiveConfig } from '../src/config/effective.ts'
import { settingGroups } from '../src/config/settings.ts'
import { parseConfig, secretsOf } from '../src/config.ts'
import { isAppError } from '../src/errors.ts'
import { complete, type Env, fileReader, parse, refusal, tunnelSecret } from './support/config.ts'

function effective(env: Env, files?: Record<string, string>) {
  const listed = effectiveConfig(env, { readFile: fileReader(files) })
  return new Map(listed.map(({ name, ...entry }) => [name, entry]))
}

describe('defaults', () => {
  test('everything that is not required has one', () => {
    const { backend, database, bucket, ...config } = parse()
    assert.deepEqual(config, {
      mode: 'live',
      migrateOnStart: true,
      sync: {
        batchSize: 32,
        schedule: { every: 1_800_000 },
        jitterMs: 0,
        missed: 'run',
        alone: false,
        timeoutMs: null,
        concurrency: 96,
        changedAfterApproval: 'hold',
        sizeMismatch: 'warn',
      },
      archive: {
        dir: '/media/archive',
        errorDir: '/media/errors',
        requireMount: false,
        directIo: true,
        layout: '{year}/{month}/{media_id}/{filename}',
        umask: 0o022,
      },
      space: {
        minimum: { percent: 1 },
        target: { percent: 1 },
        checkEveryBytes: 2 ** 30,
        clean: { areas: [], minAgeMs: 30 * 86_400_000, archivedAgeMs: 365 * 86_400_000 },
      },
      second: null,
      shadow: null,
      releaseGraceMs: 86_400_000,
      releaseDailyMax: null,
      scrub: { periodMs: 2_592_000_000, bytesPerSecond: 20_000_000 },
      ffprobePath: 'ffprobe',
      ffprobeSmallPath: null,
      runsKeptMs: 7_776_000_000,
      shutdownTimeoutMs: 30_000,
      staleAfterMs: null,
      serve: {
        port: 8080,
        adminPort: 8081,
        pathPrefix: '',
        corsOrigins: [],
        offload: null,
        tokens: {
          secrets: [tunnelSecret],
          audience: null,
          issuer: null,
          maxTtlSeconds: 604_800,
          stringIds: false,
        },
        trustedProxies: [],
        tokenFailuresPerMinute: 60,
        limits: { maxConnections: 1024, streamsPerUser: 8, streamsPerClient: 32 },
        publicUrl: null,
      },
      notify: {
        on: ['failure', 'recovery'],
        digest: '0 8 * * *',
        slack: null,
        discord: null,
        ntfy: null,
        apprise: null,
        webhook: null,
        email: null,
        ping: null,
        kuma: null,
        allowed: { hosts: [], ranges: [] },
        tunnelMetrics: null,
        adminUrl: null,
      },
      hooks: {
        commands: {
          HOOK_PRE_SYNC: null,
          HOOK_POST_SYNC: null,
          HOOK_ITEM_ARCHIVED: null,
          HOOK_ITEM_REJECTED: null,
        },
        timeoutMs: 60_000,
      },
      admin: { token: null, hosts: [] },
      log: { level: 'info', format: 'json' },
      timeZone: 'UTC',
      warnings: [],
    })
    assert.deepEqual(database, {
      host: 'db',
      port: 5432,
      database: 'app',
      user: 'strongroom',
      password: 'database-password',
      ssl: 'prefer',
      pooler: false,
    })
    assert.deepEqual(bucket, {
      endpoint: 'https://account.r2.cloudflarestorage.com',
      region: 'auto',
      bucket: 'uploads',
      accessKey: 'access-key',
      secretKey: 'bucket-secret',
    })
    assert.equal(backend.mediaColumns.checksum_sha256, 'checksum_sha256')
    assert.deepEqual(backend.status, { approved: 'approved', archived: 'archived', rejected: null })
  })

  test('every default and every example that is no shell expression is accepted', () => {
    for (const [name, setting] of settingGroups.flatMap(([, group]) => Object.entries(group))) {
      const example = setting.example.replace(/^'(.*)'$/, '$1')
      for (const value of [setting.fallback, example.includes('$(') ? undefined : example]) {
        if (value !== undefined)
          assert.ok(setting.reader.safeParse(value).success, `${name}=${value}`)
      }
    }
  })

  test('an empty or blank variable counts as not set', () => {
    assert.equal(parse({ BATCH_SIZE: '', DB_PORT: '  ' }).sync.batchSize, 32)
    assert.match(refusal({ DB_HOST: '' }), /DB_HOST is required but not set/)
  })
})

describe('what a command needs', () => {
  test('is required, and all that is missing is said at once', () => {
    const none = Object.fromEntries(Object.keys(complete).map((name) => [name, undefined]))
    const message = refusal(none)
    for (const name of Object.keys(complete).filter((name) => name !== 'DB_PASSWORD')) {
      assert.match(
        message,
        new RegExp(`^ {2}${name} is required but not set; for example ${name}=`, 'm'),
      )
    }
  })

  test('leaves the rest null when it is missing', () => {
    const config = parseConfig({}, { needs: new Set(), readFile: fileReader() })
    assert.deepEqual([config.database, config.bucket, config.serve.tokens], [null, null, null])
  })

  test('does not excuse a wrong value elsewhere', () => {
    assert.throws(
      () => parse({ DB_PORT: 'x' }, { needs: [] }),
      (error) => isAppError(error, 'CONFIG_INVALID'),
    )
  })
})

describe('a value from a file', () => {
  test('is trimmed and wins over the variable', () => {
    const files = { '/run/secrets/db': ' from the file \n' }
    const config = parse({ DB_PASSWORD_FILE: '/run/secrets/db' }, { files })
    assert.equal(config.database?.password, 'from the file')
  })

  test('also comes under an older name', () => {
    const env = { DB_PASSWORD: undefined, DB_PASS_FILE: '/x' }
    assert.equal(parse(env, { files: { '/x': 'secret' } }).database?.password, 'secret')
  })

  test('is an error that names variable, path and reason when the file cannot be read', () => {
    const message = refusal({ BATCH_SIZE_FILE: '/run/none' })
    assert.match(
      message,
      /BATCH_SIZE_FILE names the file \/run\/none, which cannot be read \(ENOENT\)/,
    )
  })

  test('is an error when the file is empty', () => {
    const message = refusal({ DB_PASSWORD_FILE: '/run/empty' }, { '/run/empty': ' \n' })
    assert.match(message, /DB_PASSWORD_FILE names the file \/run\/empty, which is empty/)
  })

  test('does not show a secret that was put where its path belongs', () => {
    const message = refusal({ R2_SECRET_KEY_FILE: 'pasted-secret' })
    assert.match(message, /R2_SECRET_KEY_FILE names a file that cannot be read/)
    assert.doesNotMatch(message, /pasted-secret/)
  })
})

describe('DATABASE_URL', () => {
  const databaseOf = (url: string, env: Env = {}) => parse({ DATABASE_URL: url, ...env }).database

  test('wins over the DB_ settings, part by part', () => {
    assert.deepEqual(
      databaseOf('postgresql://us%40er:p%2Fw@[::1]:6543/da%20ta?sslmode=require&pgbouncer=true'),
      {
        host: '::1',
        port: 6543,
        database: 'da ta',
        user: 'us@er',
        password: 'p/w',
        ssl: 'require',
        pooler: true,
      },
    )
    assert.deepEqual(databaseOf('postgres://other'), { ...parse().database, host: 'other' })
    assert.equal(databaseOf('postgres:///x?host=/var/run/postgresql')?.host, '/var/run/postgresql')
  })

  for (const url of [
    'mysql://a/b',
    'postgres//x',
    'postgres://u:pa#ss@h/d',
    'postgres://u:p@ss/word@h/d',
    'postgres://u:12/word@h/d',
    'postgres://u:p@ss?word@h/d',
    'postgres://u:%zz@h/d',
  ]) {
    test(`${url} is refused without being repeated`, () => {
      const message = refusal({ DATABASE_URL: url })
      assert.match(message, /^ {2}DATABASE_URL must look like postgres:\/\//m)
      assert.ok(!message.includes(url))
    })
  }

  test('is named when one of its parts is wrong', () => {
    const message = refusal({ DATABASE_URL: 'postgres://u@h/d?sslmode=verify-ca' })
    assert.match(message, /DATABASE_URL \(read as DB_SSLMODE\) must be disable/)
  })

  test('warns about parameters that mean nothing here', () => {
    const { warnings } = parse({ DATABASE_URL: 'postgres://u@h/d?channel_binding=require' })
    assert.deepEqual(warnings, [
      'DATABASE_URL: parameters other than sslmode have no meaning here and are ignored',
    ])
  })
})

describe('warnings', () => {
  const cases: [env: Env, warns: RegExp][] = [
    [{ INCOMING_DIR: '/x' }, /^INCOMING_DIR is ignored/],
    [{ UNRAID_TUNNEL_SECRET: 'short', ALLOW_SHORT_SECRET: 'true' }, /SECRET is short: .* opens/],
    [{ DB_PASS: 'another' }, /^DB_PASSWORD is used; DB_PASS has another value/],
    [{ DB_NAME: '"app"' }, /^DB_NAME begins and ends with quotes/],
    [{ RELEASE_GRACE: '24' }, /^RELEASE_GRACE=24 is in seconds; hours are 24h$/],
    [{ DB_PASSWORD: 'secret ' }, /^DB_PASSWORD begins or ends with white space/],
    [{ BATCH_SIZ: '10' }, /^BATCH_SIZ is no setting and is ignored; was BATCH_SIZE meant\?/],
    [{ LOGLEVEL: 'debug' }, /was LOG_LEVEL meant/],
    [{ MEDIA_COLUMN_KEY: 'x' }, /^MEDIA_COLUMN_KEY names no column/],
  ]
  for (const [env, warns] of cases) {
    test(`${JSON.stringify(env)} gives one`, () => {
      const { warnings } = parse(env)
      assert.equal(warnings.length, 1, warnings.join('\n'))
      assert.match(warnings[0] ?? '', warns)
    })
  }

  test('variables of others give none', () => {
    const others = { PATH: '/bin', HOSTNAME: 'x', DB_SERVICE_HOST: '10.0.0.1', R2_ACCOUNT_ID: 'x' }
    assert.deepEqual(parse(others).warnings, [])
  })
})

describe('the effective configuration', () => {
  test('tells where each value came from and masks secrets', () => {
    const listed = effective(
      { BATCH_SIZE: '20', DB_HOST_FILE: '/h', DB_PASS: 'older-secret', R2_REGION: 'xx-secret' },
      { '/h': 'db\n' },
    )
    assert.deepEqual(listed.get('BATCH_SIZE'), { value: '20', source: 'env' })
    assert.deepEqual(listed.get('DB_HOST'), { value: 'db', source: 'file' })
    assert.deepEqual(listed.get('DB_PASSWORD'), { value: '********', source: 'alias DB_PASS' })
    assert.deepEqual(listed.get('SYNC_CONCURRENCY'), { value: '96', source: 'default' })
    assert.deepEqual(listed.get('R2_SECRET_KEY'), { value: null, source: 'default' })
  })

  test('shows what DATABASE_URL stands for, without its password', () => {
    const listed = effective({ DATABASE_URL: 'postgres://u:hidden-word@h/d', DB_HOST: 'unused' })
    assert.deepEqual(listed.get('DB_HOST'), { value: 'h', source: 'alias DATABASE_URL' })
    assert.ok(!JSON.stringify([...listed]).includes('hidden-word'))
  })

  test('masks a secret that strayed into another setting', () => {
    const listed = effective({
      DB_PASSWORD: 'stray-secret',
      DB_NAME: 'x-stray-secret',
      R2_ENDPOINT: 'https://key:word@host',
    })
    assert.equal(listed.get('DB_NAME')?.value, 'x-********')
    assert.equal(listed.get('R2_ENDPOINT')?.value, 'https://********@host')
  })

  test('names every secret for the log to hide', () => {
    const secrets = secretsOf(parse({ DB_PASSWORD: 'pass/word' }))
    for (const secret of ['pass/word', 'access-key', 'bucket-secret', tunnelSecret]) {
      assert.ok(secrets.includes(secret), secret)
    }
  })
})
