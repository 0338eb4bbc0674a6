import assert from 'node:assert/strict'
import { chown, mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import { composeFor } from '../../src/commands/compose.ts'
import type { Need } from '../../src/config/setting.ts'
import type { Host } from '../../src/host.ts'
import { complete, type Env, fileReader, parse } from '../support/config.ts'
import { withFolder } from '../support/scopes.ts'

/** The compose file for these settings beside what is always needed. */
function composed(
  env: Env,
  files: Record<string, string> = {},
  needs: Need[] = ['database', 'bucket', 'tokens'],
): Promise<string> {
  const host = {
    env: { ...complete, ...env },
    readFile: fileReader(files),
  } as Partial<Host> as Host
  return composeFor(host, parse(env, { files, needs }))
}

describe('the compose file', () => {
  test('holds what is set, secrets as files, and nothing that is at its default', async () => {
    const text = await composed({
      SYNC_INTERVAL: '0 3 * * *',
      ARCHIVE_DIR: '/mnt/my media/archive',
      ERROR_DIR: '/mnt/errors',
      SERVER_PORT: '9000',
      SHUTDOWN_TIMEOUT: '1m',
      DB_SSLMODE: 'prefer',
      PUBLIC_URL: 'https://media.example.org/$HOME',
    })
    assert.equal(
      text,
      `# Made by "strongroom doctor --compose" from the settings in effect.
# Each secret is a file that only 99:100 can read; docker build -t strongroom . makes the image.
services:
  strongroom:
    image: strongroom
    restart: unless-stopped
    user: '99:100'
    read_only: true
    cap_drop: [ALL]
    security_opt: ['no-new-privileges:true']
    stop_grace_period: 70s
    ports:
      - '9000:8080' # files for holders of a token
      - '127.0.0.1:8081:8081' # health, never for the tunnel
    volumes: # source is the folder on the host; it is not made, so that a missing mount shows
      - type: bind
        source: "/mnt/my media/archive"
        target: "/media/archive"
        bind: { create_host_path: false }
      - type: bind
        source: "/mnt/errors"
        target: "/media/errors"
        bind: { create_host_path: false }
    secrets: [db_password, r2_access_key, r2_secret_key, unraid_tunnel_secret]
    environment:
      DB_HOST: "db"
      DB_NAME: "app"
      DB_USER: "strongroom"
      DB_SSLMODE: "prefer"
      R2_ENDPOINT: "https://account.r2.cloudflarestorage.com"
      R2_BUCKET: "uploads"
      SYNC_INTERVAL: "0 3 * * *"
      PUBLIC_URL: "https://media.example.org/$$HOME"
      SHUTDOWN_TIMEOUT: "1m"
      DB_PASSWORD_FILE: /run/secrets/db_password
      R2_ACCESS_KEY_FILE: /run/secrets/r2_access_key
      R2_SECRET_KEY_FILE: /run/secrets/r2_secret_key
      UNRAID_TUNNEL_SECRET_FILE: /run/secrets/unraid_tunnel_secret
secrets:
  db_password:
    file: "./secrets/db_password"
  r2_access_key:
    file: "./secrets/r2_access_key"
  r2_secret_key:
    file: "./secrets/r2_secret_key"
  unraid_tunnel_secret:
    file: "./secrets/unraid_tunnel_secret"
`,
    )
  })

  test('takes the owner of the archive as its user', async (t) => {
    const folder = join(await withFolder(t), 'archive')
    await mkdir(folder)
    if (process.getuid?.() === 0) await chown(folder, 1234, 567)
    const expected =
      process.getuid?.() === 0 ? '1234:567' : `${process.getuid?.()}:${process.getgid?.()}`
    assert.ok((await composed({ ARCHIVE_DIR: folder })).includes(`user: '${expected}'`))
  })

  test('names the files in which secrets are already, but not where a container gets them', async () => {
    const env = {
      DB_PASSWORD: undefined,
      DB_PASS_FILE: '/etc/keys/db',
      R2_SECRET_KEY: undefined,
      R2_SECRET_KEY_FILE: '/run/secrets/key',
    }
    const text = await composed(env, { '/etc/keys/db': 'hush', '/run/secrets/key': 'hush' })
    assert.match(text, /^ {2}db_password:\n {4}file: "\/etc\/keys\/db"$/m)
    assert.match(text, /^ {2}r2_secret_key:\n {4}file: "\.\/secrets\/r2_secret_key"$/m)
  })

  test('spells a database URL out', async () => {
    const none = {
      DB_HOST: undefined,
      DB_NAME: undefined,
      DB_USER: undefined,
      DB_PASSWORD: undefined,
    }
    const url = 'postgres://me:hush-url@db.lan:6432/media?sslmode=require'
    const text = await composed({ ...none, DATABASE_URL: url })
    for (const line of [
      'DB_HOST: "db.lan"',
      'DB_PORT: "6432"',
      'DB_NAME: "media"',
      'DB_USER: "me"',
    ])
      assert.ok(text.includes(`      ${line}\n`), line)
    assert.ok(text.includes('DB_PASSWORD_FILE: /run/secrets/db_password'))
    assert.doesNotMatch(text, /DATABASE_URL|hush/)
  })

  test('gives a name that equals a secret as it is', async () => {
    const text = await composed({ DB_USER: 'media', DB_NAME: 'media2', DB_PASSWORD: 'media' })
    assert.match(text, /DB_NAME: "media2"\n +DB_USER: "media"/)
  })

  test('mounts SHADOW_DIR, and says where it is in the container', async () => {
    const text = await composed({ SHADOW_DIR: '/mnt/disk/shadow' })
    assert.match(text, /source: "\/mnt\/disk\/shadow"\n +target: "\/media\/shadow"\n/)
    assert.match(text, /SHADOW_DIR: "\/media\/shadow"/)
  })

  test('reaches from the container what listens on this machine', async () => {
    const text = await composed({
      DB_HOST: 'localhost',
      R2_ENDPOINT: 'http://127.0.0.1:9000',
      SECOND_ENDPOINT: 'http://localhost:9001',
      SECOND_BUCKET: 'second',
      SECOND_ACCESS_KEY: 'second-access',
      SECOND_SECRET_KEY: 'second-secret',
      TUNNEL_METRICS_URL: 'http://[::1]:2000',
      PUBLIC_URL: 'http://localhost:8080',
    })
    assert.match(text, /SECOND_ENDPOINT: "http:\/\/host\.docker\.internal:9001"/)
    assert.match(text, /TUNNEL_METRICS_URL: "http:\/\/host\.docker\.internal:2000"/)
    assert.match(text, /PUBLIC_URL: "http:\/\/localhost:8080"/)
    assert.match(text, /DB_HOST: "host\.docker\.internal"/)
    assert.match(text, /R2_ENDPOINT: "http:\/\/host\.docker\.internal:9000"/)
    assert.match(text, /extra_hosts: \['host\.docker\.internal:host-gateway'\]/)
    const socket = await composed({ DB_HOST: '/var/run/postgresql' })
    assert.match(socket, /source: "\/var\/run\/postgresql"\n +target: "\/var\/run\/postgresql"\n/)
  })

  test('asks for the tunnel’s secret where none is set yet', async () => {
    const text = await composed({ UNRAID_TUNNEL_SECRET: undefined, DB_PASSWORD: undefined }, {}, [
      'database',
      'bucket',
    ])
    assert.match(text, /secrets: \[r2_access_key, r2_secret_key, unraid_tunnel_secret\]/)
  })

  test('never has the value of a secret', async () => {
    const secret = 'hush-hush-hush-hush-hush-hush-hush-hush'
    const env = {
      DB_PASSWORD: secret,
      R2_ACCESS_KEY: secret,
      R2_SECRET_KEY: secret,
      UNRAID_TUNNEL_SECRET: secret,
      UNRAID_TUNNEL_SECRET_PREVIOUS: `${secret}2`,
    }
    const text = await composed(env)
    assert.doesNotMatch(text, /hush/)
    assert.ok(text.includes('unraid_tunnel_secret_previous'))
  })
})
