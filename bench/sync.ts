/**
 * Compares a sync with what it replaces, run by run in turn, and prints medians and ratios: the old loop of rclone, ffprobe
 * and psql per file, rclone and aws alone (which prove, validate and sync nothing), and the bounds of machine and probe.
 *
 * `node bench/sync.ts [--rounds N] [--only a,b,c,far-a,far-c] [--large MIB] [--videos N] [--images N] [--who TEXT,TEXT]
 * [--against bin/strongroom]`; needs nginx, rclone, aws, jq, psql and ffprobe (`scripts/setup sync-bench`). bench/README.md says what it
 * shows.
 */
import { mkdir, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { startPostgres, withDatabase } from '../test/support/postgres.ts'
import { fillBackend } from './backend.ts'
import { quantile } from './serve/quantile.ts'
import { type NginxBucket, startBucket } from './sync/bucket.ts'
import type { Contestant, Place } from './sync/contestants.ts'
import * as contestants from './sync/contestants.ts'
import { type Corpus, makeImages, makeLarge, makeVideos } from './sync/corpus.ts'
import { emptyFiles, spreadFolders } from './sync/fresh-inodes.ts'
import { type Measured, measure } from './sync/measure.ts'
import { startWire } from './sync/start-wire.ts'
import { warmMemory } from './sync/warm-memory.ts'

const MIB = 2 ** 20

interface Case {
  name: string
  corpus: keyof Corpora
  far?: boolean
  /** The first is what all others are compared with. */
  runs: Contestant[]
}

interface Corpora {
  large: Corpus
  videos: Corpus
  images: Corpus
}

const manyFiles: Contestant[] = [
  contestants.oldLoop,
  contestants.bareProbe,
  contestants.rcloneCopy('rclone copy'),
  contestants.rcloneCopy('rclone copy --transfers 16', '--transfers', '16'),
  contestants.awsCopy,
  contestants.strongroom('strongroom, source released'),
]

const cases: Record<string, Case> = {
  a: {
    name: 'one large object',
    corpus: 'large',
    runs: [
      contestants.rcloneFile('rclone copyto, then sync'),
      contestants.rcloneFile('the same, one stream', '--multi-thread-streams', '0'),
      contestants.curl,
      contestants.strongroom('strongroom, source kept', { RELEASE_GRACE: '1h' }),
      contestants.strongroom('strongroom, source released'),
    ],
  },
  b: {
    name: 'videos of 2 MiB',
    corpus: 'videos',
    runs: manyFiles,
  },
  c: {
    name: 'pictures of 20 KiB',
    corpus: 'images',
    runs: manyFiles,
  },
  'far-a': {
    name: 'one large object, 40 ms away',
    corpus: 'large',
    far: true,
    runs: [
      contestants.rcloneFile('rclone copyto, then sync'),
      contestants.strongroom('strongroom, source released'),
    ],
  },
  'far-c': {
    name: 'pictures of 20 KiB, 40 ms away',
    corpus: 'images',
    far: true,
    runs: [
      contestants.rcloneCopy('rclone copy'),
      contestants.rcloneCopy('rclone copy --transfers 16', '--transfers', '16'),
      contestants.strongroom('strongroom, source released'),
      contestants.strongroom('the same, 48 at once', { SYNC_CONCURRENCY: '48' }),
    ],
  },
}

const { values } = parseArgs({
  options: {
    rounds: { type: 'string', default: '3' },
    only: { type: 'string', default: Object.keys(cases).join(',') },
    large: { type: 'string', default: '1024' },
    videos: { type: 'string', default: '200' },
    images: { type: 'string', default: '2000' },
    against: { type: 'string' },
    who: { type: 'string', default: '' },
  },
})

async function main(): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), 'strongroom-bench-'))
  spreadFolders(folder)
  const steps: (() => unknown)[] = [() => rm(folder, { recursive: true, force: true })]
  try {
    const postgres = await startPostgres()
    steps.unshift(() => postgres.stop())
    const bucket = await startBucket(join(folder))
    steps.unshift(() => bucket.stop())
    const wire = await startWire(bucket.port)
    steps.unshift(() => wire.stop())
    for (const letter of values.only.split(',')) {
      const chosen = cases[letter]
      if (chosen === undefined) throw new Error(`there is no case ${letter}`)
      const corpus = await corpusOf(chosen.corpus, folder)
      const all =
        values.against === undefined
          ? chosen.runs
          : [...chosen.runs, contestants.strongroom('before', {}, values.against)]
      const runs = all.filter(({ name }) => values.who.split(',').some((who) => name.includes(who)))
      const results = new Map<string, Run[]>(runs.map(({ name }) => [name, []]))
      for (let round = 0; round < Number(values.rounds); round++)
        // Each in turn first, so that nobody always comes after the same neighbour.
        for (const run of [
          ...runs.slice(round % runs.length),
          ...runs.slice(0, round % runs.length),
        ]) {
          const port = chosen.far ? wire.port : bucket.port
          const result = await runOnce(run, { corpus, folder, bucket, postgres, port })
          results.get(run.name)?.push(result)
        }
      print(letter, chosen, corpus, results)
    }
  } finally {
    for (const step of steps) await step()
  }
}

