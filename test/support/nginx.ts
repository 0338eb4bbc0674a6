/** Debian's nginx as a peer to compare with: a process of its own, on a Unix socket, over any folder. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { freePort } from './ports.ts'
import type { Scope } from './scopes.ts'

/**
 * Starts nginx over `root`, every file a video/mp4; it is gone after the test.
 *
 * @returns the path of its socket
 */
export async function withNginx(t: Scope, root: string): Promise<string> {
  const prefix = await mkdtemp(join(tmpdir(), 'strongroom-nginx-'))
  const socket = join(prefix, 'socket')
  await startNginx(t, prefix, [
    'default_type video/mp4; max_ranges 16;',
    `server { listen unix:${socket}; root ${root}; }`,
  ])
  return socket
}

/**
 * Starts nginx as an edge before the server on `port`; it is gone after the test.
 *
 * @param how lines for its location, and for its http block
 * @returns its own port
 */
export async function withNginxBefore(
  t: Scope,
  port: number,
  how: { location?: readonly string[]; http?: (prefix: string) => readonly string[] } = {},
): Promise<number> {
  const prefix = await mkdtemp(join(tmpdir(), 'strongroom-nginx-'))
  const own = await freePort()
  await startNginx(t, prefix, [
    ...(how.http?.(prefix) ?? []),
    `server { listen 127.0.0.1:${own}; location / {`,
    `proxy_pass http://127.0.0.1:${port}; proxy_http_version 1.1;`,
    ...(how.location ?? []),
    '} }',
  ])
  return own
}

const ours = join(import.meta.dirname, '../../deploy/nginx.conf')

/**
 * Starts nginx as deploy/nginx.conf has it, sending the files of `archiveDir` for the server on `port`; it is gone after
 * the test.
 *
 * @param change a last word on the file
 * @returns its own port
 */
export async function withNginxSending(
  t: Scope,
  place: { port: number; archiveDir: string },
  change = (conf: string) => conf,
): Promise<number> {
  const prefix = await mkdtemp(join(tmpdir(), 'strongroom-nginx-'))
  const own = await freePort()
  const conf = (await readFile(ours, 'utf8'))
    .replace('127.0.0.1:8080', `127.0.0.1:${place.port}`)
    .replace('listen 8082', `listen 127.0.0.1:${own}`)
    .replace('/var/log/nginx/error.log', 'stderr')
    .replaceAll('/media/archive/', `${place.archiveDir}/`)
  await startNginx(t, prefix, ['default_type text/plain;', change(conf)])
  return own
}

async function startNginx(t: Scope, prefix: string, http: readonly string[]): Promise<void> {
  const temporary = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi']
  const lines = [
    'daemon off; master_process off; error_log stderr notice; pid pid;',
    ...(process.getuid?.() === 0 ? ['user root;'] : []),
    'events {}',
    'http {',
    ...temporary.map((name) => `${name}_temp_path ${prefix}/${name};`),
    'access_log off;',
    ...http,
    '}',
  ]
  await writeFile(join(prefix, 'nginx.conf'), lines.join('\n'))
  const child = spawn('nginx', ['-p', prefix, '-c', 'nginx.conf', '-e', 'stderr'], {
    stdio: ['ignore', 'ignore', 'pipe'],
    env: { PATH: `${process.env.PATH}:/usr/sbin` },
  })
  const ended = once(child, 'close').catch((cause: unknown) => {
    throw new Error('nginx is missing: run scripts/setup', { cause })
  })
  t.after(async () => {
    child.kill('SIGKILL')
    await ended
    await rm(prefix, { recursive: true, force: true })
  })
  let said = ''
  await new Promise<void>((resolve, reject) => {
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      said += text
      // It says so once it listens.
      if (said.includes('event method')) resolve()
    })
    ended.then(() => reject(new Error(`nginx ended: ${said}`)), reject)
  })
}
