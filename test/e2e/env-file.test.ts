import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { envExample } from '../../src/config/docs.ts'
import { withFolder } from '../support/scopes.ts'
import { type Env, story, withService } from '../support/service.ts'

test('.env.example, filled in, sets a password and a schedule that a shell would tear apart', async (t) => {
  const service = await withService(t)
  const { sql, env } = service
  const name = `p${randomBytes(8).toString('hex')}`
  const password = `p@ss w$rd #1 'q" \\ \`id\` ${randomBytes(8).toString('hex')}`
  await sql.unsafe(`create role ${name} login password '${password.replaceAll("'", "''")}'`)
  await sql.unsafe(`grant create on database "${service.database.database}" to ${name}`)
  const wanted: Env = {
    ...env,
    DB_USER: name,
    DB_PASSWORD: password,
    SYNC_INTERVAL: '*/10 * * * *',
    UNRAID_TUNNEL_SECRET: 'a # secret of "32" bytes or $more',
  }
  const filled = envExample().replace(/^#?([A-Z0-9_]+)=.*$/gm, (line, key: string) =>
    wanted[key] === undefined ? line : `${key}=${wanted[key]}`,
  )
  const file = join(await withFolder(t), '.env')
  await writeFile(file, filled)
  const unset = Object.fromEntries(
    Object.keys(env)
      .filter((key) => !/^(PATH|NODE_)/.test(key))
      .map((key) => [key, '']),
  )

  const shown = await service.run(['config', '--env-file', file], unset)
  assert.equal(shown.code, 0, story(shown))
  assert.match(shown.stdout, /^SYNC_INTERVAL=\*\/10 \* \* \* \* {2}# env$/m)
  const slipped = await service.run(['config', '--env-file', file], { ...unset, DB_HSOT: 'db' })
  assert.equal(slipped.code, 0, story(slipped))
  assert.match(slipped.stderr, /^strongroom: warning: .*DB_HSOT.*DB_HOST/m)
  const migrated = await service.run(['--env-file', file, 'migrate'], unset)
  assert.equal(migrated.code, 0, story(migrated))
  const owners =
    await sql`select nspowner::regrole::text as owner from pg_namespace where nspname = 'strongroom'`
  assert.deepEqual([...owners], [{ owner: name }])
  await sql.unsafe(`drop owned by ${name} cascade; drop role ${name}`)

  const absent = await service.run(['--env-file', `${file}.not`, 'migrate'], unset)
  assert.equal(absent.code, 78, story(absent))
  assert.match(absent.stderr, /^strongroom: --env-file \S+ cannot be read: there is no such file\n/)
})
