/**
 * Compares the file server with others on the same files, run by run in turn, and prints medians and ratios: nginx, Caddy,
 * Hono's serveStatic with jose, and nginx that sends what Strongroom has judged.
 *
 * `node bench/serve.ts [--rounds N] [--seconds S] [--only a,b] [--large MIB] [--log] [--without caddy,hono,sending]
 * [--against bin/strongroom]`; needs nginx, caddy and gcc (`scripts/setup bench`) and some 2 GiB in the temporary folder. bench/README.md says what it shows.
 */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import { type BenchFiles, makeArchive } from './serve/archive.ts'
import { segmentsDropped } from './serve/kernel-memory.ts'
import {
  type Counted,
  load,
  makeVisitors,
  type Order,
  probeHealth,
  readSlowly,
  type Visitors,
} from './serve/load.ts'
import { quantile } from './serve/quantile.ts'
import {
  type BenchServer,
  startCaddy,
  startHono,
  startNginx,
  startSending,
  startStrongroom,
} from './serve/servers.ts'

const MIB = 2 ** 20
const GIB = 2 ** 30
const SLOW_VISITORS = 500
const SLOW_BYTES_PER_SECOND = 48 * 1024
/** More than our server remembers (src/serve/token-cache.ts): when all were used they are new to it again. */
const FRESH_TOKENS = 60_000

/** One run of one case against one server. */
interface Result extends Counted {
  cpuSeconds: number
  rssMib: number
  healthP99Ms: number
}

interface Case {
  name: string
  /** What is compared: bytes or requests per second, or the time that the slowest percent of answers took. */
  unit: 'MiB/s' | 'req/s' | 'p99 ms'
  order(server: BenchServer, files: BenchFiles): Omit<Order, 'port' | 'seconds'>
  probed?: boolean
  /** Beside so many slow readers. */
  beside?: number
}

const cases: Record<string, Case> = {
  a: {
    name: 'one stream of a large file',
    unit: 'MiB/s',
    order: (server, { large }) => ({
      targets: large.map((f) => server.target(f)),
      connections: 1,
    }),
  },
  b: {
    name: '64 clients, files of 4 MiB',
    unit: 'MiB/s',
    probed: true,
    order: (server, { medium }) => ({
      targets: medium.map((f) => server.target(f)),
      connections: 64,
    }),
  },
  c: {
    name: '64 clients, files of 16 KiB',
    unit: 'req/s',
    order: (server, { small }) => ({
      targets: small.map((f) => server.target(f)),
      connections: 64,
    }),
  },
  n: {
    name: 'the same, every token new',
    unit: 'req/s',
    order: (server, { small }) => ({
      targets: freshTargets(server, small),
      connections: 64,
      order: 'each',
    }),
  },
  d: {
    name: '16 clients, ranges of 1 MiB',
    unit: 'MiB/s',
    order: (server, { large }) => ({
      targets: large.map((f) => server.target(f)),
      connections: 16,
      range: { bytes: MIB, of: large[0]?.bytes ?? 0 },
    }),
  },
  e: {
    name: `4 MiB beside ${SLOW_VISITORS} slow readers`,
    unit: 'p99 ms',
    beside: SLOW_VISITORS,
    order: (server, { medium }) => ({
      targets: medium.map((f) => server.target(f)),
      connections: 1,
    }),
  },
}

/** In the order of their runs; nginx, the first, is what the others are compared with. */
const peers = { nginx: startNginx, caddy: startCaddy, hono: startHono, sending: startSending }

let serial = 0
function freshTargets(server: BenchServer, files: BenchFiles['small']): string[] {
  return Array.from({ length: FRESH_TOKENS }, (_, index) => {
    const file = files[index % files.length]
    serial += 1
    return file === undefined ? '/' : server.target(file, serial)
  })
}

