/**
 * Measures what an attack costs that holds connections: 500 readers who read nothing, 2,000 who never end their headers.
 *
 * `node bench/stalled.ts [--attacks N] [--stalled N] [--slow N] [--against bin/strongroom]`. Each attack holds on until the
 * server has ended every one of its connections. Exits with 1 when one lives for longer than 75 s, `/health` takes 50 ms (99th
 * percentile) or more, or the memory does not come back to within 16 MiB of what it was before the first.
 */
import { mkdtemp, readdir, readlink, rm } from 'node:fs/promises'
import { connect, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import { makeArchive } from './serve/archive.ts'
import { probeHealth } from './serve/load.ts'
import { type BenchServer, startStrongroom } from './serve/servers.ts'

const LIMIT_SECONDS = 75
const LIMIT_HEALTH_MS = 50
const LIMIT_MIB = 16
/** After the last connection: what is to be given back is given back within ten seconds. */
const CALM_MS = 15_000

interface Attack {
  stalled: number
  slow: number
}

interface Result {
  seconds: number
  healthP99Ms: number
  highestMib: number
  afterMib: number
}

async function main(): Promise<number> {
  const { values } = parseArgs({
    options: {
      attacks: { type: 'string', default: '3' },
      stalled: { type: 'string', default: '500' },
      slow: { type: 'string', default: '2000' },
      against: { type: 'string' },
    },
  })
  const attack = { stalled: Number(values.stalled), slow: Number(values.slow) }
  const folder = await mkdtemp(join(tmpdir(), 'strongroom-bench-'))
  const archiveDir = join(folder, 'archive')
  try {
    const files = await makeArchive(archiveDir, 64)
    const place = { archiveDir, folder, logged: false }
    const program = values.against === undefined ? {} : { program: values.against }
    const server = await startStrongroom(place, program)
    const [large] = files.large
    if (large === undefined) throw new Error('there is no file')
    try {
      return await attackAll(server, {
        ...attack,
        target: server.target(large),
        attacks: Number(values.attacks),
      })
    } finally {
      await server.stop()
    }
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}

async function attackAll(
  server: BenchServer,
  order: Attack & { target: string; attacks: number },
): Promise<number> {
  await pause(5_000)
  const baseMib = server.usage().rssMib
  console.log(`resident memory before: ${baseMib.toFixed(0)} MiB\n`)
  const columns = ['attack', 'freed after s', '/health p99 ms', 'highest MiB', 'MiB afterwards']
  for (const line of [columns, columns.map(() => '---')]) console.log(`| ${line.join(' | ')} |`)
  let failed = false
  for (let number = 1; number <= order.attacks; number++) {
    const result = await attackOnce(server, order)
    const { seconds, healthP99Ms, highestMib, afterMib } = result
    const figures = [seconds, healthP99Ms, highestMib, afterMib].map((figure) => figure.toFixed(0))
    console.log(`| ${[number, ...figures].join(' | ')} |`)
    failed ||= seconds > LIMIT_SECONDS || healthP99Ms >= LIMIT_HEALTH_MS
    failed ||= afterMib > baseMib + LIMIT_MIB
  }
  return failed ? 1 : 0
}

async function attackOnce(
  server: BenchServer,
  { stalled, slow, target }: Attack & { target: string },
): Promise<Result> {
  const before = await socketsOf(server)
  const sockets: Socket[] = []
  const open = async (text: string) => {
    const socket = connect(server.port, '127.0.0.1').on('error', () => {})
    socket.pause().write(text)
    sockets.push(socket)
    if (sockets.length % 20 === 0) await pause(10)
  }
  for (let count = 0; count < stalled; count++)
    await open(`GET ${target} HTTP/1.1\r\nHost: x\r\n\r\n`)
  for (let count = 0; count < slow; count++) await open('GET /health HTTP/1.1\r\nX-')
  const started = performance.now()
  const dripping = setInterval(() => {
    for (const socket of sockets.slice(stalled)) socket.write('a')
  }, 3_000)
  const stopProbe = probeHealth(server.port)
  let highestMib = 0
  let seconds = 0
  do {
    await pause(500)
    highestMib = Math.max(highestMib, server.usage().rssMib)
    seconds = (performance.now() - started) / 1000
    // The probe has one of its own.
  } while ((await socketsOf(server)) > before + 1 && seconds < 2 * LIMIT_SECONDS)
  const healthP99Ms = await stopProbe()
  clearInterval(dripping)
  for (const socket of sockets) socket.destroy()
  await pause(CALM_MS)
  return { seconds, healthP99Ms, highestMib, afterMib: server.usage().rssMib }
}

async function socketsOf({ pid }: BenchServer): Promise<number> {
  const folder = `/proc/${pid}/fd`
  const places = await Promise.all(
    (await readdir(folder)).map((fd) => readlink(join(folder, fd)).catch(() => '')),
  )
  return places.filter((place) => place.startsWith('socket:')).length
}

process.exitCode = await main()
