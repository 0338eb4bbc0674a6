/**
 * Measures how much memory one whole run of the program takes: for one very large object, and for very many small ones.
 *
 * `node bench/memory.ts [--size GIB] [--items N]`; 0 leaves a case out. Needs PostgreSQL, ffmpeg and ffprobe, and as much
 * free space in the temporary folder as the large object has bytes. Exits with 1 when a case is over the limit or wrong.
 */
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { mkdir, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { type BucketServer, startBucket, type VirtualObject } from '../src/demo/bucket.ts'
import { type MediaKind, mediaKinds } from '../src/media.ts'
import { mediaBytes, uniqueMedia, uniqueMediaTypes } from '../test/support/media-files.ts'
import {
  databaseEnv,
  type PostgresCoordinates,
  startPostgres,
  type TestDatabase,
  withDatabase,
} from '../test/support/postgres.ts'
import { assertArchived, fillBackend, type NewMedium } from './backend.ts'
import { makeLargeObject } from './large-object.ts'

const LIMIT_MIB = 200
const SAMPLE_MS = 50
const GIB = 2 ** 30
const MIB = 2 ** 20
const PROGRAM = join(import.meta.dirname, '..', 'bin', 'strongroom')
const access = { accessKey: 'bench-key', secretKey: 'bench-secret' }

/** What the backend would have said of one object. */
interface Row {
  key: string
  kind: MediaKind
  object: VirtualObject
  sha256: string
}

interface Result {
  name: string
  items: number
  bytes: number
  seconds: number
  peakMib: number
}

async function main(): Promise<number> {
  const { values } = parseArgs({
    options: {
      items: { type: 'string', default: '10000' },
      size: { type: 'string', default: '8' },
    },
  })
  const sizeBytes = Math.round(Number(values.size) * GIB)
  const items = Number(values.items)
  const postgres = await startPostgres()
  const results: Result[] = []
  try {
    if (sizeBytes > 0)
      results.push(await measure(`1 object of ${values.size} GiB`, postgres, large(sizeBytes)))
    if (items > 0) results.push(await measure(`${items} small items`, postgres, small(items)))
  } finally {
    await postgres.stop()
  }
  printTable(results)
  return results.every(({ peakMib }) => peakMib <= LIMIT_MIB) ? 0 : 1
}

const uploadedAt = new Date(Date.now() - 3_600_000)

function large(sizeBytes: number): Row[] {
  const { object, sha256 } = makeLargeObject(mediaBytes('mp4'), sizeBytes, uploadedAt)
  return [{ key: 'large.mp4', kind: 'video', object, sha256 }]
}

/** Made again for every read, so that this process needs no room for them either. */
function small(count: number): Row[] {
  return Array.from({ length: count }, (_, seed) => {
    const kind = mediaKinds[seed % mediaKinds.length] ?? 'video'
    const bytes = uniqueMedia(kind, seed)
    return {
      key: `uploads/${seed}.${uniqueMediaTypes[kind].extension}`,
      kind,
      sha256: createHash('sha256').update(bytes).digest('hex'),
      object: {
        sizeBytes: bytes.length,
        etag: createHash('md5').update(bytes).digest('hex'),
        lastModified: uploadedAt,
        read: (offset, length) => uniqueMedia(kind, seed).subarray(offset, offset + length),
      },
    }
  })
}

async function measure(name: string, server: PostgresCoordinates, rows: Row[]): Promise<Result> {
  const steps: (() => unknown)[] = []
  const scope = { after: (fn: () => unknown) => void steps.unshift(fn) }
  try {
    const folder = await mkdtemp(join(tmpdir(), 'strongroom-bench-'))
    scope.after(() => rm(folder, { recursive: true }))
    const virtual = new Map(rows.map(({ key, object }) => [key, object]))
    const bucket = await startBucket({
      dir: join(folder, 'bucket'),
      port: 0,
      bucket: 'media',
      ...access,
      virtual,
    })
    scope.after(() => bucket.close())
    const database = await withDatabase(scope, server)
    await fillBackend(database.sql, rows.map(asMedium))
    console.error(`${name}: running`)
    const ran = await runProgram(await environment({ folder, bucket, database }))
    assert.equal(ran.exitCode, 0, ran.output)
    await assertArchived(database.sql, rows)
    assert.equal(virtual.size, 0, 'sources that were not released')
    const bytes = rows.reduce((sum, { object }) => sum + object.sizeBytes, 0)
    return { name, items: rows.length, bytes, seconds: ran.seconds, peakMib: ran.peakKib / 1024 }
  } finally {
    for (const step of steps) await step()
  }
}

function asMedium({ key, kind, object }: Row): NewMedium {
  const { sizeBytes } = object
  return { key, type: kind, mimeType: uniqueMediaTypes[kind].mimeType, sizeBytes }
}

async function environment(made: {
  folder: string
  bucket: BucketServer
  database: TestDatabase
}): Promise<Record<string, string>> {
  const { folder, bucket, database } = made
  const archiveDir = join(folder, 'archive')
  await mkdir(archiveDir)
  return {
    PATH: '/usr/local/bin:/usr/bin:/bin',
    ...databaseEnv(database.config),
    R2_ENDPOINT: bucket.endpoint,
    R2_BUCKET: 'media',
    R2_ACCESS_KEY: access.accessKey,
    R2_SECRET_KEY: access.secretKey,
    ARCHIVE_DIR: archiveDir,
    ERROR_DIR: join(folder, 'errors'),
    RELEASE_GRACE: '0',
  }
}

/** One whole run as an operator starts it. The kernel keeps the highest resident size; it is read until the end. */
async function runProgram(env: Record<string, string>) {
  const startedAt = performance.now()
  const child = spawn(PROGRAM, ['sync', '--once'], { env, stdio: ['ignore', 'pipe', 'pipe'] })
  const tail: string[] = []
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8').on('data', (text: string) => {
      tail.push(text)
      if (tail.length > 20) tail.shift()
    })
  }
  let peakKib = 0
  const sampler = setInterval(() => {
    peakKib = Math.max(peakKib, residentPeakKib(child.pid))
  }, SAMPLE_MS)
  const [exitCode] = (await once(child, 'close')) as [number | null]
  clearInterval(sampler)
  return {
    exitCode,
    peakKib,
    seconds: (performance.now() - startedAt) / 1000,
    output: tail.join(''),
  }
}

function residentPeakKib(pid: number | undefined): number {
  try {
    return Number(
      /^VmHWM:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, 'latin1'))?.[1] ?? 0,
    )
  } catch {
    // It ended between two samples.
    return 0
  }
}

function printTable(results: Result[]): void {
  const columns = ['case', 'items', 'bytes', 'seconds', 'peak RSS MiB', `at most ${LIMIT_MIB} MiB`]
  const lines = results.map(({ name, items, bytes, seconds, peakMib }) => [
    name,
    String(items),
    bytes < GIB ? `${(bytes / MIB).toFixed(1)} MiB` : `${(bytes / GIB).toFixed(1)} GiB`,
    seconds.toFixed(1),
    peakMib.toFixed(0),
    peakMib <= LIMIT_MIB ? 'yes' : 'NO',
  ])
  const all = [columns, columns.map(() => '---'), ...lines]
  const widths = columns.map((_, at) => Math.max(...all.map((line) => line[at]?.length ?? 0)))
  for (const line of all)
    console.log(`| ${line.map((cell, at) => cell.padEnd(widths[at] ?? 0)).join(' | ')} |`)
}

process.exitCode = await main()
