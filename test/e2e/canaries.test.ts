/** Every secret is new in each run; none of them comes out of anything that the program says, answers or writes. */
import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { settings } from '../../src/config/settings.ts'
import { leaksIn, secretsIn } from '../support/canaries.ts'
import type { TestSql } from '../support/postgres.ts'
import { startTalking, tokenFor } from '../support/program.ts'
import { type Env, type Service, story, withService } from '../support/service.ts'

const canary = () => `canary/+"${randomBytes(20).toString('hex')}`

/** Every secret setting, all of them in use. */
function withSecrets(service: Service): Env {
  const { DB_USER = '', DB_PASSWORD = '', DB_HOST, DB_PORT, DB_NAME } = service.env
  return {
    ...service.env,
    DATABASE_URL: `postgres://${DB_USER}:${DB_PASSWORD}@${DB_HOST}:${DB_PORT}/${DB_NAME}`,
    UNRAID_TUNNEL_SECRET: canary(),
    UNRAID_TUNNEL_SECRET_PREVIOUS: canary(),
    ADMIN_TOKEN: canary(),
    SECOND_ENDPOINT: 'http://127.0.0.1:9',
    SECOND_BUCKET: 'second',
    SECOND_ACCESS_KEY: canary(),
    SECOND_SECRET_KEY: canary(),
    ...withMessages(),
  }
}

/** Nobody listens there: every attempt fails, and the log says so. */
function withMessages(): Env {
  const at = 'http://127.0.0.1:9'
  const hex = () => randomBytes(20).toString('hex')
  const encoded = () => encodeURIComponent(canary())
  return {
    NOTIFY_ON: 'always',
    NOTIFY_ALLOW_PRIVATE: '127.0.0.1',
    NOTIFY_SLACK_URL: `${at}/services/T0/B0/${encoded()}`,
    NOTIFY_DISCORD_URL: `${at}/api/webhooks/1/${encoded()}`,
    NOTIFY_NTFY_URL: `${at}/${hex()}`,
    NOTIFY_NTFY_TOKEN: canary(),
    NOTIFY_APPRISE_URL: `${at}/notify/${hex()}`,
    NOTIFY_WEBHOOK_URL: `${at}/${encoded()}`,
    NOTIFY_WEBHOOK_SECRET: canary(),
    NOTIFY_SMTP_URL: `smtp://someone:${encoded()}@127.0.0.1:9`,
    NOTIFY_EMAIL_FROM: 'strongroom@example.org',
    NOTIFY_EMAIL_TO: 'admin@example.org',
    NOTIFY_PING_URL: `${at}/${encoded()}`,
    NOTIFY_KUMA_URL: `${at}/api/push/${encoded()}`,
  }
}

/** Every row of every table, as text. */
async function rowsOf(sql: TestSql): Promise<string> {
  const tables = await sql<{ name: string }[]>`
    select format('%I.%I', table_schema, table_name) as name from information_schema.tables
    where table_schema in ('public', 'strongroom')`
  const texts = tables.map(async ({ name }) => {
    const rows = await sql<{ text: string }[]>`select t::text as text from ${sql.unsafe(name)} t`
    return rows.map(({ text }) => text)
  })
  return (await Promise.all(texts)).flat().join('\n')
}

async function filesOf(folders: readonly string[]): Promise<string> {
  const texts: string[] = []
  for (const folder of folders) {
    const entries = await readdir(folder, { recursive: true, withFileTypes: true })
    for (const entry of entries.filter((found) => found.isFile()))
      texts.push(entry.name, await readFile(join(entry.parentPath, entry.name), 'latin1'))
  }
  return texts.join('\n')
}

/** What a stranger and a token holder get of every page, headers and all. */
async function answersOf(ports: readonly number[], targets: readonly string[]): Promise<string> {
  const texts: string[] = []
  for (const port of ports) {
    for (const target of targets) {
      for (const method of ['GET', 'POST', 'OPTIONS']) {
        const answer = await fetch(`http://127.0.0.1:${port}${target}`, { method })
        texts.push(JSON.stringify([...answer.headers]), await answer.text())
      }
    }
  }
  return texts.join('\n')
}

test('a secret is found however it is spelt', () => {
  const secret = canary()
  const bytes = Buffer.from(secret)
  const spellings = [secret, encodeURIComponent(secret), JSON.stringify(secret)]
  for (const text of [...spellings, bytes.toString('base64'), bytes.toString('hex')])
    assert.equal(leaksIn(`before ${text} after`, { R2_SECRET_KEY: secret }).length, 1, text)
  assert.deepEqual(leaksIn(secret.slice(1), { R2_SECRET_KEY: secret }), [])
})

test('no secret comes out of what the program says, answers, files or records', async (t) => {
  const service = await withService(t)
  const env = withSecrets(service)
  assert.deepEqual(
    [...secretsIn(env).keys()].sort(),
    Object.entries(settings)
      .flatMap(([name, setting]) => ('secret' in setting ? [name] : []))
      .sort(),
    'every secret setting is set',
  )
  const uploads = await service.approve(4, (n) =>
    n === 3 ? { bytes: Buffer.from('no medium') } : undefined,
  )
  // Whatever a command ends with, its own words are searched by the runner.
  const broken = { DATABASE_URL: `${env.DATABASE_URL}-absent` }
  for (const [args, more] of [
    [['sync', '--once', '--json'], {}],
    [['doctor'], {}],
    [['doctor', '--compose'], {}],
    [['config'], {}],
    [['token', '--media', '99'], {}],
    [['notify', 'test'], {}],
    [['notify', 'test'], { NOTIFY_ALLOW_PRIVATE: '10.0.0.0/8' }],
    [['config'], { NOTIFY_ALLOW_PRIVATE: '', NOTIFY_EMAIL_TO: 'nobody' }],
    [['doctor'], broken],
    [['sync', '--once'], broken],
    [['sync', '--once'], { R2_ENDPOINT: 'http://127.0.0.1:9' }],
    [['doctor'], { R2_SECRET_KEY: canary() }],
    [['config'], { DB_PORT: 'x', UNRAID_TUNNEL_SECRET: 'short' }],
    [['sync', '--once'], { DB_PASSWORD: canary(), DATABASE_URL: '' }],
  ] as const) {
    const ended = await service.run(args, { ...env, ...more })
    assert.equal(ended.signal, null, story(ended))
  }

  const program = startTalking(t, ['start'], { ...env, LOG_LEVEL: 'debug' })
  const ports = [await program.port('serve'), await program.port('admin')]
  const token = tokenFor(env.UNRAID_TUNNEL_SECRET ?? '', { media_id: uploads[0]?.mediaId ?? 0 })
  const [row] = await service.sql<{ path: string }[]>`
    select archive_path as path from media where id = ${uploads[0]?.mediaId ?? 0}`
  const query = `?token=${token}`
  const said = await answersOf(ports, [
    ...['/health', '/health/deep', '/metrics', `/absent${query}`, '/absent?token=x'],
    ...[`/${row?.path}${query}`, `/${row?.path}/-${query}`, `/${token}`, `/%zz${query}`],
  ])
  const ended = await program.stop()
  const written = await filesOf([service.archiveDir, service.errorDir])
  const recorded = await rowsOf(service.sql)
  assert.match(written, /"schema_version"/, 'the sidecars were read')
  assert.match(recorded, /no medium|media_invalid|MEDIA_INVALID|rejected/, 'the rows were read')
  assert.deepEqual(leaksIn([said, written, recorded].join('\n'), env), [])
  assert.ok(!`${ended.stdout}${written}${recorded}`.includes(token), 'nor does a token')
})
