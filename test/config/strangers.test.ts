import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { settingGroups } from '../../src/config/settings.ts'
import { warnOfStrangers } from '../../src/config/strangers.ts'
import { parse, refusal } from '../support/config.ts'

const known = settingGroups.flatMap(([, group]) =>
  Object.entries(group).flatMap(([name, { aliases = [] }]) => [name, ...aliases]),
)

/** What is set in shells, containers and services, and in the .env files of backends. */
const ofOthers = `
  PATH HOME USER LOGNAME SHELL TERM COLORTERM PWD OLDPWD SHLVL LANG LANGUAGE LC_ALL LC_CTYPE TZDIR MAIL EDITOR VISUAL PAGER
  HOSTNAME HOSTTYPE OSTYPE MACHTYPE DISPLAY XAUTHORITY XDG_RUNTIME_DIR XDG_SESSION_ID XDG_DATA_DIRS DBUS_SESSION_BUS_ADDRESS
  SSH_CLIENT SSH_CONNECTION SSH_TTY SSH_AUTH_SOCK SUDO_USER SUDO_UID SUDO_COMMAND TMPDIR TEMP TMP LS_COLORS LESSOPEN
  NO_COLOR FORCE_COLOR CI DEBUG VERBOSE COLUMNS LINES PS1 IFS UID EUID GID PUID PGID UMASK NODE NODE_ENV NODE_OPTIONS
  NODE_PATH NODE_VERSION NODE_EXTRA_CA_CERTS NODE_COMPILE_CACHE NODE_DEBUG YARN_VERSION NPM_CONFIG_LOGLEVEL INIT_CWD
  npm_config_user_agent npm_package_name npm_lifecycle_event npm_execpath http_proxy https_proxy no_proxy HTTP_PROXY
  INVOCATION_ID JOURNAL_STREAM NOTIFY_SOCKET MAINPID LISTEN_FDS WATCHDOG_USEC SYSTEMD_EXEC_PID CREDENTIALS_DIRECTORY
  KUBERNETES_SERVICE_HOST KUBERNETES_PORT KUBERNETES_PORT_443_TCP_ADDR DB_SERVICE_HOST DB_SERVICE_PORT
  DB_PORT_5432_TCP DB_PORT_5432_TCP_ADDR DB_ENV_POSTGRES_USER DOCKER_HOST COMPOSE_PROJECT_NAME container
  POSTGRES_USER POSTGRES_PASSWORD POSTGRES_DB PGHOST PGUSER PGPASSWORD PGDATABASE PGDATA REDIS_URL MYSQL_HOST
  AWS_ACCESS_KEY_ID AWS_SECRET_ACCESS_KEY AWS_REGION S3_BUCKET S3_ENDPOINT R2_ACCOUNT_ID R2_PUBLIC_URL CLOUDFLARE_API_TOKEN
  TUNNEL_TOKEN DB_CONNECTION APP_ENV APP_KEY APP_URL APP_NAME APP_DEBUG LOG_CHANNEL SESSION_DRIVER CACHE_DRIVER PORT HOST
  SERVER_NAME SERVER_SOFTWARE JWT_SECRET SECRET_KEY API_TOKEN API_URL BASE_URL MAIL_HOST SMTP_HOST SENTRY_DSN
  UNRAID_VERSION HOST_OS HOST_HOSTNAME HOST_CONTAINERNAME TERM_PROGRAM VSCODE_PID GIT_ASKPASS PYTHONPATH JAVA_HOME GOPATH
  MODEL NODES DATE RELEASE MODES ARCHIVE SYNC MEDIA_DIR DATA_DIR CONFIG_DIR LOG_DIR LOG_FILE DEMO_SERVE STRONGROOM_HALT
`
  .trim()
  .split(/\s+/)

const slips: [name: string, meant: string][] = [
  ['DB_HSOT', 'DB_HOST'],
  ['DB_PASWORD', 'DB_PASSWORD'],
  ['DB_PASSWORDS_FILE', 'DB_PASSWORD_FILE'],
  ['DB_USERNAME', 'DB_USER'],
  ['DB_DATABASE', 'DB_NAME'],
  ['DB_SSL', 'DB_'],
  ['db_host', 'DB_HOST'],
  ['R2-BUCKET', 'R2_BUCKET'],
  ['R2_ENPOINT', 'R2_ENDPOINT'],
  ['R2_URL', 'R2_ENDPOINT'],
  ['R2_SECRET', 'R2_SECRET_'],
  ['R2_SECRET_FILE', 'R2_SECRET_'],
  ['R2_SECERT_KEY_FILE', 'R2_SECRET_KEY_FILE'],
  ['R2_ACCESSKEY', 'R2_ACCESS_KEY'],
  ['DATABASE_URI', 'DATABASE_URL'],
  ['SYNC_INTERVALL', 'SYNC_INTERVAL'],
  ['SYNC_EVERY', 'SYNC_'],
  ['SYNCINTERVAL', 'SYNC_INTERVAL'],
  ['BATCH_SIEZ', 'BATCH_SIZE'],
  ['ARCHIV_DIR', 'ARCHIVE_DIR'],
  ['ARCHIVE_PATH', 'ARCHIVE_'],
  ['RELEASE_GRACE_PERIOD', 'RELEASE_GRACE'],
  ['UNRAID_TUNEL_SECRET', 'UNRAID_TUNNEL_SECRET'],
  ['LOGLEVEL', 'LOG_LEVEL'],
  ['LOG_LEVLE', 'LOG_LEVEL'],
  ['SEVER_PORT', 'SERVER_PORT'],
  ['REQUIRE_MONUT', 'REQUIRE_MOUNT'],
  ['mode', 'MODE'],
]

describe('a variable that looks like a setting but is none', () => {
  for (const [name, meant] of slips)
    test(`${name} is warned about once, with ${meant} beside it`, () => {
      const [warning, ...more] = parse({ [name]: 'a value' }).warnings
      assert.deepEqual(more, [])
      assert.match(warning ?? '', new RegExp(`^${name} is no setting and is ignored; .*${meant}`))
      assert.doesNotMatch(warning ?? '', /a value/)
    })

  test('is named beside what is missing because of it', () => {
    assert.equal(
      refusal({ DB_HOST: undefined, DB_HSOT: 'db' }),
      `one setting is wrong:
  DB_HOST is required but not set; for example DB_HOST=db.internal
  (DB_HSOT is no setting and is ignored; was DB_HOST meant?)`,
    )
  })

  test('is not warned about when it is empty', () => {
    assert.deepEqual(parse({ DB_HSOT: '' }).warnings, [])
  })

  test('is none of the variables of systems, containers and other programs', () => {
    assert.deepEqual(warnOfStrangers(ofOthers, known), [])
  })

  test('is none of ours, in either form', () => {
    assert.deepEqual(warnOfStrangers([...known, ...known.map((name) => `${name}_FILE`)], known), [])
  })

  test('keeps the file form, and hostile names are left alone', () => {
    assert.deepEqual(warnOfStrangers(['DB_HOTS_FILE'], known), [
      'DB_HOTS_FILE is no setting and is ignored; was DB_HOST_FILE meant?',
    ])
    assert.deepEqual(warnOfStrangers(['', '_', 'DB_HOST\n', `DB_${'X'.repeat(99)}`], known), [])
  })
})
