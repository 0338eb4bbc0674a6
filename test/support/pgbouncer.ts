/** Debian's pgbouncer in transaction mode between the program and the database. */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { chown, mkdtemp, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import type { DatabaseConfig } from '../../src/config.ts'
import { freePort } from './ports.ts'
import { unprivileged } from './postgres.ts'
import type { Scope } from './scopes.ts'
import type { Env } from './service.ts'

export interface Pgbouncer {
  /** Settings with which the program goes through it. */
  env: Env
  config: DatabaseConfig
  /** Ends it as a crash would, and starts it again on the same port. */
  restart(): Promise<void>
}

const PROGRAM = '/usr/sbin/pgbouncer'
/** Fewer than one process of ours opens: its connections share the server's, statement by statement. */
const SERVER_CONNECTIONS = 3

/** Starts one before the server of `database`; it is gone after the test. */
export async function withPgbouncer(t: Scope, database: DatabaseConfig): Promise<Pgbouncer> {
  await stat(PROGRAM).catch(() => {
    throw new Error('pgbouncer is not installed: run scripts/setup')
  })
  const folder = await mkdtemp(join(tmpdir(), 'strongroom-pgbouncer-'))
  t.after(() => rm(folder, { recursive: true, force: true }))
  const port = await freePort()
  const [settings, users] = [join(folder, 'pgbouncer.ini'), join(folder, 'users')]
  await writeFile(users, `"${database.user}" "${database.password}"\n`)
  await writeFile(settings, settingsOf(database, { port, users }))
  // It refuses to run as root.
  const runAs = process.getuid?.() === 0 ? await unprivileged() : null
  for (const path of runAs === null ? [] : [folder, settings, users])
    await chown(path, runAs?.uid ?? 0, runAs?.gid ?? 0)
  const start = () => startPgbouncer(settings, { cwd: folder, ...runAs })
  let pooler = await start()
  t.after(() => end(pooler))
  return {
    env: { DB_PORT: String(port), DB_POOLER: 'true' },
    config: { ...database, port, pooler: true },
    async restart() {
      await end(pooler)
      pooler = await start()
    },
  }
}

function settingsOf(
  { host, port: server }: DatabaseConfig,
  { port, users }: { port: number; users: string },
): string {
  return `[databases]
* = host=${host} port=${server}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = ${port}
unix_socket_dir =
auth_type = scram-sha-256
auth_file = ${users}
pool_mode = transaction
default_pool_size = ${SERVER_CONNECTIONS}
max_client_conn = 200
`
}

async function startPgbouncer(
  settings: string,
  how: { cwd: string; uid?: number; gid?: number },
): Promise<ChildProcess> {
  const child = spawn('setpriv', ['--pdeathsig', 'KILL', PROGRAM, settings], {
    ...how,
    stdio: ['ignore', 'ignore', 'pipe'],
  })
  const log: string[] = []
  const lines = createInterface({ input: child.stderr })
  await new Promise<void>((resolve, reject) => {
    child.once('error', reject)
    // Read to its end, or it would stop at a full pipe.
    lines.on('line', (line) => {
      if (log.length < 100) log.push(line)
      if (line.includes('process up')) resolve()
    })
    lines.once('close', () => reject(new Error(`pgbouncer did not start:\n${log.join('\n')}`)))
  })
  return child
}

async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return
  const ended = once(child, 'exit')
  child.kill('SIGKILL')
  await ended
}
