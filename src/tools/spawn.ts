import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { kill } from 'node:process'
import type { Readable } from 'node:stream'
import { AppError, systemCode } from '../errors.ts'

export interface Tool {
  command: string
  /** Handed over as they are: there is no shell. */
  args: readonly string[]
  /** All that the tool sees; nothing of our own environment (which holds secrets) is added. */
  env: Readonly<Record<string, string>>
  timeoutMs: number
  /** More on stdout than this stops the tool, unless `excess` is `drop`; more on stderr is read and dropped. */
  maxOutputBytes: number
  excess?: 'stop' | 'drop'
  /**
   * All the memory that it may have for itself, whether it writes to it or not; it is told that there is no more. And it is
   * what the kernel kills first where the machine has none left.
   */
  memoryBytes?: number
  /** Its standard input, which is empty without it; a tool that does not read it is none the worse. */
  input?: string
  signal?: AbortSignal
  cwd?: string
}

export type ToolOutcome =
  /** `exitCode` is null when a signal ended it. */
  | {
      kind: 'exited'
      exitCode: number | null
      signal: string | null
      stdout: string
      stderr: string
    }
  | { kind: 'timeout' }
  | { kind: 'overflow' }
  /** `systemCode` says why: ENOENT (no such program), EACCES (not executable), EAGAIN, ENOMEM … */
  | { kind: 'not-started'; systemCode: string }

/** How long a tool that was asked to stop may take before it is killed. */
const KILL_GRACE_MS = 1_000

type StopReason = 'timeout' | 'overflow' | 'cancelled'

/** A program that was started, by whomever. */
export interface Started {
  /** Resolves when it is reaped, all that is left of its group is killed, and its output is read. */
  ended: Promise<Ended>
  /** Resolves when it has said more than `maxOutputBytes`, of which that much is kept. */
  overflowed: Promise<void>
  /** Nothing to signal is left. */
  isOver(): boolean
  /** To it and all its children. */
  signal(name: 'SIGTERM' | 'SIGKILL'): void
}

export type Ended = Omit<Extract<ToolOutcome, { kind: 'exited' }>, 'kind'>

type Start = (tool: Tool) => Promise<Started | { systemCode: string }>

/**
 * Runs a program to its end, or stops it: SIGTERM, and SIGKILL a second later, to it and all its children.
 * When this returns the program is reaped, and whatever it started is killed.
 *
 * @throws CANCELLED when `signal` is aborted, after the program is gone
 */
export function runTool(tool: Tool): Promise<ToolOutcome> {
  return supervise(tool, startHere)
}

/** The same for a program that `start` starts. */
export async function supervise(tool: Tool, start: Start): Promise<ToolOutcome> {
  if (tool.signal?.aborted) throw cancelled(tool)
  const started = await start(tool)
  if ('systemCode' in started) return { kind: 'not-started', systemCode: started.systemCode }

  let stopped: StopReason | null = null
  let killTimer: NodeJS.Timeout | undefined
  const stop = (why: StopReason): void => {
    if (stopped) return
    // What has said too much was not understood, even if it is over by now.
    if (why === 'overflow') stopped = why
    if (started.isOver()) return
    stopped = why
    started.signal('SIGTERM')
    killTimer = setTimeout(() => started.signal('SIGKILL'), KILL_GRACE_MS)
  }
  if (tool.excess !== 'drop') void started.overflowed.then(() => stop('overflow'))
  const deadline = setTimeout(() => stop('timeout'), tool.timeoutMs)
  const onAbort = (): void => stop('cancelled')
  tool.signal?.addEventListener('abort', onAbort, { once: true })
  if (tool.signal?.aborted) onAbort()
  try {
    const ended = await started.ended
    // Assigned in callbacks, which the compiler does not follow.
    const why = stopped as StopReason | null
    if (why === 'cancelled') throw cancelled(tool)
    return why === null ? { kind: 'exited', ...ended } : { kind: why }
  } finally {
    clearTimeout(deadline)
    clearTimeout(killTimer)
    tool.signal?.removeEventListener('abort', onAbort)
  }
}

