import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { mkdir, writeFile } from 'node:fs/promises'
import { get } from 'node:http'
import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { freePort } from '../../test/support/ports.ts'
import {
  type BenchFile,
  plainTarget,
  SECRET,
  secureLinkTarget,
  strongroomTarget,
} from './archive.ts'

const PROGRAM = join(import.meta.dirname, '..', '..', 'bin', 'strongroom')

/** A server under test, in a process of its own. */
export interface BenchServer {
  name: string
  port: number
  /** A link to a file; `serial` asks for a token that was never used before, where there are tokens. */
  target(file: BenchFile, serial?: number): string
  hasHealth: boolean
  pid: number
  /** Of all its processes together. */
  usage(): { cpuSeconds: number; rssMib: number }
  stop(): Promise<void>
}

export interface Place {
  archiveDir: string
  folder: string
  /** Whether servers write a line for each request into a file, as they do by default. */
  logged: boolean
}

/** `program`: bin/strongroom of this checkout, or of another one to compare with. */
export async function startStrongroom(
  { archiveDir, logged, folder }: Place,
  how: { name?: string; program?: string; env?: Record<string, string> } = {},
): Promise<BenchServer> {
  const { name = 'strongroom', program = PROGRAM, env: more = {} } = how
  const port = await freePort()
  const env = {
    PATH: process.env.PATH ?? '',
    ARCHIVE_DIR: archiveDir,
    SERVER_PORT: String(port),
    UNRAID_TUNNEL_SECRET: SECRET,
    LOG_LEVEL: logged ? 'info' : 'warn',
    MAX_STREAMS_PER_USER: '10000',
    MAX_STREAMS_PER_CLIENT: '10000',
    MAX_CONNECTIONS: '4096',
    ...more,
  }
  const child = startProcess({ program, args: ['start', '--role', 'serve'], env, folder, name })
  return running(child, { name, port, hasHealth: true, target: strongroomTarget })
}

/** One worker, as the figures to reach have it; secure_link is what its users would take for tokens. */
export async function startNginx(place: Place): Promise<BenchServer> {
  const port = await freePort()
  const child = await startNginxWith(place, 'nginx', [
    `server {
        listen 127.0.0.1:${port} backlog=1024;
        root ${place.archiveDir};
        location = /health { return 200 "ok"; }
        location / {
          secure_link $arg_md5,$arg_expires;
          secure_link_md5 "$secure_link_expires$uri ${SECRET}";
          if ($secure_link = "") { return 403; }
          if ($secure_link = "0") { return 410; }
        }
      }`,
  ])
  return running(child, { name: 'nginx', port, hasHealth: true, target: secureLinkTarget })
}

/** deploy/nginx.conf: nginx, one worker, sends the files that a Strongroom behind it has judged. Both are counted. */
export async function startSending(place: Place): Promise<BenchServer> {
  const behind = await startStrongroom(place, {
    name: 'strongroom behind nginx',
    env: {
      SENDFILE_HEADER: 'X-Accel-Redirect',
      SENDFILE_PREFIX: '/strongroom-archive/',
      TRUSTED_PROXIES: '127.0.0.1',
    },
  })
  const port = await freePort()
  const ours = readFileSync(join(import.meta.dirname, '..', '..', 'deploy', 'nginx.conf'), 'utf8')
    .replace('127.0.0.1:8080', `127.0.0.1:${behind.port}`)
    .replace('listen 8082', `listen 127.0.0.1:${port} backlog=1024`)
    .replace('/var/log/nginx/error.log', join(place.folder, 'sending.log'))
    .replaceAll('/media/archive/', `${place.archiveDir}/`)
  const name = 'nginx before strongroom'
  const child = await startNginxWith(place, name, [ours])
  const front = await running(child, { name, port, hasHealth: true, target: strongroomTarget })
  return {
    ...front,
    usage() {
      const [a, b] = [front.usage(), behind.usage()]
      return { cpuSeconds: a.cpuSeconds + b.cpuSeconds, rssMib: a.rssMib + b.rssMib }
    },
    async stop() {
      await front.stop()
      await behind.stop()
    },
  }
}

