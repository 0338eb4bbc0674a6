/** Debian's nginx as a peer to compare with: a process of its own, on a Unix socket, over any folder. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { type Scope, withFolder } from './scopes.ts'

/**
 * Starts nginx over `root`, every file a video/mp4; it is gone after the test.
 *
 * @returns the path of its socket
 */
export async function withNginx(t: Scope, root: string): Promise<string> {
  const prefix = await withFolder(t)
  const socket = join(prefix, 'socket')
  const temporary = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi']
  const lines = [
    'daemon off; master_process off; error_log stderr notice; pid pid;',
    ...(process.getuid?.() === 0 ? ['user root;'] : []),
    'events {}',
    'http {',
    ...temporary.map((name) => `${name}_temp_path ${prefix}/${name};`),
    'access_log off; default_type video/mp4; max_ranges 16;',
    `server { listen unix:${socket}; root ${root}; }`,
    '}',
  ]
  await writeFile(join(prefix, 'nginx.conf'), lines.join('\n'))
  const child = spawn('nginx', ['-p', prefix, '-c', 'nginx.conf', '-e', 'stderr'], {
    stdio: ['ignore', 'ignore', 'pipe'],
    env: { PATH: `${process.env.PATH}:/usr/sbin` },
  })
  const ended = once(child, 'close')
  t.after(async () => {
    child.kill('SIGKILL')
    await ended
  })
  let said = ''
  await new Promise<void>((resolve, reject) => {
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      said += text
      // It says so once it listens.
      if (said.includes('event method')) resolve()
    })
    child.once('error', (cause) =>
      reject(new Error('nginx is missing: run scripts/setup', { cause })),
    )
    child.once('close', () => reject(new Error(`nginx ended: ${said}`)))
  })
  return socket
}
