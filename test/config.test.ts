import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import fc from 'fast-check'
import { type Config, effectiveConfig, parseConfig, secretsOf } from '../src/config.ts'
import { configurationPage, envExample } from '../src/config-docs.ts'
import { type Need, settingGroups } from '../src/config-settings.ts'
import { AppError, isAppError } from '../src/errors.ts'

type Env = Record<string, string | undefined>
const everything: ReadonlySet<Need> = new Set(['database', 'bucket', 'tokens'])
const tunnelSecret = 'tunnel-secret-of-at-least-32-bytes'

const complete: Env = {
  DB_HOST: 'db',
  DB_NAME: 'app',
  DB_USER: 'strongroom',
  DB_PASSWORD: 'database-password',
  R2_ENDPOINT: 'https://account.r2.cloudflarestorage.com',
  R2_ACCESS_KEY: 'access-key',
  R2_SECRET_KEY: 'bucket-secret',
  R2_BUCKET: 'uploads',
  UNRAID_TUNNEL_SECRET: tunnelSecret,
}

function fileReader(files: Record<string, string> = {}) {
  return (path: string) => {
    const text = files[path]
    if (text !== undefined) return text
    throw Object.assign(new Error(`ENOENT: no such file, open '${path}'`), { code: 'ENOENT' })
  }
}

function parse(env: Env = {}, options: { needs?: Need[]; files?: Record<string, string> } = {}) {
  const needs = options.needs ? new Set(options.needs) : everything
  return parseConfig({ ...complete, ...env }, { needs, readFile: fileReader(options.files) })
}

/** The message of the one error that these settings give. */
function refusal(env: Env, files?: Record<string, string>): string {
  try {
    parse(env, { files: files ?? {} })
  } catch (error) {
    assert.ok(isAppError(error, 'CONFIG_INVALID'), String(error))
    return error.message
  }
  assert.fail(`accepted ${JSON.stringify(env)}`)
}

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
        batchSize: 10,
        schedule: { every: 1_800_000 },
        concurrency: 4,
        changedAfterApproval: 'hold',
        sizeMismatch: 'warn',
      },
      archive: {
        dir: '/media/archive',
        errorDir: '/media/errors',
        layout: '{year}/{month}/{media_id}/{filename}',
        umask: 0o022,
      },
      releaseGraceMs: 86_400_000,
      ffprobePath: 'ffprobe',
      shutdownTimeoutMs: 30_000,
      serve: {
        port: 8080,
        adminPort: 8081,
        pathPrefix: '',
        tokens: { secrets: [tunnelSecret], audience: null, issuer: null },
        publicUrl: null,
      },
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
    assert.equal(parse({ BATCH_SIZE: '', DB_PORT: '  ' }).sync.batchSize, 10)
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
    [{ SHUTDOWN_TIMEOUT: '1m' }, (c) => c.shutdownTimeoutMs, 60_000],
    [{ MODE: 'dry-run' }, (c) => c.mode, 'dry-run'],
    [{ MODE: 'LIVE' }, (c) => c.mode, 'live'],
    [{ DB_POOLER: 'yes' }, (c) => c.database?.pooler, true],
    [{ MIGRATE_ON_START: '0' }, (c) => c.migrateOnStart, false],
    [{ MIGRATE_ON_START: 'No' }, (c) => c.migrateOnStart, false],
    [{ UMASK: '0027' }, (c) => c.archive.umask, 0o027],
    [{ ARCHIVE_DIR: '/a/b/../c/' }, (c) => c.archive.dir, '/a/c'],
    [{ ARCHIVE_DIR: '/a', ERROR_DIR: '/a/errors' }, (c) => c.archive.errorDir, '/a/errors'],
    [{ R2_ENDPOINT: 'http://127.0.0.1:9000/' }, (c) => c.bucket?.endpoint, 'http://127.0.0.1:9000'],
    [{ SERVER_PORT: '0', ADMIN_PORT: '0' }, (c) => [c.serve.port, c.serve.adminPort], [0, 0]],
    [{ SERVE_PATH_PREFIX: '/archive/' }, (c) => c.serve.pathPrefix, '/archive'],
    [{ SERVE_PATH_PREFIX: '/' }, (c) => c.serve.pathPrefix, ''],
    [{ PUBLIC_URL: 'https://m.example/x/' }, (c) => c.serve.publicUrl, 'https://m.example/x'],
    [{ TZ: 'Europe/Berlin' }, (c) => c.timeZone, 'Europe/Berlin'],
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
      /^ {2}BATCH_SIZE must be a whole number from 1 to 1000; for example BATCH_SIZE=10$/m,
    ],
    [{ BATCH_SIZE: '1001' }, /BATCH_SIZE must/],
    [{ BATCH_SIZE: '1e1' }, /BATCH_SIZE must/],
    [{ BATCH_SIZE: '10; rm' }, /BATCH_SIZE must/],
    [{ SYNC_CONCURRENCY: '65' }, /SYNC_CONCURRENCY must be a whole number from 1 to 64/],
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
    [{ RELEASE_GRACE: '1d' }, /RELEASE_GRACE must be a duration from 0/],
    [{ SHUTDOWN_TIMEOUT: '0' }, /SHUTDOWN_TIMEOUT must be a duration from 1s to 1h/],
    [{ ARCHIVE_DIR: 'media' }, /ARCHIVE_DIR must be an absolute path/],
    [
      { ARCHIVE_LAYOUT: '{file}' },
      /ARCHIVE_LAYOUT has an unknown token(?:.|\n)*ARCHIVE_LAYOUT must contain/,
    ],
    [{ ARCHIVE_DIR: '/media/errors' }, /ERROR_DIR must differ from ARCHIVE_DIR/],
    [{ ERROR_DIR: '/media/archive/.strongroom/x' }, /ERROR_DIR must not lie in \.strongroom/],
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
    [{ PUBLIC_URL: 'ftp://x' }, /PUBLIC_URL must be an http:/],
    [
      { UNRAID_TUNNEL_SECRET: 'fifteen-bytes-x' },
      /UNRAID_TUNNEL_SECRET must have at least 16 bytes; 32 or more .*RFC 7518/,
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
    assert.match(message, /^ {2}BATCH_SIZE_FILE must be .*; for example a file that contains 10$/m)
    assert.match(message, /^ {2}R2_BUCKET_NAME must be /m)
  })

  test('shadow mode is refused by its own code before anything else is judged', () => {
    assert.throws(
      () => parse({ MODE: 'shadow', DB_PORT: 'x' }),
      (error) => {
        assert.ok(isAppError(error, 'MODE_UNSUPPORTED'))
        assert.equal(error.exit, 78)
        assert.equal(
          error.message,
          'shadow mode is not available in this version; nothing was started',
        )
        return true
      },
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
    [{ UNRAID_TUNNEL_SECRET: 'sixteen-bytes-xx' }, /fewer than the 32 bytes/],
    [{ DB_PASS: 'another' }, /^DB_PASSWORD is used; DB_PASS has another value/],
    [{ DB_NAME: '"app"' }, /^DB_NAME begins and ends with quotes/],
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
    assert.deepEqual(listed.get('SYNC_CONCURRENCY'), { value: '4', source: 'default' })
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
    for (const secret of [
      'pass/word',
      'pass%2Fword',
      'access-key',
      'bucket-secret',
      tunnelSecret,
    ]) {
      assert.ok(secrets.includes(secret), secret)
    }
  })
})

