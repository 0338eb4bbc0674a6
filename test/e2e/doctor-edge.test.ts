import assert from 'node:assert/strict'
import { once } from 'node:events'
import { readdir, utimes, writeFile } from 'node:fs/promises'
import { type AddressInfo, createServer } from 'node:net'
import { join } from 'node:path'
import { test } from 'node:test'
import { withNginxBefore } from '../support/nginx.ts'
import { startTalking } from '../support/program.ts'
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
}

/** An archive and its file server, which believes what the address 127.0.0.1 says of its visitors. */
async function withServer(t: Scope, env: Env = { TRUSTED_PROXIES: '127.0.0.1' }): Promise<Rig> {
  const archiveDir = await withFolder(t)
  const all = { ARCHIVE_DIR: archiveDir, SERVER_PORT: '0', UNRAID_TUNNEL_SECRET: secret, ...env }
  const made = await startTalking(t, ['init-volume', '--no-database'], all).ended
  assert.equal(made.code, 0, story(made))
  const server = startTalking(t, ['start', '--role', 'serve'], all)
  return { archiveDir, env: all, port: await server.port('serve') }
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

const caching = (prefix: string) => [`proxy_cache_path ${prefix}/cache keys_zone=files:1m;`]
const keep = 'proxy_cache files; proxy_ignore_headers Cache-Control Expires;'

interface Fault {
  name: string
  location: string[]
  http?: (prefix: string) => string[]
  /** The port behind it, if not the file server's. */
  to?: number
  /** What is told, and the setting that is named for it. */
  says: RegExp
  /** How many failures it is; more than one only where nginx cannot do the one without the other. */
  failures?: number
}

const faults: Fault[] = [
  {
    name: 'drops Range',
    location: [...cloudflare, 'proxy_set_header Range ""; max_ranges 0;'],
    says: /FAIL Range is lost: 200 with 262147 bytes instead of 206\n {4}Cloudflare: .* "Bypass cache"\n/,
  },
  {
    name: 'compresses, which weakens the ETag',
    location: [...cloudflare, 'gzip on; gzip_types *; gzip_proxied any; gzip_min_length 0;'],
    says: /FAIL the file is compressed on the way \(gzip\)\n {4}.*Respect strong ETags "On"\n {4}.*"Disable compression"\n/,
  },
  {
    name: 'weakens the ETag alone',
    location: [
      ...cloudflare,
      'proxy_hide_header ETag; add_header ETag W/$upstream_http_etag always;',
    ],
    says: /FAIL the ETag is weakened: .*\n {4}.*Respect strong ETags "On"\n/,
  },
  {
    name: 'rewrites bodies, which loses Content-Length',
    location: [...cloudflare, 'sub_filter "no such text in it" ""; sub_filter_types *;'],
    says: /FAIL Content-Length is lost: .*\n {4}Cloudflare: no Worker, Snippet/,
    failures: 2,
  },
  {
    name: 'caches files',
    location: [...cloudflare, keep, 'proxy_cache_valid 200 206 1m;'],
    http: caching,
    says: /FAIL a read is answered from a cache \(DYNAMIC\): links would outlive their tokens\n {4}Cloudflare: .* "Bypass cache"\n/,
  },
  {
    name: 'says that it keeps files',
    location: [cloudflare.join('').replace('DYNAMIC', 'MISS')],
    says: /FAIL the edge keeps files \(its cache says MISS\): .*\n {4}Cloudflare: .* "Bypass cache"\n/,
  },
  {
    name: 'keeps errors',
    location: [
      ...cloudflare,
      keep,
      'proxy_cache_valid 404 1m; proxy_cache_convert_head off; proxy_cache_key $request_method$request_uri;',
    ],
    http: caching,
    says: /FAIL a link that was asked for too early \(404\) is still answered with 404 .*\n {4}.*no Edge TTL by status code/,
  },
  {
    name: 'turns HEAD into GET',
    location: [...cloudflare, 'proxy_method GET;'],
    says: /FAIL HEAD arrives here as GET: .*\n {4}Cloudflare: .* "Bypass cache"\n/,
  },
  {
    name: 'refuses HEAD',
    location: [...cloudflare, 'if ($request_method = HEAD) { return 405; }'],
    says: /FAIL HEAD is answered with 405\n(?: {4}.*\n)* {4}Cloudflare: Security › WAF: no rule that refuses/,
  },
  {
    name: 'hides the visitor’s address',
    location: ['add_header CF-Ray 8f2a always;'],
    says: /FAIL no visitor’s address arrives: all visitors count as 127\.0\.0\.1\n {4}.*"Remove visitor IP headers" off/,
  },
  {
    name: 'changes bytes',
    location: [...cloudflare, 'return 200 "not the file";'],
    says: /FAIL something other than Strongroom answers at .* \(200\)\n {4}.*Tunnels: the public hostname/,
  },
  {
    name: 'asks visitors whether they are human',
    location: [
      'add_header CF-Ray 8f2a always; add_header cf-mitigated challenge always; return 403;',
    ],
    says: /FAIL the edge refuses visitors \(403\)\n {4}Cloudflare: Security › Bots: Bot Fight Mode off/,
  },
  {
    name: 'wants visitors to log in',
    location: ['return 302 https://team.cloudflareaccess.com/cdn-cgi/access/login?kid=1;'],
    says: /FAIL a login stands before .*\n {4}Cloudflare: Zero Trust › Access/,
  },
  {
    name: 'sends visitors elsewhere',
    location: ['return 301 https://other.example.org$request_uri;'],
    says: /FAIL http:.* leads elsewhere: 301 to https:\/\/other\.example\.org\/[^?\n]*\n {4}use that address/,
  },
  {
    name: 'does not reach the file server',
    location: [],
    to: 1,
    says: /FAIL the edge does not reach the file server \(502\)\n {4}Cloudflare: Zero Trust › Networks › Tunnels/,
  },
]

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

  for (const { name, location, to, http, says, failures = 1 } of faults) {
    await t.test(`names the setting behind an edge that ${name}`, async (t) => {
      const port = await withNginxBefore(
        t,
        to ?? rig.port,
        http ? { location, http } : { location },
      )
      const ended = await examine(t, rig, port)
      assert.match(ended.stdout, says, story(ended))
      assert.equal(ended.stdout.match(/^FAIL/gm)?.length, failures, story(ended))
      assert.ok(ended.code === 78 || ended.code === 69, story(ended))
      assert.match(ended.stdout, /\nnext, then run it again:\n {2}1\. /)
    })
  }

  await t.test('without an edge works, and says what cannot be told', async (t) => {
    const ended = await examine(t, rig, rig.port)
    assert.equal(ended.code, 0, story(ended))
    assert.match(ended.stdout, /note no visitor’s address arrives.*\n {4}this answer did not come/)
  })

  await t.test(
    'says so when nothing answers, and when its own files were left behind',
    async (t) => {
      const names = ['mp4', 'mp4.json'].map((end) => `strongroom-doctor-0123456789abcdef.${end}`)
      for (const name of names) {
        await writeFile(join(rig.archiveDir, name), 'left by a killed examination')
        await utimes(join(rig.archiveDir, name), 1, 1)
      }
      const server = createServer().listen(0, '127.0.0.1')
      await once(server, 'listening')
      const { port } = server.address() as AddressInfo
      server.close()
      const ended = await examine(t, rig, port)
      assert.equal(ended.code, 69, story(ended))
      assert.match(
        ended.stdout,
        /FAIL nothing answers at .* \(ECONNREFUSED\)\n {4}.*cloudflared runs/,
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

test('doctor --public-url names the proxy that the file server does not trust', async (t) => {
  const rig = await withServer(t, {})
  const port = await withNginxBefore(t, rig.port, { location: cloudflare })
  const ended = await examine(t, rig, port)
  assert.equal(ended.code, 78, story(ended))
  assert.match(ended.stdout, /FAIL CF-Connecting-IP arrives.*\n {4}TRUSTED_PROXIES=127\.0\.0\.1 /)
})
