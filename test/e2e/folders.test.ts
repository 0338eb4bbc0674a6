import assert from 'node:assert/strict'
import { symlink } from 'node:fs/promises'
import { describe, test } from 'node:test'
import { startTalking } from '../support/program.ts'
import { withService } from '../support/service.ts'

/** Nothing answers there: whoever opens the database first waits for it for ever. */
const settings = {
  PATH: process.env.PATH ?? '',
  DB_HOST: '127.0.0.1',
  DB_PORT: '1',
  DB_NAME: 'app',
  DB_USER: 'strongroom',
  R2_ENDPOINT: 'http://127.0.0.1:1',
  R2_BUCKET: 'media',
  R2_ACCESS_KEY: 'none',
  R2_SECRET_KEY: 'none',
  UNRAID_TUNNEL_SECRET: 'a secret of 32 bytes or even more',
  SERVER_PORT: '0',
  ADMIN_PORT: '0',
}

describe('with REQUIRE_MOUNT', () => {
  for (const { title, args, env } of [
    { title: 'start', args: [], env: {} },
    { title: 'start in a dry run', args: [], env: { MODE: 'dry-run' } },
    { title: 'a file server alone', args: ['--role', 'serve'], env: {} },
  ])
    test(`${title} refuses an archive on no mounted volume before it waits for anything`, async (t) => {
      const folders = { ARCHIVE_DIR: '/nowhere/archive', REQUIRE_MOUNT: 'true' }
      const program = startTalking(t, ['start', ...args], { ...settings, ...env, ...folders })
      const { code, stdout, stderr } = await program.ended
      assert.deepEqual([code, stdout], [74, ''])
      assert.match(stderr, /^strongroom: ARCHIVE_DIR \/nowhere\/archive is on no mounted volume\n/)
    })

  for (const args of [['sync', '--once'], ['reconcile'], ['init-volume'], ['accept-volume']])
    test(`${args.join(' ')} writes nothing to an archive on no mounted volume`, async (t) => {
      const service = await withService(t)
      const folders = { ARCHIVE_DIR: '/nowhere/archive', REQUIRE_MOUNT: 'true' }
      const { code, stdout, stderr } = await service.run(args, folders)
      assert.deepEqual([code, stdout], [74, ''])
      assert.match(stderr, /^strongroom: ARCHIVE_DIR \/nowhere\/archive is on no mounted volume$/m)
    })
})

test('an ERROR_DIR that leads to ARCHIVE_DIR is refused: what is rejected may be removed', async (t) => {
  const service = await withService(t)
  await symlink(service.archiveDir, service.errorDir)
  const { code, stdout, stderr } = await service.run(['sync', '--once'])
  assert.deepEqual([code, stdout], [78, ''])
  assert.match(stderr, /^strongroom: ERROR_DIR \S+ is ARCHIVE_DIR \S+ under another name$/m)
  const examined = await service.run(['doctor'])
  assert.match(examined.stdout + examined.stderr, /is ARCHIVE_DIR \S+ under another name/)
})

test('start names a missing archive before it waits for its database', async (t) => {
  const env = { ...settings, ARCHIVE_DIR: '/nowhere/archive' }
  const { code, stderr } = await startTalking(t, ['start'], env).ended
  assert.equal(code, 74)
  assert.match(stderr, /^strongroom: ARCHIVE_DIR \/nowhere\/archive does not exist\n/)
})
