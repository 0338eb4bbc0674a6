import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { writeFile } from 'node:fs/promises'
import { Agent, get } from 'node:http'
import { connect, type Socket } from 'node:net'
import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { quantile } from './quantile.ts'
import type { ReaderOrder } from './reader.ts'

export interface Counted {
  requests: number
  bytes: number
  seconds: number
  p50Ms: number
  p99Ms: number
  failed: number
}

export interface Order {
  port: number
  targets: readonly string[]
  connections: number
  seconds: number
  /** Small answers are asked for by wrk, which is written in C; large ones by our own reader. */
  client: 'wrk' | 'reader'
  /** `each` in turn, for targets that must not repeat. */
  order?: 'random' | 'each'
  /** Random ranges of so many bytes of a file of so many. */
  range?: { bytes: number; of: number }
  folder: string
}

/** Keeps a server busy from another process. */
export async function load(order: Order): Promise<Counted> {
  const list = join(order.folder, 'targets')
  await writeFile(list, `${order.targets.join('\n')}\n`)
  const told = order.client === 'wrk' ? await runWrk(order, list) : await runReader(order, list)
  return JSON.parse(told) as Counted
}

function runWrk({ port, connections, seconds, order = 'random' }: Order, list: string) {
  const how = ['-t', '1', '-c', String(connections), '-d', `${seconds}s`, '--timeout', '60s']
  const script = join(import.meta.dirname, 'load.lua')
  return run('wrk', [...how, '-s', script, `http://127.0.0.1:${port}`, '--', list, order], 'stderr')
}

function runReader({ port, connections, seconds, range }: Order, list: string) {
  const order: ReaderOrder = { port, list, connections, seconds, range: range ?? null }
  const script = join(import.meta.dirname, 'reader.ts')
  return run(process.execPath, [script, JSON.stringify(order)], 'stdout')
}

async function run(program: string, args: string[], from: 'stdout' | 'stderr'): Promise<string> {
  const child = spawn(program, args, { stdio: ['ignore', 'pipe', 'pipe'] })
  const told = { stdout: '', stderr: '' }
  for (const name of ['stdout', 'stderr'] as const) {
    child[name].setEncoding('utf8').on('data', (text: string) => {
      told[name] += text
    })
  }
  const [code] = await once(child, 'close')
  if (code === 0 && told[from].startsWith('{')) return told[from]
  throw new Error(`${program} failed (${code}): ${told.stderr}`)
}

/** Asks `/health` every 10 ms, one at a time, until it is stopped. @returns the 99th percentile in ms */
export function probeHealth(port: number): () => Promise<number> {
  const agent = new Agent({ keepAlive: true, maxSockets: 1 })
  const times: number[] = []
  let stopped = false
  const probing = (async () => {
    while (!stopped) {
      const started = performance.now()
      await askOnce(port, agent)
      times.push(performance.now() - started)
      await pause(10)
    }
  })()
  return async () => {
    stopped = true
    await probing
    agent.destroy()
    return quantile(times, 0.99)
  }
}

async function askOnce(port: number, agent: Agent): Promise<void> {
  const [response] = await once(
    get({ port, host: '127.0.0.1', path: '/health', agent }),
    'response',
  )
  for await (const _ of response) {
    // Read to its end, so that the connection can be used again.
  }
  if (response.statusCode !== 200) throw new Error(`/health says ${response.statusCode}`)
}

const TICK_MS = 100

/** Visitors who each read so many bytes per second, and start again at the end, until they are stopped. */
export async function readSlowly(order: {
  port: number
  target: string
  visitors: number
  bytesPerSecond: number
}): Promise<() => void> {
  const { port, target, visitors, bytesPerSecond } = order
  const allowance = Math.ceil((bytesPerSecond * TICK_MS) / 1000)
  const buffer = Buffer.allocUnsafe(allowance)
  const request = `GET ${target} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n`
  const sockets: Socket[] = []
  for (let visitor = 0; visitor < visitors; visitor++) {
    const socket = connect({
      port,
      host: '127.0.0.1',
      // One buffer of a tick's allowance for all, then nothing until the next tick.
      onread: { buffer, callback: () => false },
    })
    await once(socket, 'connect')
    socket.on('error', () => {})
    socket.write(request)
    sockets.push(socket)
  }
  const ticking = setInterval(() => {
    for (const socket of sockets) socket.resume()
  }, TICK_MS)
  return () => {
    clearInterval(ticking)
    for (const socket of sockets) socket.destroy()
  }
}
