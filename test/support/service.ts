/** The program as its users run it: a process between a real database, a real bucket and two folders. */
import { type ChildProcess, spawn } from 'node:child_process'
import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { mkdir, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setImmediate } from 'node:timers/promises'
import type { RunSummary } from '../../src/commands/run.ts'
import type { BucketConfig, DatabaseConfig } from '../../src/config.ts'
import { openDatabase } from '../../src/db/connect.ts'
import { migrate } from '../../src/db/migrate.ts'
import { mediaKinds } from '../../src/media.ts'
import type { Point } from '../../src/sync/parts.ts'
import { assertNoLeak } from './canaries.ts'
import type { Scene, Upload } from './checker.ts'
import { uniqueMedia, uniqueMediaTypes } from './media-files.ts'
import {
  createBackendTables,
  databaseEnv,
  type PostgresCoordinates,
  type TestSql,
  withDatabase,
} from './postgres.ts'
import { type BucketAdmin, withBucket } from './s3.ts'
import type { Scope } from './scopes.ts'

export type Env = Record<string, string>

export interface Service extends Scene {
  database: DatabaseConfig
  admin: BucketAdmin
  env: Env
  /** Runs the program to its end; whenever one ends, none of its secrets may have come out. */
  run(args: readonly string[], env?: Env): Promise<Ended>
  /** Starts the program; whatever still lives after the test is killed. */
  start(args: readonly string[], env?: Env): Running
  /** What a backend does: uploads `count` unique media, then inserts approved rows, oldest approval first. */
  approve(count: number, spoil?: (n: number) => Spoilt | undefined): Promise<Upload[]>
  /** An hour passes for all leases and waiting times. */
  expireLeases(): Promise<void>
  /** Makes our schema before the program does, for tests that put triggers on it. */
  migrate(): Promise<void>
}

/** What is wrong with an upload: other bytes than media (unless `fate` says so), or no object at all. */
export type Spoilt = { bytes: Buffer; fate?: Upload['fate'] } | 'no object'

export interface Running {
  pid: number
  ended: Promise<Ended>
  /** Resolves once standard error holds `text`; rejects when the process ends without it. */
  said(text: string): Promise<void>
  /** Resolves once the process stands still at the point where STRONGROOM_HALT stops it. */
  stoppedAt(point: Point): Promise<void>
  /** Resolves with the item at which STRONGROOM_HALT halted the process; null when it ends without that. */
  halted(): Promise<number | null>
  /** The same as `said` for standard output. */
  printed(text: string): Promise<void>
  kill(signal: NodeJS.Signals): void
}

export interface Ended {
  code: number | null
  signal: NodeJS.Signals | null
  stdout: string
  stderr: string
}

export interface ServiceOptions {
  server?: PostgresCoordinates
  bucket?: { config: BucketConfig; admin: BucketAdmin }
  env?: Env
}

const PROGRAM = join(import.meta.dirname, '../../bin/strongroom')
const UPLOADS_AT_ONCE = 8

/** Everything that one installation has, empty; all of it is gone after the test. */
export async function withService(t: Scope, options: ServiceOptions = {}): Promise<Service> {
  const children = new Set<ChildProcess>()
  t.after(() => killAll(children)) // first, so that nothing still uses what goes next
  const { config: database, sql } = await withDatabase(t, options.server)
  await createBackendTables(sql)
  const { config, admin } = options.bucket ?? (await withBucket(t))
  const folder = await mkdtemp(join(tmpdir(), 'strongroom-e2e-'))
  t.after(() => rm(folder, { recursive: true, force: true }))
  const archiveDir = join(folder, 'archive')
  const errorDir = join(folder, 'errors')
  await mkdir(archiveDir)
  const env = { ...environment(database, config), ARCHIVE_DIR: archiveDir, ERROR_DIR: errorDir }
  const uploads: Upload[] = []
  const start: Service['start'] = (args, more = {}) =>
    startProgram(args, { env: { ...env, ...options.env, ...more }, children })
  return {
    sql,
    database,
    admin,
    bucket: { client: admin.client, name: admin.bucket },
    archiveDir,
    errorDir,
    env,
    uploads,
    start,
    run: (args, more) => start(args, more).ended,
    async approve(count, spoil = () => undefined) {
      const first = uploads.length
      const fresh = await upload(admin, { first, count, spoil })
      await insertApproved(sql, fresh)
      uploads.push(...fresh)
      return fresh
    },
    expireLeases: () => expireLeases(sql),
    migrate: () => migrateNow(database),
  }
}

/** The summary that `sync --once --json` prints last. */
export function summaryOf(ended: Ended): RunSummary {
  const line = ended.stdout.trim().split('\n').at(-1) ?? ''
  if (!line.startsWith('{')) throw new Error(`no summary in:\n${ended.stdout}\n${ended.stderr}`)
  return JSON.parse(line) as RunSummary
}

export interface LogLine {
  level: string
  message: string
  error?: { code?: string; message?: string; hint?: string }
}

/** The log lines on standard error; anything else there is left out. */
export function logOf(ended: Ended): LogLine[] {
  return ended.stderr
    .split('\n')
    .filter((line) => line.startsWith('{'))
    .map((line) => JSON.parse(line) as LogLine)
}

/** For assertion messages: how a run ended, with the end of what it said. */
export function story({ code, signal, stdout, stderr }: Ended): string {
  return `code ${code}, signal ${signal}\n${stdout.slice(-2000)}\n${stderr.slice(-4000)}`
}

