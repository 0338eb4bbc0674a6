import { type ChildProcessByStdio, spawn } from 'node:child_process'
import { constants } from 'node:os'
import { join } from 'node:path'
import type { Readable, Writable } from 'node:stream'
import { getSystemErrorName } from 'node:util'
import { AppError } from '../errors.ts'
import {
  type Ended,
  runTool,
  type Started,
  signalGroup,
  supervise,
  type Tool,
  type ToolOutcome,
} from './spawn.ts'

/** A tool that a spawner can run: it needs no input and no folder of its own. */
export type SpawnedTool = Omit<Tool, 'input' | 'cwd'>

/**
 * Runs programs as `runTool` does, but has a small process start them: to fork this one stops its event loop for as long as
 * the kernel needs to copy the tables of its memory, 5 ms at 150 MiB and more under load, and the pages that are written to
 * afterwards cost as much again (bench/README.md).
 */
export interface Spawner {
  /**
   * @throws CANCELLED; PROBE_FAILED when the small process ended meanwhile: what it had started is killed, and the next call
   *   starts another one
   */
  run(tool: SpawnedTool): Promise<ToolOutcome>
  /** Kills what runs still, and resolves when the small process is gone. */
  close(): Promise<void>
}

const HELPER = join(import.meta.dirname, 'spawner.pl')
/** A helper that is not ready by then, has not killed a program, or not started one in the program's whole time, does nothing any more. */
const DEAD_AFTER_MS = 2_000

/** The small process and what it runs, by the id of each run. */
interface Helper {
  start(tool: Tool): Promise<Started | { systemCode: string }>
  close(): void
  gone: Promise<void>
}

/**
 * Where no Perl works (Debian and Ubuntu always have one), programs are started by this process itself, until it is tried again.
 */
export function createSpawner({
  searchPath,
  triedAgainAfterMs = 60_000,
}: {
  searchPath: string
  triedAgainAfterMs?: number
}): Spawner {
  let current: Promise<Helper | null> | null = null
  let restsUntil = 0
  const start = async (): Promise<Helper | null> => {
    const helper = await startHelper(searchPath)
    if (helper === null) {
      restsUntil = performance.now() + triedAgainAfterMs
      current = null
    }
    void helper?.gone.then(() => {
      current = null
    })
    return helper
  }
  return {
    async run(tool) {
      refuseZeroBytes(tool)
      if (current === null && performance.now() >= restsUntil) current = start()
      const helper = await current
      return helper === null ? runTool(tool) : supervise(tool, helper.start)
    },
    async close() {
      const helper = await current
      helper?.close()
      await helper?.gone
    },
  }
}

/** Of one run; `started` and `ended` are settled in this order. */
interface Run {
  /** And the id of its process group. */
  pid?: number
  isStarted: boolean
  started: PromiseWithResolvers<{ systemCode: string } | null>
  ended: PromiseWithResolvers<Ended>
  overflow: PromiseWithResolvers<void>
}

/** @returns null when there is none to be had here */
async function startHelper(searchPath: string): Promise<Helper | null> {
  const child = spawnHelper(searchPath)
  if (child === null) return null
  const runs = new Map<string, Run>()
  const ready = Promise.withResolvers<boolean>()
  const gone = Promise.withResolvers<void>()
  readFrames(child.stdout, (frame) => {
    if (!understand(runs, frame)) ready.resolve(true)
  })
  // EPIPE: it is gone, which its end tells.
  child.stdin.on('error', () => {})
  child.on('error', () => ready.resolve(false))
  child.on('close', (exitCode, signal) => {
    ready.resolve(false)
    for (const run of runs.values()) abandon(run, signal ?? `exit code ${exitCode}`)
    gone.resolve()
  })
  const late = setTimeout(() => {
    signalGroup(child.pid, 'SIGKILL')
    ready.resolve(false)
  }, DEAD_AFTER_MS)
  const isReady = await ready.promise
  clearTimeout(late)
  if (!isReady) return null
  return {
    start: (tool) => startIn({ child, runs }, tool),
    close: () => child.stdin.end(),
    gone: gone.promise,
  }
}

function spawnHelper(searchPath: string): Line['child'] | null {
  try {
    return spawn('perl', [HELPER], {
      // Of the terminal's or the service's process group it would get the signals.
      detached: true,
      env: { PATH: searchPath, LC_ALL: 'C' },
      stdio: ['pipe', 'pipe', 'ignore'],
    })
  } catch {
    return null // EAGAIN, ENOMEM and the like, which come as errors here and not as events.
  }
}