async function startNginxWith(
  { folder, logged }: Place,
  name: string,
  http: readonly string[],
): Promise<ChildProcess> {
  const own = join(folder, name.replaceAll(' ', '-'))
  await mkdir(own)
  const config = join(own, 'nginx.conf')
  await writeFile(
    config,
    `worker_processes 1; worker_rlimit_nofile 8192; daemon off; pid ${own}/pid;
    error_log ${own}/error.log; user root;
    events { worker_connections 4096; }
    http {
      access_log ${logged ? `${own}/access.log` : 'off'};
      sendfile on; tcp_nopush on; keepalive_requests 1000000000;
      client_body_temp_path ${own}/body; proxy_temp_path ${own}/proxy;
      fastcgi_temp_path ${own}/fastcgi; uwsgi_temp_path ${own}/uwsgi; scgi_temp_path ${own}/scgi;
      ${http.join('\n')}
    }\n`,
  )
  const args = ['-c', config, '-e', `${own}/error.log`]
  return startProcess({ program: 'nginx', args, env: {}, folder, name })
}

/** Hono's serveStatic and jose, as one would write it first. */
export async function startHono({ archiveDir, folder }: Place): Promise<BenchServer> {
  const port = await freePort()
  const env = {
    PORT: String(port),
    ARCHIVE_DIR: archiveDir,
    SECRET,
    NODE_ENV: 'production',
  }
  const args = [join(import.meta.dirname, 'hono-peer.ts')]
  const name = 'hono'
  const child = startProcess({ program: process.execPath, args, env, folder, name })
  return running(child, { name, port, hasHealth: true, target: strongroomTarget })
}

/** Knows no tokens; on both cores, as it comes. */
export async function startCaddy({ archiveDir, folder, logged }: Place): Promise<BenchServer> {
  const port = await freePort()
  const config = join(folder, 'Caddyfile')
  const log = logged ? `log {\n output file ${folder}/caddy.log\n}\n` : ''
  await writeFile(
    config,
    `{\nadmin off\nauto_https off\n}\nhttp://127.0.0.1:${port} {\nroot * ${archiveDir}\n${log}file_server\n}\n`,
  )
  const args = ['run', '--config', config, '--adapter', 'caddyfile']
  const env = { HOME: folder }
  const child = startProcess({ program: 'caddy', args, env, folder, name: 'caddy' })
  return running(child, { name: 'caddy', port, hasHealth: false, target: plainTarget })
}

function startProcess(how: {
  program: string
  args: string[]
  env: Record<string, string>
  folder: string
  name: string
}): ChildProcess {
  const { program, args, env, folder, name } = how
  const path = `${process.env.PATH ?? ''}:/usr/sbin`
  // Standard output goes to a file: a log that nobody reads would hold the server up.
  const command = `exec "$0" "$@" >'${join(folder, name)}.log' 2>&1`
  return spawn('/bin/sh', ['-c', command, program, ...args], {
    env: { PATH: path, ...env },
    stdio: 'ignore',
  })
}

async function running(
  child: ChildProcess,
  server: Pick<BenchServer, 'name' | 'port' | 'target' | 'hasHealth'>,
): Promise<BenchServer> {
  const ended = once(child, 'close')
  const stop = async () => {
    child.kill('SIGTERM')
    await ended
  }
  while (!(await answers(server.port))) {
    if (child.exitCode !== null) throw new Error(`${server.name} ended with ${child.exitCode}`)
    await pause(50)
  }
  const { pid = 0 } = child
  return { ...server, pid, usage: () => usageOf(pid), stop }
}

function answers(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const asked = get({ port, host: '127.0.0.1', path: '/health', agent: false }, (response) => {
      response.resume()
      resolve(true)
    })
    asked.on('error', () => resolve(false))
  })
}

/** The kernel counts in hundredths of a second. */
function usageOf(pid: number): { cpuSeconds: number; rssMib: number } {
  let cpuSeconds = 0
  let rssMib = 0
  for (const one of [pid, ...childrenOf(pid)]) {
    const stat = readFileSync(`/proc/${one}/stat`, 'latin1')
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
    cpuSeconds += (Number(fields[11]) + Number(fields[12])) / 100
    const rss = /^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${one}/status`, 'latin1'))?.[1]
    rssMib += Number(rss ?? 0) / 1024
  }
  return { cpuSeconds, rssMib }
}

function childrenOf(pid: number): number[] {
  const listed = readFileSync(`/proc/${pid}/task/${pid}/children`, 'latin1').trim()
  return listed === '' ? [] : listed.split(' ').map(Number)
}
