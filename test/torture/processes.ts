/** Makes processes of the program cheaply, by forking one that is warm, and tells what becomes of each. */
import { execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, readFileSync, rmSync } from 'node:fs'
import { mkdtemp } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import type { Env } from '../support/service.ts'
import type { Birth } from './nursery.ts'

/** What the shim does to the program; without, it is left alone. */
export interface Plan {
  /** Calls that change something below this folder count. */
  root: string
  /** The how-many-th call is meant; 0 for none. */
  at: number
  what: Harm | 'nothing'
  /** A file for one line per call. */
  log?: string
}

export const harms = ['kill-before', 'kill-after', 'eio', 'enospc', 'short', 'full'] as const
export type Harm = (typeof harms)[number]

/** Its exit code, or the signal that ended it, and the processor time that it took. */
export interface Fate {
  code: number | null
  signal: number | null
  cpuMs: number
}

export interface Worker {
  pid: number
  /** Resolves when it has stopped itself. */
  stopped: Promise<void>
  ended: Promise<Fate>
  output(): string
}

export interface Nursery {
  start(run: { args: string[]; env: Env; plan?: Plan; output: string }): Promise<Worker>
  /** Ends it, and all that still live. */
  close(): Promise<void>
}

const HERE = import.meta.dirname
const NODE = join(HERE, '../../node_modules/node/bin/node')
/** As in bin/strongroom; V8's own threads would not be forked, and no run is long enough for its compilers to pay. */
const FLAGS = [
  '--disable-warning=ExperimentalWarning',
  '--expose-gc',
  '--max-semi-space-size=4',
  '--initial-old-space-size=32',
  '--max-old-space-size=256',
  '--single-threaded',
  '--no-opt',
  '--no-maglev',
]

/** Compiles shim.c, for as long as this process lives. @returns its path */
export async function buildShim(): Promise<string> {
  if (!existsSync('/usr/bin/gcc')) throw new Error('/usr/bin/gcc is missing: run scripts/setup')
  const folder = await mkdtemp(join(tmpdir(), 'strongroom-shim-'))
  process.once('exit', () => rmSync(folder, { recursive: true, force: true }))
  const path = join(folder, 'shim.so')
  const flags = ['-O2', '-Wall', '-Wextra', '-Werror', '-shared', '-fPIC']
  execFileSync('/usr/bin/gcc', [...flags, '-o', path, join(HERE, 'shim.c'), '-ldl'])
  return path
}

export function planText({ root, at, what, log }: Plan): string {
  const fields = [`root=${root}`, `at=${at}`, `do=${what}`, ...(log ? [`log=${log}`] : [])]
  return fields.join('\n')
}

/** @param env a world in which the program runs once, to be warm */
export async function openNursery(shim: string, env: Env): Promise<Nursery> {
  const child = spawn(NODE, [...FLAGS, join(HERE, 'nursery.ts')], {
    env: { ...env, LOG_LEVEL: 'error', LD_PRELOAD: shim, UV_USE_IO_URING: '0' },
    stdio: ['ignore', 'ignore', 'inherit', 'pipe', 'pipe'],
  })
  const [, , , commands, statuses] = child.stdio
  if (!commands || !statuses || !('write' in commands)) throw new Error('no pipes')
  const born = new Map<string, (pid: number) => void>()
  const living = new Map<number, { stop: () => void; end: (fate: Fate) => void }>()
  const ready = Promise.withResolvers<void>()
  createInterface({ input: statuses as NodeJS.ReadableStream }).on('line', (line) => {
    const [word, pid, rest = '', cpu] = line.split(' ')
    const known = living.get(Number(pid))
    if (word === 'ready') ready.resolve()
    else if (word === 'started') born.get(rest)?.(Number(pid))
    else if (word === 'stopped') known?.stop()
    else known?.end(fateOf(Number(rest), Number(cpu)))
  })
  const ended = once(child, 'exit')
  await Promise.race([ready.promise, ended.then(nurseryEnded)])
  return {
    async start({ args, env, plan, output }) {
      const stopped = Promise.withResolvers<void>()
      const end = Promise.withResolvers<Fate>()
      const started = Promise.withResolvers<number>()
      born.set(output, (pid) => {
        born.delete(output)
        const forget = (fate: Fate) => {
          living.delete(pid)
          end.resolve(fate)
        }
        living.set(pid, { stop: stopped.resolve, end: forget })
        started.resolve(pid)
      })
      const birth: Birth = { args, env, plan: plan ? planText(plan) : '', output }
      commands.write(`${JSON.stringify(birth)}\n`)
      const pid = await Promise.race([started.promise, ended.then(nurseryEnded)])
      const fate = Promise.race([end.promise, ended.then(nurseryEnded)])
      fate.catch(() => {}) // told to whoever waits for it, if anybody does
      return {
        pid,
        stopped: stopped.promise,
        ended: fate,
        output: () => (existsSync(output) ? readFileSync(output, 'utf8') : ''),
      }
    },
    async close() {
      child.kill('SIGKILL') // the tellers and the workers go with it
      await ended
    },
  }
}

/** @param value the exit code, or minus the signal */
function fateOf(value: number, cpuMs: number): Fate {
  return value < 0 ? { code: null, signal: -value, cpuMs } : { code: value, signal: null, cpuMs }
}

function nurseryEnded(): never {
  throw new Error('the nursery ended')
}