interface Line {
  child: ChildProcessByStdio<Writable, Readable, null>
  runs: Map<string, Run>
}

let runsSoFar = 0

async function startIn(
  { child, runs }: Line,
  tool: Tool,
): Promise<Started | { systemCode: string }> {
  const id = String(++runsSoFar)
  const run: Run = {
    isStarted: false,
    started: Promise.withResolvers(),
    ended: Promise.withResolvers(),
    overflow: Promise.withResolvers(),
  }
  runs.set(id, run)
  const { command, args, env, maxOutputBytes, memoryBytes = 0 } = tool
  const environment = Object.entries(env).flat()
  send(child.stdin, [
    'run',
    id,
    `${maxOutputBytes}`,
    `${memoryBytes}`,
    `${args.length}`,
    command,
    ...args,
    ...environment,
  ])
  const doomIn = (ms: number) => setTimeout(() => child.kill('SIGKILL'), ms)
  let doomed = doomIn(tool.timeoutMs + DEAD_AFTER_MS)
  const started = await run.started.promise.finally(() => clearTimeout(doomed))
  if (started !== null) return started
  const signal: Started['signal'] = (name) => {
    send(child.stdin, ['signal', id, name.slice('SIG'.length)])
    if (name === 'SIGKILL') doomed = doomIn(DEAD_AFTER_MS)
  }
  return {
    ended: run.ended.promise.finally(() => clearTimeout(doomed)),
    overflowed: run.overflow.promise,
    isOver: () => !runs.has(id),
    signal,
  }
}

/** @returns false for what is of no run: that the helper is ready */
function understand(runs: Map<string, Run>, frame: Buffer): boolean {
  const [verb, id = '', third = '', length = ''] = frame.toString('latin1').split('\0', 4)
  const run = runs.get(id)
  if (run === undefined) return false
  if (verb === 'forked') run.pid = Number(third)
  if (verb === 'started') {
    run.isStarted = true
    run.started.resolve(null)
  }
  if (verb === 'overflow') run.overflow.resolve()
  if (verb === 'failed') run.started.resolve({ systemCode: getSystemErrorName(-Number(third)) })
  if (verb === 'ended') {
    const said = frame.subarray([verb, id, third, length, ''].join('\0').length)
    run.ended.resolve(asEnded(Number(third), said, Number(length)))
  }
  if (verb === 'failed' || verb === 'ended') runs.delete(id)
  return true
}

/** What the helper has not ended is killed here, by the group that it was told to be. */
function abandon({ pid, isStarted, started, ended }: Run, how: string): void {
  signalGroup(pid, 'SIGKILL')
  const error = new AppError(
    'PROBE_FAILED',
    `the process that starts programs was ended (${how}), and what it had started with it`,
  )
  if (isStarted) ended.reject(error)
  else started.reject(error)
}

/** @param status as wait(2) has it: a signal's number, or 256 times the exit code */
function asEnded(status: number, said: Buffer, stdoutBytes: number): Ended {
  const number = status & 127
  const [signal = null] =
    Object.entries(constants.signals).find(([, known]) => known === number) ?? []
  return {
    exitCode: number === 0 ? status >> 8 : null,
    signal,
    stdout: said.toString('utf8', 0, stdoutBytes),
    stderr: said.toString('utf8', stdoutBytes),
  }
}

const LENGTH_BYTES = 4

function send(stdin: Writable, fields: readonly string[]): void {
  const body = Buffer.from(fields.join('\0'))
  const length = Buffer.alloc(LENGTH_BYTES)
  length.writeUInt32BE(body.length)
  stdin.write(Buffer.concat([length, body]))
}

function readFrames(stream: Readable, take: (frame: Buffer) => void): void {
  let read: Buffer = Buffer.alloc(0)
  stream.on('data', (chunk: Buffer) => {
    read = read.length === 0 ? chunk : Buffer.concat([read, chunk])
    while (read.length >= LENGTH_BYTES) {
      const end = LENGTH_BYTES + read.readUInt32BE(0)
      if (read.length < end) break
      take(read.subarray(LENGTH_BYTES, end))
      read = read.subarray(end)
    }
  })
}

/** They separate the fields; no program could be given one either. */
function refuseZeroBytes({ command, args, env }: SpawnedTool): void {
  const given = [command, ...args, ...Object.entries(env).flat()]
  if (given.some((text) => text.includes('\0')))
    throw new AppError('INTERNAL', `${command} was to be given a zero byte`)
}
