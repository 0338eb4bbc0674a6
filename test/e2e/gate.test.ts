import assert from 'node:assert/strict'
import { mkdir, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { test } from 'node:test'
import { MARKER_PATH } from '../../src/archive-path.ts'
import { addFile, ask } from '../support/file-server.ts'
import { startTalking, tokenFor } from '../support/program.ts'
import { type Scope, withFolder } from '../support/scopes.ts'
import { type Env, story } from '../support/service.ts'

const secret = 'a-secret-of-at-least-32-bytes-1234'

/** A file server alone over one file with media id 7, at `/f.mp4`. */
async function startServer(t: Scope, more: Env) {
  const archiveDir = await withFolder(t)
  await mkdir(join(archiveDir, dirname(MARKER_PATH)))
  await writeFile(join(archiveDir, MARKER_PATH), '{}')
  await addFile(archiveDir, { path: 'f.mp4', contents: 'bytes', facts: { media_id: 7 } })
  const env = { ARCHIVE_DIR: archiveDir, SERVER_PORT: '0', UNRAID_TUNNEL_SECRET: secret, ...more }
  const program = startTalking(t, ['start', '--role', 'serve'], env)
  const port = await program.port('serve')
  const statusFor = async (token: string, address: string) => {
    const headers = { 'cf-connecting-ip': address }
    return (await ask(port, `/f.mp4?token=${token}`, { headers })).status
  }
  return { program, statusFor }
}

test('the settings say whose word counts for the address of a visitor, and how often one may fail', async (t) => {
  const limit = { TOKEN_FAILURES_PER_MINUTE: '2' }
  const good = tokenFor(secret, { media_id: 7 })
  const behind = await startServer(t, { ...limit, TRUSTED_PROXIES: '127.0.0.1' })
  for (const status of [401, 401, 429])
    assert.equal(await behind.statusFor('x', '192.0.2.1'), status)
  assert.equal(await behind.statusFor('x', '192.0.2.2'), 401)
  assert.equal(await behind.statusFor(good, '192.0.2.1'), 200)
  const { stdout } = await behind.program.stop()
  assert.match(stdout, /"status":429,.*"reason":"malformed","client":"192\.0\.2\.1"/)

  const open = await startServer(t, limit)
  for (const [index, status] of [401, 401, 429].entries())
    assert.equal(await open.statusFor('x', `192.0.2.${index}`), status)
  const ended = await open.program.stop()
  assert.match(ended.stdout, /"level":"warn",.*"peer":"127\.0\.0\.1",.*TRUSTED_PROXIES/)
  assert.equal(ended.stdout.split('TRUSTED_PROXIES').length, 2, 'said once')
})

test('while the secret is changed, links of the old one go on working, and no others', async (t) => {
  const old = 'the-secret-before-that-of-32-bytes'
  const { statusFor } = await startServer(t, { UNRAID_TUNNEL_SECRET_PREVIOUS: old })
  for (const [key, status] of [
    [secret, 200],
    [old, 200],
    [`${old}er`, 401],
  ] as const)
    assert.equal(await statusFor(tokenFor(key, { media_id: 7 }), '192.0.2.1'), status, key)
})

test('files are served although the database, which knows what is revoked, is away', async (t) => {
  const { program, statusFor } = await startServer(t, {
    DB_HOST: '127.0.0.1',
    DB_PORT: '9',
    DB_NAME: 'app',
    DB_USER: 'app',
  })
  assert.equal(await statusFor(tokenFor(secret, { media_id: 7 }), '192.0.2.1'), 200)
  const ended = await program.stop()
  assert.equal(ended.code, 0, story(ended))
  const warnings = ended.stdout.split('\n').filter((line) => line.includes('"level":"warn"'))
  assert.equal(warnings.length, 1, story(ended))
  assert.match(
    warnings[0] ?? '',
    /"code":"DB_UNAVAILABLE".*"message":"revoked tokens cannot be read; /,
  )
})