const made = new Map<string, Corpus>()

async function corpusOf(name: keyof Corpora, folder: string): Promise<Corpus> {
  const make = {
    large: () => makeLarge(join(folder, 'large'), Number(values.large) * MIB),
    videos: () => makeVideos(join(folder, 'videos'), Number(values.videos)),
    images: () => makeImages(join(folder, 'images'), Number(values.images)),
  }
  const corpus = made.get(name) ?? (await make[name]())
  made.set(name, corpus)
  return corpus
}

interface Run extends Measured {
  /** Seconds for the whole corpus: what was run on a part of it counts for all. */
  perCorpus: number
  items: number
  bytes: number
}

async function runOnce(
  contestant: Contestant,
  on: {
    corpus: Corpus
    folder: string
    bucket: NginxBucket
    postgres: Awaited<ReturnType<typeof startPostgres>>
    port: number
  },
): Promise<Run> {
  const { corpus, bucket, postgres, port } = on
  const objects = corpus.objects.slice(0, contestant.atMost ?? corpus.objects.length)
  const steps: (() => unknown)[] = []
  try {
    const database = await withDatabase(
      { after: (fn: () => unknown) => void steps.unshift(fn) },
      postgres,
    )
    const { type } = corpus
    const mimeType = type === 'video' ? 'video/mp4' : 'image/jpeg'
    await fillBackend(
      database.sql,
      objects.map(({ key, sizeBytes }) => ({ key, type, mimeType, sizeBytes })),
    )
    await bucket.fill(objects)
    const ownFolder = await mkdtemp(join(on.folder, 'run-'))
    steps.unshift(() => emptyFiles(ownFolder))
    const archiveDir = join(ownFolder, 'archive')
    await mkdir(archiveDir)
    const place: Place = {
      archiveDir,
      errorDir: join(ownFolder, 'errors'),
      endpoint: `http://127.0.0.1:${port}`,
      bucket: bucket.name,
      database: database.config,
      objects,
    }
    const preparation = contestant.prepare?.(place)
    if (preparation !== undefined) await measure(preparation, contestant.env(place))
    const bytes = objects.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0)
    // Room for the programs' own memory, too.
    await warmMemory(on.folder, bytes + 256 * MIB)
    const measured = await measure(contestant.command(place), contestant.env(place))
    await contestant.check?.({ ...place, sql: database.sql, left: await bucket.left() })
    const perCorpus = (measured.seconds * corpus.objects.length) / objects.length
    console.error(`${contestant.name}: ${measured.seconds.toFixed(2)} s`)
    return { ...measured, perCorpus, items: objects.length, bytes }
  } finally {
    for (const step of steps) await step()
  }
}

const parties = ['program', 'children', 'database', 'bucket'] as const

function perItemMs({ account, items }: Run, party: (typeof parties)[number]): number {
  return (account[party] * 1000) / items
}

function print(letter: string, { name }: Case, corpus: Corpus, results: Map<string, Run[]>): void {
  const bytes = corpus.objects.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0)
  console.log(
    `\n${letter}: ${name}: ${corpus.objects.length} × ${(bytes / corpus.objects.length / MIB).toFixed(2)} MiB`,
  )
  const [first] = results.values()
  const lines = [...results].map(([who, runs]) => {
    const [sample] = runs
    // Round by round, so that a busy minute counts for both.
    const ratios = runs.map(
      (run, round) => (first?.[round]?.perCorpus ?? Number.NaN) / run.perCorpus,
    )
    const median = (of: (run: Run) => number) => quantile(runs.map(of), 0.5)
    return [
      who,
      `${median((run) => run.perCorpus).toFixed(2)}${sample?.items === corpus.objects.length ? '' : ` (from ${sample?.items})`}`,
      quantile(ratios, 0.5).toFixed(2),
      median((run) => (run.cpuSeconds * 2 ** 30) / run.bytes).toFixed(2),
      median((run) => (run.cpuSeconds * 1000) / run.items).toFixed(1),
      ...parties.map((party) => median((run) => perItemMs(run, party)).toFixed(1)),
      Math.max(...runs.map((run) => run.peakMib)).toFixed(0),
    ]
  })
  const columns = [
    ...['', 'seconds', 'speed', 'CPU-s per GiB', 'CPU-ms per item'],
    ...parties.map((party) => `… of the ${party}`),
    'peak MiB',
  ]
  for (const line of [columns, columns.map(() => '---'), ...lines])
    console.log(`| ${line.join(' | ')} |`)
}

await main()
