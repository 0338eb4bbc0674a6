import assert from 'node:assert/strict'
import { EventEmitter } from 'node:events'
import { readdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { MARKER_PATH } from '../../src/archive-path.ts'
import { runCli } from '../../src/cli.ts'
import { readAddressRange } from '../../src/ip-address.ts'
import { type ServerScope, testTokens, withFileServer } from '../support/file-server.ts'
import { withNginxBefore } from '../support/nginx.ts'

/** What Cloudflare and its tunnel do when all is set as it must be. */
const cloudflare = [
  'proxy_set_header CF-Connecting-IP 203.0.113.7; add_header CF-Ray 8f2a always; add_header CF-Cache-Status DYNAMIC always;',
]

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

/** Runs `doctor --public-url` in this process, which saves the time that a process takes to start. */
async function examine({ archiveDir }: ServerScope, port: number) {
  let text = ''
  const print = (more: string) => {
    text += more
  }
  const code = await runCli(
    {
      env: {
        ARCHIVE_DIR: archiveDir,
        UNRAID_TUNNEL_SECRET: testTokens.secrets[0],
        LOG_LEVEL: 'error',
      },
      readFile: () => assert.fail('no file is named'),
      out: print,
      err: print,
      terminal: null,
      signals: new EventEmitter(),
      exit: (status) => assert.fail(`ends at once with ${status}`),
      setUmask: () => {},
      version: 'test',
      reached: () => {},
      stdout: 1,
      stderr: 2,
    },
    ['doctor', '--public-url', `http://127.0.0.1:${port}`],
  )
  assert.doesNotMatch(text, /eyJ/, 'it prints no token')
  assert.deepEqual(await readdir(archiveDir), ['.strongroom'], 'it leaves nothing behind')
  assert.deepEqual(await readdir(join(archiveDir, '.strongroom/tmp')), [])
  return { code, text }
}

test('doctor --public-url names the setting behind an edge that', async (t) => {
  const proxy = readAddressRange('127.0.0.1')
  assert.ok(proxy)
  await withFileServer({ rules: { trustedProxies: [proxy] } }, async (scope) => {
    const marker = { schema_version: 1, id: crypto.randomUUID(), created_at: 'now' }
    await writeFile(join(scope.archiveDir, MARKER_PATH), JSON.stringify(marker))
    for (const { name, location, to, http, says, failures = 1 } of faults) {
      await t.test(name, async (t) => {
        const behind = to ?? scope.listening.port
        const port = await withNginxBefore(t, behind, http ? { location, http } : { location })
        const { code, text } = await examine(scope, port)
        assert.match(text, says)
        assert.equal(text.match(/^FAIL/gm)?.length, failures, text)
        assert.ok(code === 78 || code === 69, text)
        assert.match(text, /\nnext, then run it again:\n {2}1\. /)
      })
    }
  })
})