async function main(): Promise<number> {
  const { values } = parseArgs({
    options: {
      rounds: { type: 'string', default: '3' },
      seconds: { type: 'string', default: '3' },
      large: { type: 'string', default: '1024' },
      only: { type: 'string', default: Object.keys(cases).join(',') },
      without: { type: 'string', default: '' },
      log: { type: 'boolean', default: false },
      against: { type: 'string' },
    },
  })
  const folder = await mkdtemp(join(tmpdir(), 'strongroom-bench-'))
  const servers: BenchServer[] = []
  try {
    const archiveDir = join(folder, 'archive')
    const files = await makeArchive(archiveDir, Number(values.large))
    const place = { archiveDir, folder, logged: values.log }
    const visitors = makeVisitors(folder)
    const without = new Set(values.without.split(','))
    for (const [name, start] of Object.entries(peers))
      if (!without.has(name)) servers.push(await start(place))
    if (values.against !== undefined)
      servers.push(await startStrongroom(place, { name: 'before', program: values.against }))
    servers.push(await startStrongroom(place))
    for (const letter of values.only.split(',')) {
      const chosen = cases[letter]
      if (chosen === undefined) throw new Error(`there is no case ${letter}`)
      const results = new Map<string, Result[]>(servers.map(({ name }) => [name, []]))
      for (let round = 0; round < Number(values.rounds); round++) {
        for (const server of servers) {
          const result = await runOnce(chosen, server, {
            files,
            visitors,
            seconds: Number(values.seconds),
          })
          results.get(server.name)?.push(result)
        }
      }
      print(letter, chosen, results)
    }
    return 0
  } finally {
    for (const server of servers) await server.stop()
    await rm(folder, { recursive: true, force: true })
  }
}

async function runOnce(
  chosen: Case,
  server: BenchServer,
  { files, visitors, seconds }: { files: BenchFiles; visitors: Visitors; seconds: number },
): Promise<Result> {
  const { port } = server
  // Two orders, so that tokens that are to be new are new after the warming up too.
  const orderFor = (how: number) => ({ ...chosen.order(server, files), port, seconds: how })
  await load(visitors, orderFor(2))
  const [large] = files.large
  const stopSlow =
    chosen.beside === undefined || large === undefined
      ? () => {}
      : readSlowly(visitors, {
          port,
          target: server.target(large),
          connections: chosen.beside,
          bytesPerSecond: SLOW_BYTES_PER_SECOND,
        })
  if (chosen.beside !== undefined) await settle(server)
  const stopProbe = chosen.probed && server.hasHealth ? probeHealth(port) : async () => Number.NaN
  const order = orderFor(seconds)
  const [before, droppedBefore] = [server.usage(), segmentsDropped()]
  const counted = await load(visitors, order)
  const [after, dropped] = [server.usage(), segmentsDropped() - droppedBefore]
  const healthP99Ms = await stopProbe()
  stopSlow()
  if (counted.failed > 0) console.error(`${server.name}: ${counted.failed} answers failed`)
  if (dropped > 0) console.error(`${server.name}: the kernel dropped ${dropped} segments`)
  return {
    ...counted,
    cpuSeconds: after.cpuSeconds - before.cpuSeconds,
    rssMib: after.rssMib,
    healthP99Ms,
  }
}

/** At first the kernel fills the buffers between server and slow readers, some MiB for each of them. */
async function settle(server: BenchServer): Promise<void> {
  for (let second = 0, before = server.usage().cpuSeconds; second < 30; second++) {
    await pause(1_000)
    const { cpuSeconds } = server.usage()
    if (cpuSeconds - before < 0.2) return
    before = cpuSeconds
  }
}

/** The line of each server: medians over the rounds, and the ratio to nginx in the same round. */
function print(letter: string, chosen: Case, results: Map<string, Result[]>): void {
  const value = (result: Result) => figure(result, chosen.unit)
  console.log(`\n${letter}: ${chosen.name}`)
  const columns = [
    'server',
    chosen.unit,
    'to nginx',
    'p50 ms',
    'p99 ms',
    'CPU-s/GiB',
    'CPU µs/req',
    'RSS MiB',
    '/health p99 ms',
  ]
  const nginx = results.get('nginx') ?? []
  const lines = [...results].map(([name, runs]) => {
    const median = (of: (run: Result) => number) => quantile(runs.map(of), 0.5)
    const ratios = runs.map((run, round) => {
      const peer = nginx[round]
      return peer === undefined ? Number.NaN : value(run) / value(peer)
    })
    return [
      name,
      median(value).toFixed(chosen.unit === 'p99 ms' ? 1 : 0),
      quantile(ratios, 0.5).toFixed(2),
      median((run) => run.p50Ms).toFixed(2),
      median((run) => run.p99Ms).toFixed(2),
      median((run) => run.cpuSeconds / (run.bytes / GIB)).toFixed(2),
      median((run) => (run.cpuSeconds * 1e6) / run.requests).toFixed(1),
      median((run) => run.rssMib).toFixed(0),
      median((run) => run.healthP99Ms).toFixed(1),
    ].map((text) => (text === 'NaN' ? '–' : text))
  })
  for (const line of [columns, columns.map(() => '---'), ...lines])
    console.log(`| ${line.join(' | ')} |`)
}

function figure(result: Result, unit: Case['unit']): number {
  if (unit === 'p99 ms') return result.p99Ms
  return (unit === 'req/s' ? result.requests : result.bytes / MIB) / result.seconds
}

process.exitCode = await main()
