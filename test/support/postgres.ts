/** A private PostgreSQL server for tests; `node test/support/postgres.ts` runs one alone and prints where it listens. */
import { type ChildProcess, execFile, spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { chmod, chown, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { promisify } from 'node:util'
import postgres from 'postgres'
import type { DatabaseConfig } from '../../src/config.ts'
import { freePort } from './ports.ts'
import type { Scope } from './scopes.ts'

/** Where a PostgreSQL server listens and its superuser. */
export interface PostgresCoordinates {
  host: string
  port: number
  user: string
  password: string
}

export interface RunningPostgres extends PostgresCoordinates {
  /** `immediate` is what a crash of the server is to its clients; both keep what was committed. */
  restart(how: 'immediate' | 'fast', whileDown?: () => Promise<void>): Promise<void>
  stop(): Promise<void>
}

interface Identity {
  uid: number
  gid: number
}

interface Cluster {
  programs: string
  folder: string
  /** Null: as whoever runs the tests. */
  runAs: Identity | null
  port: number
}

const PROGRAMS = '/usr/lib/postgresql'
const START_TRIES = 5

/** Makes a cluster in a temporary folder and starts it on a free loopback port. */
export async function startPostgres(): Promise<RunningPostgres> {
  const programs = await newestPrograms()
  const runAs = process.getuid?.() === 0 ? await unprivileged() : null
  const folder = await mkdtemp(join(tmpdir(), 'strongroom-postgres-'))
  const password = randomBytes(16).toString('hex')
  try {
    await makeCluster({ programs, folder, runAs, port: 0 }, password)
    const cluster = { programs, folder, runAs, port: await freePort() }
    return running(cluster, await startOnFreePort(cluster), password)
  } catch (error) {
    await rm(folder, { recursive: true, force: true })
    throw error
  }
}

function running(cluster: Cluster, first: ChildProcess, password: string): RunningPostgres {
  let server = first
  return {
    host: '127.0.0.1',
    port: cluster.port,
    user: 'strongroom',
    password,
    async restart(how, whileDown = async () => {}) {
      await end(server, how === 'immediate' ? 'SIGQUIT' : 'SIGINT')
      await whileDown()
      server = await startServer(cluster)
    },
    async stop() {
      await end(server, 'SIGQUIT')
      await rm(cluster.folder, { recursive: true, force: true })
    },
  }
}

async function newestPrograms(): Promise<string> {
  const found = await readdir(PROGRAMS).catch(() => [])
  const newest = found.map(Number).sort((a, b) => b - a)[0]
  if (!newest) throw new Error('PostgreSQL is not installed: run scripts/setup')
  return join(PROGRAMS, String(newest), 'bin')
}

/** PostgreSQL refuses to run as root. */
export async function unprivileged(): Promise<Identity> {
  const users = (await readFile('/etc/passwd', 'utf8')).split('\n').map((line) => line.split(':'))
  const user =
    users.find(([name]) => name === 'postgres') ?? users.find(([name]) => name === 'nobody')
  if (!user) throw new Error('there is neither a user postgres nor a user nobody to run as')
  return { uid: Number(user[2]), gid: Number(user[3]) }
}

async function makeCluster(cluster: Cluster, password: string): Promise<void> {
  const { folder, programs, runAs } = cluster
  const passwordFile = join(folder, 'password')
  await writeFile(passwordFile, password)
  await chmod(folder, 0o700)
  for (const path of runAs ? [folder, passwordFile] : []) {
    await chown(path, runAs?.uid ?? 0, runAs?.gid ?? 0)
  }
  const options = ['--username=strongroom', '--auth=scram-sha-256', `--pwfile=${passwordFile}`]
  await promisify(execFile)(
    join(programs, 'initdb'),
    ['-D', join(folder, 'data'), ...options, '--encoding=UTF8', '--locale=C.UTF-8', '--no-sync'],
    { cwd: folder, ...runAs },
  )
}

async function startOnFreePort(cluster: Cluster): Promise<ChildProcess> {
  for (let tries = 1; ; tries += 1) {
    try {
      return await startServer(cluster)
    } catch (error) {
      // Another program may have taken the port since it was seen to be free.
      if (tries === START_TRIES || !String(error).includes('could not bind')) throw error
      cluster.port = await freePort()
    }
  }
}

/** The kernel ends the server with us, so that a killed test run leaves none behind. */
async function startServer({ programs, folder, runAs, port }: Cluster): Promise<ChildProcess> {
  const settings = {
    port,
    listen_addresses: '127.0.0.1',
    unix_socket_directories: '',
    max_connections: 200,
    shared_buffers: '64MB',
    // Data must outlive the server's crash, which needs no fsync; it need not outlive the machine's.
    fsync: 'off',
    full_page_writes: 'off',
    logging_collector: 'off',
  }
  const options = Object.entries(settings).flatMap(([name, value]) => ['-c', `${name}=${value}`])
  const server = spawn(
    'setpriv',
    ['--pdeathsig', 'QUIT', join(programs, 'postgres'), '-D', join(folder, 'data'), ...options],
    { cwd: folder, detached: true, stdio: ['ignore', 'ignore', 'pipe'], ...runAs },
  )
  await ready(server)
  return server
}

/** Reads the log to its end, or the server would stop at a full pipe. */
function ready(server: ChildProcess): Promise<void> {
  if (!server.stderr) throw new Error('the log of PostgreSQL is not piped')
  const log: string[] = []
  const lines = createInterface({ input: server.stderr })
  return new Promise((resolve, reject) => {
    server.once('error', reject)
    lines.on('line', (line) => {
      if (log.length < 100) log.push(line)
      if (line.includes('ready to accept connections')) resolve()
    })
    lines.once('close', () => reject(new Error(`PostgreSQL did not start:\n${log.join('\n')}`)))
  })
}

async function end(server: ChildProcess, signal: NodeJS.Signals): Promise<void> {
  if (server.exitCode !== null || server.signalCode !== null) return
  const ended = once(server, 'exit')
  server.kill(signal)
  await ended
}

/** Coordinates of the PostgreSQL server that the whole test run shares. */
export function postgresFromEnvironment(): PostgresCoordinates {
  const text = process.env.STRONGROOM_TEST_PG
  if (text) return JSON.parse(text) as PostgresCoordinates
  throw new Error(
    'STRONGROOM_TEST_PG is not set: run `make test`, or `node test/support/postgres.ts` and export the line it prints',
  )
}

/** Reads bigint columns as numbers. */
export type TestSql = postgres.Sql<{ int8: number }>

export interface TestDatabase {
  /** What the product is configured with. */
  config: DatabaseConfig
  /** The backend's and the checker's own connections, as superuser. */
  sql: TestSql
}

/** Makes an empty database on the shared server, or on `server`; it is dropped after the test. */
export async function withDatabase(
  t: Scope,
  server: PostgresCoordinates = postgresFromEnvironment(),
): Promise<TestDatabase> {
  const { host, port, user, password } = server
  const database = `t_${randomBytes(8).toString('hex')}`
  const login = { host, port, user, password, database }
  await asAdmin(server, (admin) => admin`create database ${admin(database)}`)
  const sql = connect(login, 4)
  t.after(async () => {
    await sql.end({ timeout: 0 })
    await asAdmin(server, (admin) => admin`drop database if exists ${admin(database)} with (force)`)
  })
  return { config: { ...login, ssl: 'disable', pooler: false }, sql }
}

/** The program's settings for it. */
export function databaseEnv(config: DatabaseConfig): Record<string, string> {
  return {
    DB_HOST: config.host,
    DB_PORT: String(config.port),
    DB_NAME: config.database,
    DB_USER: config.user,
    DB_PASSWORD: config.password ?? '',
    DB_SSLMODE: 'disable',
  }
}

async function asAdmin(
  server: PostgresCoordinates,
  statement: (admin: TestSql) => PromiseLike<unknown>,
): Promise<void> {
  const admin = connect({ ...server, database: 'postgres' }, 1)
  try {
    await statement(admin)
  } finally {
    await admin.end()
  }
}

function connect(to: PostgresCoordinates & { database: string }, max: number): TestSql {
  const { host, port, database, user, password } = to
  return postgres({
    host,
    port,
    database,
    user,
    password,
    max,
    fetch_types: false,
    backoff: () => 0.1,
    onnotice: () => {},
    // Ids and sizes in tests are small: plain numbers compare best.
    types: { int8: { to: 20, from: [20], parse: Number, serialize: String } },
  })
}

/** The backend's two tables, with every column of its contract with Strongroom. */
export async function createBackendTables(sql: TestSql): Promise<void> {
  await sql`
    create table media (
      id bigint generated by default as identity primary key,
      user_id bigint,
      title text,
      filename text,
      description text,
      content_type text,
      mime_type text,
      file_size bigint,
      object_key text not null,
      status text not null default 'pending',
      approved_at timestamptz,
      created_at timestamptz not null default now(),
      updated_at timestamptz not null default now(),
      deleted_at timestamptz,
      archive_path text,
      archived_at timestamptz,
      checksum_sha256 text
    )`
  await sql`
    create table audit_logs (
      id bigint generated by default as identity primary key,
      media_id bigint not null,
      user_id bigint,
      action text not null,
      details jsonb,
      created_at timestamptz not null default now()
    )`
  await sql`create index media_status_approved_at on media (status, approved_at)`
  await sql`create index media_object_key on media (object_key)`
}

if (import.meta.main) {
  const { restart: _, stop, ...coordinates } = await startPostgres()
  process.stdout.write(`${JSON.stringify(coordinates)}\n`)
  for (const signal of ['SIGINT', 'SIGTERM'] as const) {
    process.once(signal, () => void stop().then(() => process.exit(0)))
  }
}