function environment(database: DatabaseConfig, bucket: BucketConfig): Env {
  return {
    PATH: process.env.PATH ?? '',
    // Halves the time that each process takes to start.
    NODE_COMPILE_CACHE: join(tmpdir(), 'strongroom-test-compiled'),
    ...databaseEnv(database),
    R2_ENDPOINT: bucket.endpoint,
    R2_REGION: bucket.region,
    R2_BUCKET: bucket.bucket,
    R2_ACCESS_KEY: bucket.accessKey,
    R2_SECRET_KEY: bucket.secretKey,
    SERVER_PORT: '0',
    ADMIN_PORT: '0',
    LOG_LEVEL: 'debug',
    TZ: 'UTC',
  }
}

function startProgram(
  args: readonly string[],
  { env, children }: { env: Env; children: Set<ChildProcess> },
): Running {
  const child = spawn(PROGRAM, args, { env, stdio: ['ignore', 'pipe', 'pipe'] })
  children.add(child)
  const text = { stdout: '', stderr: '' }
  const heard = new Set<() => void>()
  for (const name of ['stdout', 'stderr'] as const) {
    child[name].setEncoding('utf8').on('data', (chunk: string) => {
      text[name] += chunk
      for (const look of heard) look()
    })
  }
  const ended = once(child, 'close').then(([code, signal]): Ended => {
    children.delete(child)
    assertNoLeak(text, env)
    return { code, signal, ...text }
  })
  const holds = (name: keyof typeof text, wanted: string | RegExp): Promise<void> =>
    new Promise((resolve, reject) => {
      const look = () => {
        const found =
          typeof wanted === 'string' ? text[name].includes(wanted) : wanted.test(text[name])
        if (!found) return
        heard.delete(look)
        resolve()
      }
      heard.add(look)
      look()
      ended.then((how) => reject(new Error(`never said "${wanted}": ${story(how)}`)), reject)
    })
  return {
    pid: child.pid ?? 0,
    ended,
    kill: (signal) => void child.kill(signal),
    said: (wanted) => holds('stderr', wanted),
    async stoppedAt(point) {
      await holds('stderr', `halted at ${point}`)
      // It says so a moment before it stops; a SIGCONT that came earlier would be lost.
      while (stateOf(child.pid ?? 0) !== 'T') await setImmediate()
    },
    async halted() {
      const line = /halted at [\w-]+, item (\d+)\n/
      try {
        await holds('stderr', line)
      } catch {
        return null // it came to its end
      }
      return Number(line.exec(text.stderr)?.[1])
    },
    printed: (wanted) => holds('stdout', wanted),
  }
}

/** The kernel's letter for what a process is doing: T is stopped. */
function stateOf(pid: number): string {
  const text = readFileSync(`/proc/${pid}/stat`, 'latin1')
  return text.charAt(text.lastIndexOf(')') + 2)
}

async function killAll(children: Set<ChildProcess>): Promise<void> {
  await Promise.all(
    [...children].map(async (child) => {
      const gone = once(child, 'exit')
      child.kill('SIGKILL') // ends a stopped process too
      await gone
    }),
  )
}

async function upload(
  admin: BucketAdmin,
  work: { first: number; count: number; spoil: (n: number) => Spoilt | undefined },
): Promise<Upload[]> {
  const fresh: Upload[] = []
  let next = 0
  const lane = async () => {
    for (let n = next++; n < work.count; n = next++) {
      fresh[n] = await uploadOne(admin, work.first + n + 1, work.spoil(n))
    }
  }
  await Promise.all(Array.from({ length: UPLOADS_AT_ONCE }, lane))
  return fresh
}

async function uploadOne(
  admin: BucketAdmin,
  mediaId: number,
  spoilt: Spoilt | undefined,
): Promise<Upload> {
  const kind = mediaKinds[mediaId % mediaKinds.length] ?? 'image'
  const { extension, mimeType } = uniqueMediaTypes[kind]
  const key = `uploads/${mediaId}.${extension}`
  const bytes =
    spoilt === undefined || spoilt === 'no object' ? uniqueMedia(kind, mediaId) : spoilt.bytes
  if (spoilt !== 'no object') await admin.put(key, bytes, { ContentType: mimeType })
  return {
    mediaId,
    key,
    kind,
    mimeType,
    sizeBytes: bytes.length,
    sha256: createHash('sha256').update(bytes).digest('hex'),
    md5: createHash('md5').update(bytes).digest('hex'),
    fate: fateOf(spoilt),
    uploaded: spoilt !== 'no object',
  }
}

function fateOf(spoilt: Spoilt | undefined): Upload['fate'] {
  if (spoilt === undefined) return 'archived'
  return spoilt === 'no object' ? 'kept' : (spoilt.fate ?? 'kept')
}

async function insertApproved(sql: TestSql, uploads: readonly Upload[]): Promise<void> {
  const rows = uploads.map(({ mediaId, key, kind, mimeType, sizeBytes }) => ({
    id: mediaId,
    user_id: 7,
    title: `Title ${mediaId}`,
    filename: key.slice(key.lastIndexOf('/') + 1),
    content_type: kind,
    mime_type: mimeType,
    file_size: sizeBytes,
    object_key: key,
    status: 'pending',
  }))
  await sql`insert into media ${sql(rows)}`
  await sql`
    update media set status = 'approved', approved_at = now() + id * interval '1 millisecond'
    where status = 'pending' and id = any(${`{${rows.map((row) => row.id).join()}}`}::bigint[])`
}

async function expireLeases(sql: TestSql): Promise<void> {
  await sql`
    update strongroom.items
    set lease_until = lease_until - interval '1 hour', next_attempt_at = next_attempt_at - interval '1 hour'`
}

async function migrateNow(config: DatabaseConfig): Promise<void> {
  const database = openDatabase(config)
  try {
    await migrate(database)
  } finally {
    await database.close()
  }
}