describe('the generated documents', () => {
  const root = join(import.meta.dirname, '..')
  for (const [path, generate] of [
    ['docs/configuration.md', configurationPage],
    ['.env.example', envExample],
  ] as const) {
    test(`${path} says what the settings are (node src/config-docs.ts writes it)`, () => {
      assert.equal(readFileSync(join(root, path), 'utf8'), generate())
    })
  }

  test('.env.example sets nothing but names, so that a copy of it shows what is required', () => {
    const set = envExample()
      .split('\n')
      .filter((line) => line !== '' && !line.startsWith('#'))
    assert.deepEqual(
      set.toSorted(),
      Object.keys(complete)
        .filter((name) => name !== 'DB_PASSWORD')
        .map((name) => `${name}=`)
        .toSorted(),
    )
  })
})

describe('whatever the environment holds', () => {
  const all = settingGroups.flatMap(([, group]) => Object.entries(group))
  const secretNames = all
    .filter(([, setting]) => setting.secret)
    .flatMap(([name, setting]) => [name, ...(setting.aliases ?? [])])
  const plainNames = all.filter(([, setting]) => !setting.secret).map(([name]) => name)
  const canary = fc.stringMatching(/^cAnArY[ -~]{6,30}$/)
  const junk = fc.oneof(
    fc.string({ unit: 'binary', maxLength: 40 }),
    fc.stringMatching(/^[0-9*/,\-LW# ?a-z]{0,24}$/),
    fc.constantFrom(
      '0',
      '-1',
      '1e9',
      '/',
      'true',
      '* * * * *',
      '{',
      '{{year}',
      '%',
      'https://',
      '//',
      '::',
      '\u0000',
    ),
  )
  const plain = fc.dictionary(
    fc
      .tuple(fc.constantFrom(...plainNames), fc.constantFrom('', '_FILE'))
      .map((parts) => parts.join('')),
    junk,
    { maxKeys: 12 },
  )
  const secretive = canary.chain((word) =>
    fc.record({
      word: fc.constant(word),
      env: fc.dictionary(
        fc
          .tuple(fc.constantFrom(...secretNames), fc.constantFrom('', '_FILE'))
          .map((parts) => parts.join('')),
        fc.constantFrom(
          word,
          `${word}\n${word}`,
          `"${word}" `,
          `postgres://user:${encodeURIComponent(word)}@host/db`,
          `postgres://user:${word}@host:port/db?sslmode=${word}`,
        ),
        { minKeys: 1 },
      ),
    }),
  )
  const readers = fc.constantFrom(
    (path: string): string => path,
    (): string => '',
    (path: string): string => {
      throw new Error(path)
    },
    (): string => {
      throw undefined
    },
  )

  test('no secret is ever shown and nothing but an AppError is thrown', () => {
    fc.assert(
      fc.property(plain, secretive, readers, fc.boolean(), (env, secret, readFile, whole) => {
        const mixed = { ...(whole ? complete : {}), ...env, ...secret.env }
        const shown = JSON.stringify(effectiveConfig(mixed, { readFile }))
        assert.ok(!shown.includes('cAnArY'), shown)
        try {
          const config = parseConfig(mixed, { needs: everything, readFile })
          assert.ok(!config.warnings.join().includes('cAnArY'))
        } catch (error) {
          assert.ok(error instanceof AppError, String(error))
          const told = [error.message, error.hint, error.stack, error.cause].join('\n')
          assert.ok(!told.includes('cAnArY'), told)
        }
      }),
      { numRuns: 1500 },
    )
  })
})
