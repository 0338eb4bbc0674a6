import assert from 'node:assert/strict'
import { once } from 'node:events'
import { readdir, utimes } from 'node:fs/promises'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { test } from 'node:test'
import { createEdgeProbe } from '../../src/commands/edge-probe.ts'
import { sidecarPathOf } from '../../src/sidecar.ts'
import { partsOn } from '../support/adoption.ts'
import { withNginxBefore, withNginxSending } from '../support/nginx.ts'
import { startTalking, type TalkingProgram } from '../support/program.ts'
import { type Scope, withFolder } from '../support/scopes.ts'
import { type Ended, type Env, story } from '../support/service.ts'

const secret = 'a-secret-of-at-least-32-bytes-1234'
/** What Cloudflare and its tunnel do when all is set as it must be. */
const cloudflare = [
  'proxy_set_header CF-Connecting-IP 203.0.113.7; add_header CF-Ray 8f2a always; add_header CF-Cache-Status DYNAMIC always;',
]

interface Rig {
  archiveDir: string
  /** Of the file server. */
  port: number
  env: Env
  server: TalkingProgram
}

/** An archive and its file server, which believes what the address 127.0.0.1 says of its visitors. */
async function withServer(t: Scope, env: Env = { TRUSTED_PROXIES: '127.0.0.1' }): Promise<Rig> {
  const archiveDir = await withFolder(t)
  const all = { ARCHIVE_DIR: archiveDir, SERVER_PORT: '0', UNRAID_TUNNEL_SECRET: secret, ...env }
  const made = await startTalking(t, ['init-volume', '--no-database'], all).ended
  assert.equal(made.code, 0, story(made))
  const server = startTalking(t, ['start', '--role', 'serve'], all)
  return { archiveDir, env: all, server, port: await server.port('serve') }
}

/** Runs the examination through `port`, and sees that it leaves nothing behind. */
async function examine(t: Scope, rig: Rig, port: number): Promise<Ended> {
  const args = ['doctor', '--public-url', `http://127.0.0.1:${port}`]
  const ended = await startTalking(t, args, rig.env).ended
  assert.doesNotMatch(ended.stdout + ended.stderr, /eyJ/, 'it prints no token')
  assert.deepEqual(await readdir(rig.archiveDir), ['.strongroom'])
  assert.deepEqual(await readdir(join(rig.archiveDir, '.strongroom/tmp')), [])
  return ended
}

test('doctor --public-url', async (t) => {
  const rig = await withServer(t)

  await t.test('finds nothing wrong with an edge that is set as it must be', async (t) => {
    const port = await withNginxBefore(t, rig.port, { location: cloudflare })
    const ended = await examine(t, rig, port)
    assert.equal(ended.code, 0, story(ended))
    assert.equal(ended.stdout.match(/^ok {2}/gm)?.length, 9, story(ended))
    assert.match(ended.stdout, /the visitor’s address arrives: 203\.0\.113\.7\n/)
    assert.match(ended.stdout, /\neverything arrives as it was sent\n$/)
  })

  await t.test('without an edge works, and says what cannot be told', async (t) => {
    const ended = await examine(t, rig, rig.port)
    assert.equal(ended.code, 0, story(ended))
    assert.match(ended.stdout, /note no visitor’s address arrives.*\n {4}this answer did not come/)
  })

  await t.test(
    'says so when nothing answers, and when its own files were left behind',
    async (t) => {
      const left = createEdgeProbe(await partsOn(rig.archiveDir, {}))
      await left.place()
      await utimes(join(rig.archiveDir, sidecarPathOf(left.archivePath)), 1, 1)
      const server = createServer().listen(0, '127.0.0.1')
      await once(server, 'listening')
      const { port } = server.address() as AddressInfo
      server.close()
      const ended = await examine(t, rig, port)
      assert.equal(ended.code, 69, story(ended))
      assert.match(
        ended.stdout,
        /FAIL edge: nothing answers at .* \(ECONNREFUSED\)\n {4}.*cloudflared runs/,
      )
    },
  )

  await t.test('names another secret and another archive', async (t) => {
    const other = { ...rig, env: { ...rig.env, UNRAID_TUNNEL_SECRET: `${secret}-another` } }
    const unknown = await examine(t, other, rig.port)
    assert.equal(unknown.code, 69, story(unknown))
    assert.match(unknown.stdout, /FAIL .* does not believe a token of this UNRAID_TUNNEL_SECRET/)
    const elsewhere = { ...rig, archiveDir: await withFolder(t) }
    elsewhere.env = { ...rig.env, ARCHIVE_DIR: elsewhere.archiveDir }
    await startTalking(t, ['init-volume', '--no-database'], elsewhere.env).ended
    const astray = await examine(t, elsewhere, rig.port)
    assert.equal(astray.code, 69, story(astray))
    assert.match(astray.stdout, /FAIL .* serves another archive than this ARCHIVE_DIR/)
  })

  await t.test('wants an address', async (t) => {
    for (const args of [['--public-url'], ['--public-url', 'media.example.org']]) {
      const ended = await startTalking(t, ['doctor', ...args], rig.env).ended
      assert.equal(ended.code, 64, story(ended))
    }
    const env = { ...rig.env, PUBLIC_URL: `http://127.0.0.1:${rig.port}` }
    const ended = await startTalking(t, ['doctor', '--public-url'], env).ended
    assert.equal(ended.code, 0, story(ended))
  })
})

test('doctor --public-url finds nothing wrong with an nginx that sends the files', async (t) => {
  const rig = await withServer(t, {
    SENDFILE_HEADER: 'X-Accel-Redirect',
    SENDFILE_PREFIX: '/strongroom-archive/',
    TRUSTED_PROXIES: '127.0.0.1',
  })
  const port = await withNginxSending(t, rig)
  const ended = await examine(t, rig, port)
  assert.equal(ended.code, 0, story(ended))
  assert.equal(ended.stdout.match(/^ok {2}/gm)?.length, 9, story(ended))
  await rig.server.said(/"offloaded":true/)
})

test('doctor --public-url names the proxy that the file server does not trust', async (t) => {
  const rig = await withServer(t, {})
  const port = await withNginxBefore(t, rig.port, { location: cloudflare })
  const ended = await examine(t, rig, port)
  assert.equal(ended.code, 78, story(ended))
  assert.match(ended.stdout, /FAIL CF-Connecting-IP arrives.*\n {4}TRUSTED_PROXIES=127\.0\.0\.1 /)
})

test('doctor --public-url that is stopped takes its file out again', async (t) => {
  const rig = await withServer(t)
  // An edge that answers until the file is there, and then no more.
  let hangs = () => {}
  const hung = new Promise<void>((resolve) => {
    hangs = resolve
  })
  const edge = createServer((request, response) => {
    const target = `http://127.0.0.1:${rig.port}${request.url}`
    void fetch(target).then(async (answer) => {
      if (answer.status === 200) return hangs()
      response.writeHead(answer.status).end(await answer.text())
    })
  }).listen(0, '127.0.0.1')
  t.after(() => edge.close().closeAllConnections())
  await once(edge, 'listening')
  const { port } = edge.address() as AddressInfo
  const args = ['doctor', '--public-url', `http://127.0.0.1:${port}`]
  const doctor = startTalking(t, args, rig.env)
  await hung
  assert.equal((await readdir(rig.archiveDir)).length, 3, 'marker, file and sidecar')
  const ended = await doctor.stop()
  assert.equal(ended.code, 1, story(ended))
  assert.match(ended.stdout, /FAIL edge: the examination was stopped/)
  assert.deepEqual(await readdir(rig.archiveDir), ['.strongroom'])
})
