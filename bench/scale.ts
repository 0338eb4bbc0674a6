/**
 * Compares one process with several on the same database, archive and bucket, which answers late: so late that a process waits
 * for it and not for its processor. (With a second and more no DELETE would end in time, and sources would stay.)
 *
 * `node bench/scale.ts [--images N] [--processes N] [--round-trip MS] [--rounds N]`; needs nginx and the small ffprobe.
 */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdir, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { startPostgres, withDatabase } from '../test/support/postgres.ts'
import { assertArchived, fillBackend } from './backend.ts'
import { quantile } from './serve/quantile.ts'
import { type NginxBucket, startBucket } from './sync/bucket.ts'
import { strongroom } from './sync/contestants.ts'
import { type Corpus, makeImages } from './sync/corpus.ts'
import { startWire } from './sync/start-wire.ts'

const PROGRAM = join(import.meta.dirname, '..', 'bin', 'strongroom')
/** Done; done, but another process had items in hand when this one ended. */
const GOOD_CODES: readonly (number | null)[] = [0, 75]

interface Setup {
  folder: string
  corpus: Corpus
  bucket: NginxBucket
  port: number
  postgres: Awaited<ReturnType<typeof startPostgres>>
}

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      images: { type: 'string', default: '2000' },
      processes: { type: 'string', default: '4' },
      'round-trip': { type: 'string', default: '600' },
      rounds: { type: 'string', default: '3' },
    },
  })
  const steps: (() => unknown)[] = []
  try {
    const folder = await mkdtemp(join(tmpdir(), 'strongroom-bench-'))
    steps.unshift(() => rm(folder, { recursive: true, force: true }))
    const postgres = await startPostgres()
    steps.unshift(() => postgres.stop())
    const bucket = await startBucket(folder)
    steps.unshift(() => bucket.stop())
    const wire = await startWire(bucket.port, Number(values['round-trip']))
    steps.unshift(() => wire.stop())
    const corpus = await makeImages(join(folder, 'images'), Number(values.images))
    const setup = { folder, corpus, bucket, port: wire.port, postgres }
    const counts = [1, Number(values.processes)]
    const seconds = new Map<number, number[]>(counts.map((count) => [count, []]))
    for (let round = 0; round < Number(values.rounds); round++)
      for (const count of counts) seconds.get(count)?.push(await runOnce(setup, count))
    const one = quantile(seconds.get(1) ?? [], 0.5)
    const columns = ['processes', 'seconds', 'items a second', 'to one']
    for (const line of [columns, columns.map(() => '---')]) console.log(`| ${line.join(' | ')} |`)
    for (const [count, all] of seconds) {
      const took = quantile(all, 0.5)
      const figures = [took, corpus.objects.length / took, one / took].map((n) => n.toFixed(2))
      console.log(`| ${[count, ...figures].join(' | ')} |`)
    }
  } finally {
    for (const step of steps) await step()
  }
}

/** Everything anew; the start of the programs is counted. @returns seconds until the last one ended */
async function runOnce(setup: Setup, processes: number): Promise<number> {
  const { folder, corpus, bucket, port, postgres } = setup
  const { objects, type } = corpus
  const steps: (() => unknown)[] = []
  const scope = { after: (fn: () => unknown) => void steps.unshift(fn) }
  try {
    const database = await withDatabase(scope, postgres)
    await fillBackend(
      database.sql,
      objects.map(({ key, sizeBytes }) => ({ key, sizeBytes, type, mimeType: 'image/jpeg' })),
    )
    await bucket.fill(objects)
    const archiveDir = join(folder, 'archive')
    const errorDir = join(folder, 'errors')
    await mkdir(archiveDir)
    for (const dir of [archiveDir, errorDir])
      scope.after(() => rm(dir, { recursive: true, force: true }))
    const endpoint = `http://127.0.0.1:${port}`
    const place = { archiveDir, errorDir, endpoint, bucket: bucket.name, objects }
    // With more in hand one process alone would be bound by its processor at any round trip that lets a DELETE end in time.
    const env = strongroom('', { SYNC_CONCURRENCY: '48' }).env({
      ...place,
      database: database.config,
    })
    await run(['migrate'], env)
    await run(['init-volume'], env)
    const from = performance.now()
    await Promise.all(Array.from({ length: processes }, () => run(['sync', '--once'], env)))
    const seconds = (performance.now() - from) / 1000
    await assertArchived(database.sql, objects)
    return seconds
  } finally {
    for (const step of steps) await step()
  }
}

async function run(args: string[], env: Record<string, string>): Promise<void> {
  const child = spawn(PROGRAM, args, { env, stdio: ['ignore', 'ignore', 'pipe'] })
  const said: string[] = []
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    said.push(text)
    if (said.length > 20) said.shift()
  })
  const [code] = (await once(child, 'close')) as [number | null]
  if (!GOOD_CODES.includes(code))
    throw new Error(`strongroom ${args.join(' ')} ended with ${code}:\n${said.join('')}`)
}

await main()
