/**
 * The program, loaded and warmed up, waiting to be forked: each line on descriptor 3 makes one process that runs
 * `src/main.ts` with its own arguments and environment, as `bin/strongroom` would. Needs shim.c preloaded.
 */
import { randomUUID } from 'node:crypto'
import { closeSync, openSync, readlinkSync, readSync, writeSync } from 'node:fs'
import { runCli } from '../../src/cli.ts'
import { systemCode } from '../../src/errors.ts'
import { endThreads } from '../../src/storage/thread.ts'

/** A line on descriptor 3. */
export interface Birth {
  args: string[]
  env: Record<string, string>
  /** For shim.c. */
  plan: string
  /** Where standard output and error go. */
  output: string
}

const COMMANDS = 3
const STATUSES = 4

function tell(command: string): void {
  closeSync(openSync(`/.torture/${command}`, 'r'))
}

/** @returns true in the process that was made */
function fork(output: string): boolean {
  try {
    tell(`fork${output}`)
    return false
  } catch (error) {
    if (systemCode(error) === 'EAGAIN') return true
    throw error
  }
}

/** @returns null once nobody will ask any more */
function nextLine(): string | null {
  const bytes: number[] = []
  const one = Buffer.alloc(1)
  while (readSync(COMMANDS, one) === 1) {
    if (one[0] === 10) return Buffer.from(bytes).toString('utf8')
    bytes.push(one[0] ?? 0)
  }
  return null
}

async function become({ args, env, plan }: Birth): Promise<void> {
  for (const name of Object.keys(process.env)) delete process.env[name]
  Object.assign(process.env, env)
  Object.defineProperty(process, 'pid', { value: Number(readlinkSync('/proc/self')) })
  // Node keeps that many random ids in store, which all forked processes would give out alike.
  for (let n = 0; n < 128; n++) randomUUID()
  process.argv.splice(2, process.argv.length, ...args)
  // Node would wait for threads that were not forked.
  process.exit = (code) => {
    process.emit('exit', Number(code ?? 0))
    return tell(`exit/${code ?? 0}`) as never
  }
  tell(`plan/${plan}`)
  await import('../../src/main.ts')
}

/** One whole run compiles what all others use. */
async function warmUp(): Promise<void> {
  const host = {
    env: { ...process.env },
    readFile: () => '',
    out: () => {},
    err: () => {},
    terminal: null,
    signals: { on: () => {}, off: () => {} },
    exit: (code: number) => tell(`exit/${code}`) as never,
    setUmask: () => {},
    version: '0.0.0',
    reached: () => {},
    stdout: 1,
    stderr: 2,
  } as const
  const code = await runCli(host, ['sync', '--once', '--json'])
  // 75: on a busy machine the store may be too slow to be trusted with a DELETE.
  if (code !== 0 && code !== 75) throw new Error(`the warm-up ended with ${code}`)
}

await warmUp()
await endThreads()
writeSync(STATUSES, 'ready 0\n')
// In a timer, where the event loop holds nothing that a fork would lose.
setTimeout(() => {
  for (let line = nextLine(); line !== null; line = nextLine()) {
    const birth = JSON.parse(line) as Birth
    if (!fork(birth.output)) continue
    void become(birth)
    return
  }
  tell('exit/0')
}, 0)
