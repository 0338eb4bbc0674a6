import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readdirSync, readFileSync } from 'node:fs'

export interface Measured {
  seconds: number
  /** Of the program and all that it started. */
  cpuSeconds: number
  /** Who spent it: the program, what it started (its start script, too), and the servers that it used, which are not counted above. */
  account: { program: number; children: number; database: number; bucket: number }
  /** Highest resident memory of the program, and of its children at the same moment. */
  peakMib: number
  output: string
}

const SAMPLE_MS = 25

/**
 * Runs a program to its end, its start included, as a shell's `time` does.
 *
 * @throws what it said when it did not end with 0
 */
export async function measure(
  command: readonly string[],
  env: Record<string, string>,
): Promise<Measured> {
  const before = serversCpu()
  // The shell waits for it, so the times are those of all that was waited for.
  const script = 'TIMEFORMAT="@%R %U %S"; time "$@"'
  const child = spawn('/bin/bash', ['-c', script, 'time', ...command], {
    env,
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  const said: string[] = []
  for (const stream of [child.stdout, child.stderr])
    stream.setEncoding('utf8').on('data', (text: string) => {
      said.push(text)
      if (said.length > 50) said.shift()
    })
  let peakKib = 0
  let program = 0
  const sampler = setInterval(() => {
    peakKib = Math.max(peakKib, residentKib(child.pid ?? 0))
    for (const pid of childrenOf(child.pid ?? 0)) program = cpuOf(pid)?.own ?? program
  }, SAMPLE_MS)
  const [exitCode] = (await once(child, 'close')) as [number | null]
  clearInterval(sampler)
  const after = serversCpu()
  const output = said.join('')
  const times = /@([\d.]+) ([\d.]+) ([\d.]+)\s*$/.exec(output)?.slice(1).map(Number)
  if (exitCode !== 0 || times === undefined)
    throw new Error(`${command.join(' ')} ended with ${exitCode}:\n${output}`)
  const [seconds = 0, user = 0, system = 0] = times
  const cpuSeconds = user + system
  const account = {
    program,
    children: cpuSeconds - program,
    database: after.database - before.database,
    bucket: after.bucket - before.bucket,
  }
  return { seconds, cpuSeconds, account, peakMib: peakKib / 1024, output }
}

/** Processor seconds of the servers that this process has started, by what they are called. */
function serversCpu(): { database: number; bucket: number } {
  const of = (name: string) =>
    childrenOf(process.pid)
      .filter((pid) => cpuOf(pid)?.name === name)
      .reduce((sum, pid) => sum + treeCpu(pid), 0)
  return { database: of('postgres'), bucket: of('nginx') }
}

function treeCpu(pid: number): number {
  const { own = 0, ended = 0 } = cpuOf(pid) ?? {}
  return childrenOf(pid).reduce((sum, child) => sum + treeCpu(child), own + ended)
}

/** Linux counts in hundredths of a second (proc(5), USER_HZ). */
const TICKS = 100

/** Processor seconds of a process itself, and of its children that have ended; null when it is gone. */
function cpuOf(pid: number): { name: string; own: number; ended: number } | null {
  try {
    const text = readFileSync(`/proc/${pid}/stat`, 'latin1')
    const [, name = '', rest = ''] = /^\d+ \((.*)\) (.*)$/s.exec(text) ?? []
    const [user = 0, system = 0, endedUser = 0, endedSystem = 0] = rest
      .split(' ')
      .slice(11, 15)
      .map((ticks) => Number(ticks) / TICKS)
    return { name, own: user + system, ended: endedUser + endedSystem }
  } catch {
    return null // It ended meanwhile.
  }
}

/** Of a process's descendants together. */
function residentKib(pid: number): number {
  let kib = 0
  for (const child of childrenOf(pid)) kib += residentOf(child) + residentKib(child)
  return kib
}

function childrenOf(pid: number): number[] {
  try {
    return readdirSync(`/proc/${pid}/task`).flatMap((task) =>
      readFileSync(`/proc/${pid}/task/${task}/children`, 'latin1')
        .split(' ')
        .filter(Boolean)
        .map(Number),
    )
  } catch {
    return [] // It ended meanwhile.
  }
}

function residentOf(pid: number): number {
  try {
    const text = readFileSync(`/proc/${pid}/status`, 'latin1')
    return Number(/^VmRSS:\s+(\d+) kB$/m.exec(text)?.[1] ?? 0)
  } catch {
    return 0
  }
}
