/**
 * Measures how late the event loop of one process comes that syncs pictures, as many at a time as it does by itself, while 20
 * visitors download a large file from it at 4 MiB/s each.
 *
 * `node bench/stalls.ts [--images N] [--downloads N] [--against bin/strongroom]`; needs nginx, gcc and the small ffprobe.
 */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { mkdir, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import { freePort } from '../test/support/ports.ts'
import { startPostgres, type TestSql, withDatabase } from '../test/support/postgres.ts'
import { addMedia, fillBackend, type NewMedium } from './backend.ts'
import { SECRET, strongroomTarget } from './serve/archive.ts'
import { makeVisitors, readSlowly } from './serve/load.ts'
import { startBucket } from './sync/bucket.ts'
import { strongroom } from './sync/contestants.ts'
import { type Corpus, makeImages, makeLarge } from './sync/corpus.ts'
import type { LoopDelay } from './sync/loop-delay.ts'

const LARGE_BYTES = 256 << 20
const LOOK_MS = 50
const DOWNLOAD_BYTES_PER_SECOND = 4 << 20

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      images: { type: 'string', default: '600' },
      downloads: { type: 'string', default: '20' },
      against: { type: 'string' },
    },
  })
  const steps: (() => unknown)[] = []
  const scope = { after: (fn: () => unknown) => void steps.unshift(fn) }
  try {
    const folder = await mkdtemp(join(tmpdir(), 'strongroom-bench-'))
    scope.after(() => rm(folder, { recursive: true, force: true }))
    const postgres = await startPostgres()
    scope.after(() => postgres.stop())
    const bucket = await startBucket(folder)
    scope.after(() => bucket.stop())
    const large = await makeLarge(join(folder, 'large'), LARGE_BYTES)
    const images = await makeImages(join(folder, 'images'), Number(values.images))
    const objects = [...large.objects, ...images.objects]
    await bucket.fill(objects)
    const database = await withDatabase(scope, postgres)
    await fillBackend(database.sql, mediaOf(large))
    const archiveDir = join(folder, 'archive')
    await mkdir(archiveDir)
    const place = {
      archiveDir,
      errorDir: join(folder, 'errors'),
      endpoint: `http://127.0.0.1:${bucket.port}`,
      bucket: bucket.name,
      database: database.config,
      objects,
    }
    const visitors = makeVisitors(folder)
    const port = await freePort()
    const told = join(folder, 'loop-delay')
    const env = {
      ...strongroom('', { RELEASE_GRACE: '1h', SYNC_INTERVAL: '2s' }).env(place),
      NODE_OPTIONS: `--import ${join(import.meta.dirname, 'sync', 'loop-delay.ts')}`,
      LOOP_DELAY: told,
      SERVER_PORT: String(port),
      UNRAID_TUNNEL_SECRET: SECRET,
      MAX_STREAMS_PER_USER: '1000',
      MAX_STREAMS_PER_CLIENT: '1000',
    }
    const program = values.against ?? join(import.meta.dirname, '..', 'bin', 'strongroom')
    const child = spawn(program, ['start', '--role', 'sync', '--role', 'serve'], {
      env,
      stdio: ['ignore', 'ignore', 'inherit'],
    })
    const ended = once(child, 'close')
    scope.after(async () => {
      child.kill('SIGTERM')
      await ended
    })
    const [archivePath = ''] = await whenArchived(database.sql, 1)
    await addMedia(database.sql, mediaOf(images))
    child.kill('SIGUSR2')
    const from = performance.now()
    const connections = Number(values.downloads)
    const target = strongroomTarget({ archivePath, mediaId: 1, bytes: LARGE_BYTES })
    const bytesPerSecond = DOWNLOAD_BYTES_PER_SECOND
    const stop = readSlowly(visitors, { port, target, connections, bytesPerSecond })
    await whenArchived(database.sql, objects.length)
    const seconds = (performance.now() - from) / 1000
    // What it counted is written at its end, which comes at once.
    child.kill('SIGTERM')
    await ended
    stop()
    const delay = JSON.parse(readFileSync(told, 'utf8')) as LoopDelay
    const { p50Ms, p99Ms, maxMs } = delay
    const figures = [seconds, p50Ms, p99Ms, maxMs].map((figure) => figure.toFixed(1))
    for (const line of [
      COLUMNS,
      COLUMNS.map(() => '---'),
      [images.objects.length, connections, ...figures],
    ])
      console.log(`| ${line.join(' | ')} |`)
  } finally {
    for (const step of steps) await step()
  }
}

const COLUMNS = ['items', 'downloads', 'seconds', 'loop late ms: p50', 'p99', 'at most']

function mediaOf({ type, objects }: Corpus): NewMedium[] {
  const mimeType = type === 'video' ? 'video/mp4' : 'image/jpeg'
  return objects.map(({ key, sizeBytes }) => ({ key, type, mimeType, sizeBytes }))
}

/** @returns the paths of what is archived once there is so much of it */
async function whenArchived(sql: TestSql, count: number): Promise<string[]> {
  for (;;) {
    const rows = await sql<{ archive_path: string }[]>`
      select archive_path from media where status = 'archived' order by id`
    if (rows.length >= count) return rows.map((row) => row.archive_path)
    await pause(LOOK_MS)
  }
}

await main()
