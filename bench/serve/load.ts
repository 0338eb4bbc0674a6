import { execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { Agent, get } from 'node:http'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { setTimeout as pause } from 'node:timers/promises'
import { quantile } from './quantile.ts'

/** The program that all visitors are, visitors.c. */
export type Visitors = string & { readonly visitors: unique symbol }

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
  /** `each` in turn, for targets that must not repeat. */
  order?: 'random' | 'each'
  /** Random ranges of so many bytes of a file of so many. */
  range?: { bytes: number; of: number }
}

/** @throws without gcc, which `scripts/setup bench` installs */
export function makeVisitors(folder: string): Visitors {
  const program = join(folder, 'visitors')
  const source = join(import.meta.dirname, 'visitors.c')
  execFileSync('gcc', ['-O2', '-o', program, source], { stdio: 'inherit' })
  return program as Visitors
}

/** Keeps a server busy from another process. */
export async function load(visitors: Visitors, order: Order): Promise<Counted> {
  const child = send(visitors, order, 0)
  const [told, [code]] = await Promise.all([text(child.stdout), once(child, 'close')])
  if (code === 0) return JSON.parse(told) as Counted
  throw new Error(`the visitors failed with ${code}`)
}

/** Visitors who each read so many bytes per second, and start again at the end, until they are stopped. */
export function readSlowly(
  visitors: Visitors,
  order: { port: number; target: string; connections: number; bytesPerSecond: number },
): () => void {
  const { target, bytesPerSecond } = order
  const child = send(
    visitors,
    { ...order, targets: [target], seconds: DAY_SECONDS },
    bytesPerSecond,
  )
  return () => child.kill()
}

const DAY_SECONDS = 86_400

function send(visitors: Visitors, order: Order, rate: number) {
  const { port, connections, seconds, order: how = 'random', range = { bytes: 0, of: 0 } } = order
  const words = [port, connections, seconds, how, range.bytes, range.of, rate].map(String)
  const child = spawn(visitors, words, { stdio: ['pipe', 'pipe', 'inherit'] })
  child.stdin.end(`${order.targets.join('\n')}\n`)
  return child
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