async function startHere(tool: Tool): Promise<Started | { systemCode: string }> {
  const child = await spawnHere(tool)
  if ('systemCode' in child) return child
  const overflow = Promise.withResolvers<void>()
  const stdout = collect(child.stdout, tool.maxOutputBytes, overflow.resolve)
  const stderr = collect(child.stderr, tool.maxOutputBytes, () => {})
  const end = async (): Promise<Ended> => {
    await once(child.process, 'exit')
    await endOutput(child)
    const { exitCode, signalCode: signal } = child.process
    return { exitCode, signal, stdout: stdout(), stderr: stderr() }
  }
  return {
    ended: end(),
    overflowed: overflow.promise,
    isOver: () => child.process.exitCode !== null || child.process.signalCode !== null,
    signal: (name) => signalGroup(child.process.pid, name),
  }
}

interface Running {
  process: ChildProcess
  stdout: Readable
  stderr: Readable
}

async function spawnHere(tool: Tool): Promise<Running | { systemCode: string }> {
  try {
    const options = {
      env: { ...tool.env },
      // A process group of its own, so that its children can be signalled with it.
      detached: true,
      ...(tool.cwd === undefined ? {} : { cwd: tool.cwd }),
    }
    const { command, args } = bounded(tool)
    const child =
      tool.input === undefined
        ? spawn(command, args, { ...options, stdio: ['ignore', 'pipe', 'pipe'] })
        : spawn(command, args, { ...options, stdio: ['pipe', 'pipe', 'pipe'] })
    // EPIPE: it ended, or closed its input, before it had read everything.
    child.stdin?.on('error', () => {})
    await once(child, 'spawn')
    child.stdin?.end(tool.input)
    return { process: child, stdout: child.stdout, stderr: child.stderr }
  } catch (error) {
    const code = systemCode(error)
    // Node's own codes (ERR_…) mean wrong arguments: a bug of the caller, not of the machine.
    if (code === null || code.startsWith('ERR_')) throw error
    return { systemCode: code }
  }
}

/** A shell bounds itself and becomes the tool; Node has no call for it. What keeps it from that (126, 127) is an exit code then. */
function bounded({ command, args, memoryBytes }: Tool): Pick<Tool, 'command' | 'args'> {
  if (memoryBytes === undefined) return { command, args }
  const bound = '{ echo 1000 >/proc/self/oom_score_adj; ulimit -d "$0"; } 2>/dev/null; exec "$@"'
  return {
    command: '/bin/sh',
    args: ['-c', bound, `${Math.ceil(memoryBytes / 1024)}`, command, ...args],
  }
}

/** Kills what the tool left behind, then waits for the pipes; a descendant that fled its group cannot hold them. */
async function endOutput(child: Running): Promise<void> {
  signalGroup(child.process.pid, 'SIGKILL')
  const open = [child.stdout, child.stderr].filter((stream) => !stream.closed)
  const cut = setTimeout(() => {
    for (const stream of open) stream.destroy()
  }, KILL_GRACE_MS)
  await Promise.all(open.map((stream) => once(stream, 'close')))
  clearTimeout(cut)
}

/** To the process group that `pid` leads. */
export function signalGroup(pid: number | undefined, signal: NodeJS.Signals): void {
  if (pid === undefined) return
  try {
    kill(-pid, signal)
  } catch (error) {
    // ESRCH: nobody is left in the group, which is what we want; EPERM: macOS says so of a zombie.
    if (systemCode(error) !== 'ESRCH' && systemCode(error) !== 'EPERM') throw error
  }
}

/** Keeps the first `maxBytes` and goes on reading, so that the writer never blocks. */
function collect(stream: Readable, maxBytes: number, onOverflow: () => void): () => string {
  const chunks: Buffer[] = []
  let kept = 0
  stream.on('data', (chunk: Buffer) => {
    const room = maxBytes - kept
    if (room > 0) chunks.push(chunk.subarray(0, room))
    kept += Math.min(chunk.length, room)
    if (chunk.length > room) onOverflow()
  })
  return () => Buffer.concat(chunks).toString('utf8')
}

function cancelled(tool: Tool): AppError {
  return new AppError('CANCELLED', `${tool.command} was stopped before it ended`, {
    cause: tool.signal?.reason,
  })
}
